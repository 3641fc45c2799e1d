//! Connections with a list of keys: `#[keys]` over both transports, and the bound on sets of keys.

use std::sync::Arc;

use tornadose::prelude::*;
#[cfg(feature = "simulation")]
use tornadose::simulation::Engine;
use tornadose_test::{Cut, Harness, assert_transcript, resume_at_every_byte};

use super::harness::harness;
#[cfg(feature = "simulation")]
use super::harness::secs;

#[store(queue)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: u32,
    },
}

fn trade(symbol: &str, price: u32) -> Market {
    Market::Trade { symbol: symbol.into(), price }
}

fn quote(symbol: &str, bid: u32) -> Market {
    Market::Quote { symbol: symbol.into(), bid }
}

fn key(symbol: &str) -> MarketKey {
    MarketKey { symbol: symbol.into() }
}

/// `GET /market?symbol=A&symbol=B`
#[subscriber(sse, ws, store = Market, replay = 100, authorize = Self::may_read, max_keys = 3)]
struct Watchlist {
    #[keys(symbol)]
    #[query("symbol")]
    symbols: Vec<String>,
}

impl Watchlist {
    async fn may_read(&mut self) -> Result<(), StatusError> {
        assert!(self.symbols.len() < 10, "the hook got {} symbols", self.symbols.len());
        if self.symbols.iter().any(|symbol| symbol == "SECRET") {
            return Err(StatusError::forbidden().brief("not SECRET"));
        }
        self.symbols.retain(|symbol| symbol != "UNLISTED");
        Ok(())
    }
}

/// `GET /split?symbols=A,B`
#[subscriber(sse, ws, store = Market, authorize = public)]
struct Split {
    #[keys(symbol)]
    #[query(separator = ",")]
    symbols: Option<Vec<String>>,
}

fn market() -> (Store<Market>, Router) {
    let store = Store::new();
    let router = router(&store);
    (store, router)
}

fn router(store: &Store<Market>) -> Router {
    Router::new()
        .push(Router::with_path("market").get(Watchlist::handler(store)))
        .push(Router::with_path("split").get(Split::handler(store)))
}

fn app() -> (Store<Market>, Harness) {
    let (store, router) = market();
    (store, harness(router))
}

#[tornadose_test::test]
async fn a_connection_gets_the_messages_of_every_listed_key_in_order() {
    let (store, app) = app();
    store.submit(quote("A", 1)).await.unwrap();
    store.submit(trade("C", 2)).await.unwrap();
    store.submit(trade("B", 3)).await.unwrap();
    app.client("sse").sse("/market?symbol=B&symbol=A&symbol=B").await;
    app.client("ws").ws("/split?symbols=A%2CB").await;
    for (symbol, price) in [("B", 4), ("C", 5), ("A", 6)] {
        store.submit(trade(symbol, price)).await.unwrap();
    }
    assert_transcript!(app, @r#"
    sse > GET /market?symbol=B&symbol=A&symbol=B
    sse ~ open 200 text/event-stream
    sse < quote #1 {"symbol":"A","bid":1}
    sse < trade #2 {"symbol":"B","price":3}
    ws > GET /split?symbols=A%2CB upgrade websocket
    ws ~ open 101
    ws < quote {"symbol":"A","bid":1}
    sse < trade #3 {"symbol":"B","price":4}
    sse < trade #4 {"symbol":"A","price":6}
    ws < trade #3 {"symbol":"B","price":4}
    ws < trade #4 {"symbol":"A","price":6}
    "#);
}

#[tornadose_test::test]
async fn a_key_that_is_listed_twice_counts_once() {
    let (store, app) = app();
    let page = app.client("page").sse("/market?symbol=A&symbol=A&symbol=B&symbol=A&symbol=C&symbol=B").await;
    assert_eq!(page.status(), 200);
    let counts = ["A", "B", "C", "D"].map(|symbol| store.subscribers_of(&key(symbol)));
    assert_eq!((counts, store.subscribers()), ([1, 1, 1, 0], 1));
    page.close().await;
    assert_eq!(store.subscribers_of(&key("A")), 0);
}

#[tornadose_test::test]
async fn too_many_keys_are_answered_400_before_the_hook_runs() {
    let (store, app) = app();
    // With ten symbols the hook of `/market` would panic.
    let names = |count: u32| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    for (path, bound) in [
        (format!("/market?symbol={}", names(4).join("&symbol=")), "`symbol`: at most 3 keys are allowed"),
        (format!("/market?symbol={}", names(1000).join("&symbol=")), "`symbol`: at most 3 keys are allowed"),
        (format!("/split?symbols={}", names(257).join(",")), "`symbols`: at most 256 keys are allowed"),
    ] {
        let page = app.client("page").lenient().sse(&path).await;
        let socket = app.client("socket").lenient().ws(&path).await;
        assert_eq!((page.status(), socket.status()), (400, 400));
        assert!(page.text().contains(bound), "{}", page.text());
        assert!(socket.text().contains(bound), "{}", socket.text());
    }
    assert_eq!(store.subscribers(), 0);
    let path = format!("/split?symbols={},0,1,2", names(256).join(","));
    assert_eq!(app.client("page").sse(path).await.status(), 200);
    assert_eq!(store.subscribers_of(&key("255")), 1);
}

#[tornadose_test::test]
async fn a_connection_without_a_key_is_answered_400() {
    let (store, app) = app();
    app.client("missing").sse("/market").await;
    app.client("removed").ws("/market?symbol=UNLISTED").await;
    app.client("optional").sse("/split").await;
    app.client("empty").sse("/split?symbols=,").await;
    app.client("secret").sse("/market?symbol=A&symbol=SECRET").await;
    assert_eq!(store.subscribers(), 0);
    assert_transcript!(app, @r"
    missing > GET /market
    missing ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `symbol`: missing, expected a list
    removed > GET /market?symbol=UNLISTED upgrade websocket
    removed ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `symbol`: expected at least one key
    optional > GET /split
    optional ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `symbols`: expected at least one key
    empty > GET /split?symbols=,
    empty ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `symbols`: expected at least one key
    secret > GET /market?symbol=A&symbol=SECRET
    secret ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: not SECRET
    ");
}

#[tornadose_test::test]
async fn the_hook_may_change_the_list() {
    let (store, app) = app();
    app.client("page").sse("/market?symbol=UNLISTED&symbol=A").await;
    store.submit(trade("UNLISTED", 1)).await.unwrap();
    store.submit(trade("A", 2)).await.unwrap();
    assert_transcript!(app, @r#"
    page > GET /market?symbol=UNLISTED&symbol=A
    page ~ open 200 text/event-stream
    page < trade #1 {"symbol":"A","price":2}
    "#);
}

#[tornadose_test::test]
async fn a_disconnect_of_one_key_ends_the_connection() {
    let (store, app) = app();
    let page = app.client("page").once().sse("/market?symbol=A&symbol=B").await;
    let socket = app.client("socket").ws("/split?symbols=A,B").await;
    let other = app.client("other").sse("/market?symbol=A&symbol=C").await;
    store.submit(trade("B", 1)).await.unwrap();
    store.disconnect(&key("B"));
    app.settle().await;
    assert_eq!(["A", "B", "C"].map(|symbol| store.subscribers_of(&key(symbol))), [1, 0, 1]);
    assert_transcript!(app, @r#"
    page > GET /market?symbol=A&symbol=B
    page ~ open 200 text/event-stream
    socket > GET /split?symbols=A,B upgrade websocket
    socket ~ open 101
    other > GET /market?symbol=A&symbol=C
    other ~ open 200 text/event-stream
    page < trade #1 {"symbol":"B","price":1}
    page < retry 6.708s
    page ~ end
    socket < trade #1 {"symbol":"B","price":1}
    socket ~ close 1008 (server) disconnected
    "#);
    drop((page, socket, other));
}

#[tornadose_test::test]
async fn a_client_that_resumes_gets_what_came_after_its_id_for_each_key() {
    let (store, app) = app();
    let page = app.client("page").fault(Cut::after_event(1)).sse("/market?symbol=A&symbol=B").await;
    for price in [1, 2, 3] {
        store.submit(trade("A", price)).await.unwrap();
        store.submit(trade("C", price)).await.unwrap();
        store.submit(quote("B", price)).await.unwrap();
    }
    page.reconnected().await;
    let socket = app.client("socket").last_event_id(page.last_event_id().unwrap()).ws("/split?symbols=A,B").await;
    store.submit(trade("B", 4)).await.unwrap();
    assert_transcript!(app, @r#"
    page > GET /market?symbol=A&symbol=B
    page ~ open 200 text/event-stream
    page < trade #1 {"symbol":"A","price":1}
    page ! cut after event #1
    after 3s
    page > GET /market?symbol=A&symbol=B last-event-id #1
    page ~ open 200 text/event-stream
    page < trade #2 {"symbol":"A","price":2}
    page < trade #3 {"symbol":"A","price":3}
    page < quote #4 {"symbol":"B","bid":3}
    socket > GET /split?symbols=A,B upgrade websocket last-event-id #4
    socket ~ open 101
    page < trade #5 {"symbol":"B","price":4}
    socket < trade #5 {"symbol":"B","price":4}
    "#);
    drop(socket);
}

#[tornadose_test::test]
async fn a_set_of_keys_resumes_at_every_byte() {
    let new_app = || {
        let (store, router) = market();
        (router, store)
    };
    let submit = async |store: Store<Market>| {
        for price in [1, 2] {
            for symbol in ["A", "C", "B"] {
                store.submit(trade(symbol, price)).await.unwrap();
            }
        }
    };
    resume_at_every_byte(new_app, "/market?symbol=A&symbol=B", submit).await;
}

#[cfg(feature = "simulation")]
#[tornadose_test::test]
async fn a_set_of_keys_goes_on_at_another_process() {
    let engine = Engine::new(7);
    let one: Store<Market> = Store::open(engine.process("one").backend()).await.unwrap();
    let two: Store<Market> = Store::open(engine.process("two").backend()).await.unwrap();
    let app = harness(
        Router::new()
            .push(Router::with_path("one").push(router(&one)))
            .push(Router::with_path("two").push(router(&two))),
    );
    two.submit(quote("B", 1)).await.unwrap();
    let page = app.client("page").sse("/one/market?symbol=A&symbol=B").await;
    for (symbol, price) in [("A", 2), ("C", 3), ("B", 4)] {
        two.submit(trade(symbol, price)).await.unwrap();
    }
    app.settle().await;
    let id = page.last_event_id().unwrap();
    page.close().await;
    one.submit(trade("A", 5)).await.unwrap();
    app.advance(secs(1)).await;
    app.client("moved").last_event_id(id).ws("/two/split?symbols=B,A").await;
    one.submit(trade("B", 6)).await.unwrap();
    app.advance(secs(1)).await;
    assert_transcript!(app, @r#"
    page > GET /one/market?symbol=A&symbol=B
    page ~ open 200 text/event-stream
    page < quote #1 {"symbol":"B","bid":1}
    page < trade #2 {"symbol":"A","price":2}
    page < trade #3 {"symbol":"B","price":4}
    page ~ close (client)
    after 1s
    moved > GET /two/split?symbols=B,A upgrade websocket last-event-id #3
    moved ~ open 101
    moved < trade #4 {"symbol":"A","price":5}
    moved < trade #5 {"symbol":"B","price":6}
    "#);
}

/// A row of a dashboard.
#[store(latest)]
#[derive(Serialize)]
struct Row {
    #[key]
    tenant: u32,
    #[key]
    user: u64,
    online: bool,
}

/// The rows of one tenant. Its users come from the program, not from the client.
#[subscriber(sse, ws, store = Row)]
struct Team {
    #[key]
    #[depot("tenant")]
    tenant: u32,
    #[keys(user)]
    #[depot]
    users: Arc<[u64]>,
}

/// As `Team`, of a tenant that the client names.
#[subscriber(sse, store = Row, authorize = public)]
struct TenantRows {
    #[key]
    tenant: u32,
    #[keys(user)]
    #[query]
    user: Vec<u64>,
}

#[handler]
async fn login(depot: &mut Depot) {
    let users: Arc<[u64]> = [7, 8, 7].into();
    depot.insert("tenant", 1_u32).insert_typed(users);
}

#[tornadose_test::test]
async fn each_combination_with_further_keys_is_a_key() {
    let store = Store::new();
    let app = harness(
        Router::new()
            .push(Router::with_path("team").hoop(login).get(Team::handler(&store)))
            .push(Router::with_path("tenants/{tenant}").get(TenantRows::handler(&store))),
    );
    app.client("team").sse("/team").await;
    app.client("socket").ws("/team").await;
    app.client("two").sse("/tenants/2?user=8&user=9").await;
    app.client("odd").sse("/tenants/2?user=x").await;
    for (tenant, user) in [(1, 7), (2, 7), (1, 9), (2, 8), (1, 8), (2, 9)] {
        store.submit(Row { tenant, user, online: true }).await.unwrap();
    }
    assert_eq!(store.subscribers_of(&RowKey { tenant: 1, user: 7 }), 2);
    assert_transcript!(app, @r#"
    team > GET /team
    team ~ open 200 text/event-stream
    socket > GET /team upgrade websocket
    socket ~ open 101
    two > GET /tenants/2?user=8&user=9
    two ~ open 200 text/event-stream
    odd > GET /tenants/2?user=x
    odd ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `user`: expected u64
    team < message #1 {"tenant":1,"user":7,"online":true}
    team < message #2 {"tenant":1,"user":8,"online":true}
    socket < message #1 {"tenant":1,"user":7,"online":true}
    socket < message #2 {"tenant":1,"user":8,"online":true}
    two < message #3 {"tenant":2,"user":8,"online":true}
    two < message #4 {"tenant":2,"user":9,"online":true}
    "#);
}

/// `GET /set?keys=3` for a set of so many keys, written by hand.
struct ByHand(u32);

impl Subscriber for ByHand {
    type Message = Market;

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        request.query("keys").map(Self).ok_or_else(StatusError::bad_request)
    }
    fn keys(&self) -> Keys<MarketKey> {
        Keys::Set((0..self.0).map(|number| key(&number.to_string())).collect())
    }
}

#[tornadose_test::test]
async fn the_bound_of_the_handler_holds_for_every_set() {
    let store = Store::new();
    let router = Router::new()
        .push(Router::with_path("default").get(StreamHandler::<ByHand>::new(&store)))
        .push(Router::with_path("set").get(StreamHandler::<ByHand>::new(&store).max_keys(2)))
        .push(Router::with_path("raised").get(Watchlist::handler(&store).max_keys(4)))
        .push(Router::with_path("none").get(Watchlist::handler(&store).max_keys(0)));
    let app = harness(router);
    for (path, expected) in [
        ("/default?keys=256", None),
        ("/default?keys=257", Some("keys: at most 256 keys are allowed")),
        ("/set?keys=0", None),
        ("/set?keys=2", None),
        ("/set?keys=3", Some("keys: at most 2 keys are allowed")),
        ("/raised?symbol=A&symbol=B&symbol=C&symbol=D", None),
        ("/none?symbol=A", Some("query parameter `symbol`: at most 0 keys are allowed")),
    ] {
        let page = app.client("page").lenient().sse(path).await;
        let text = if expected.is_some() { page.text() } else { String::new() };
        assert_eq!(page.status(), if expected.is_some() { 400 } else { 200 }, "{path}: {text}");
        assert!(text.contains(expected.unwrap_or_default()), "{path}: {text}");
    }
}
