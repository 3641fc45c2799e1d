//! Keys that the client of a WebSocket watches while it is connected.

use serde_json::json;
use tornadose::backend::{BackendLink, Ingested, Offset};
use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::{harness, secs};
use super::link::{self, entry, loaded};

#[store(queue, capacity = 4)]
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
    #[finish]
    Delisted {
        #[key]
        symbol: String,
    },
}

fn trade(symbol: &str, price: u32) -> Market {
    Market::Trade { symbol: symbol.into(), price }
}

fn quote(symbol: &str, bid: u32) -> Market {
    Market::Quote { symbol: symbol.into(), bid }
}

fn delisted(symbol: &str) -> Market {
    Market::Delisted { symbol: symbol.into() }
}

fn key(symbol: &str) -> MarketKey {
    MarketKey { symbol: symbol.into() }
}

/// `GET /market`
#[subscriber(ws, store = Market, replay = 2, watch = Self::may_watch, max_keys = 3)]
struct Chosen;

impl Chosen {
    #[allow(clippy::unused_self, clippy::unused_async, reason = "the shape of the hook")]
    async fn may_watch(&mut self, key: &MarketKey, _: &Store<Market>) -> Result<(), String> {
        match &*key.symbol {
            "SECRET" => Err("not SECRET".into()),
            "PANIC" => panic!("as asked"),
            "SLOW" => {
                tokio::time::sleep(secs(5)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `GET /board?symbol=A`
#[subscriber(sse, ws, store = Market, replay = all, authorize = public, watch = public, receive = Self::received)]
struct Board {
    #[keys(symbol)]
    #[query("symbol")]
    symbols: Vec<String>,
}

impl Board {
    #[allow(clippy::unused_self, clippy::unused_async, reason = "the shape of the hook")]
    async fn received(&mut self, price: u32, store: &Store<Market>) -> u32 {
        store.submit(trade("A", price)).await.unwrap();
        price
    }
}

fn router(store: &Store<Market>) -> Router {
    Router::new()
        .push(Router::with_path("market").get(Chosen::handler(store)))
        .push(Router::with_path("board").get(Board::handler(store)))
}

fn app() -> (Store<Market>, Harness) {
    let store = Store::new();
    let app = harness(router(&store));
    (store, app)
}

async fn submit(store: &Store<Market>, messages: impl IntoIterator<Item = Market>) {
    for message in messages {
        store.submit(message).await.unwrap();
    }
}

#[tornadose_test::test]
async fn a_watched_key_gives_its_kept_state_then_the_confirmation_then_what_comes() {
    let (store, app) = app();
    submit(&store, [trade("A", 1), quote("A", 2), trade("B", 3), trade("A", 4), trade("A", 5)]).await;
    let page = app.client("page").ws("/market").await;
    submit(&store, [trade("A", 6)]).await;
    page.watch("A").await;
    submit(&store, [trade("B", 7), trade("A", 8)]).await;
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < quote {"symbol":"A","bid":2}
    page < trade at #1 of "A" {"symbol":"A","price":5}
    page < trade at #2 of "A" {"symbol":"A","price":6}
    page < tornadose:watching {"keys":["A"]}
    page < trade #3 {"symbol":"A","price":8}
    "#);
}

#[tornadose_test::test]
async fn the_position_is_written_before_the_confirmation() {
    let (store, app) = app();
    submit(&store, [trade("A", 1), trade("B", 2)]).await;
    let page = app.client("page").ws("/market").await;
    page.watch("A").await;
    submit(&store, [trade("B", 3)]).await;
    page.watch(&json!("C")).await;
    assert_transcript!(page, wire, @r##"
    page > GET /market upgrade websocket
    page ~ open 101
    page ~ connection: upgrade
    page ~ upgrade: websocket
    page ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    page < text {"id":"#1"}
    page > {"tornadose:watch":["A"]}
    page < text {"at":"#2","key":"A","event":"trade","data":{"symbol":"A","price":1}}
    page < text {"event":"tornadose:watching","data":{"keys":["A"]}}
    page > {"tornadose:watch":["C"]}
    page < text {"id":"#3"}
    page < text {"event":"tornadose:watching","data":{"keys":["C"]}}
    "##);
}

#[tornadose_test::test]
async fn a_known_id_brings_exactly_what_came_after_it() {
    let (store, app) = app();
    submit(&store, [trade("A", 1), quote("A", 2)]).await;
    let since = store.head().to_string();
    submit(&store, [trade("B", 3), trade("A", 4)]).await;
    let page = app.client("page").ws("/market").await;
    page.watch_since("A", &since).await;
    assert_transcript!(page, @r##"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"],"since":"#1"}
    page < trade at #2 of "A" {"symbol":"A","price":4}
    page < tornadose:watching {"keys":["A"]}
    "##);
}

#[tornadose_test::test]
async fn a_trimmed_and_an_unknown_id_are_a_gap_of_the_key() {
    let (store, app) = app();
    submit(&store, [trade("A", 1), trade("B", 1)]).await;
    let since = store.head().to_string();
    submit(&store, (2..8).map(|price| trade("A", price))).await;
    let page = app.client("page").ws("/board").await;
    page.watch_since("A", &since).await;
    page.watch_since("B", "another").await;
    submit(&store, [trade("A", 9)]).await;
    assert_transcript!(page, @r##"
    page > GET /board upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"],"since":"#1"}
    page < tornadose:gap {"reason":"trimmed","missed":null,"key":"A"}
    page < trade at #2 of "A" {"symbol":"A","price":4}
    page < trade at #3 of "A" {"symbol":"A","price":5}
    page < trade at #4 of "A" {"symbol":"A","price":6}
    page < trade at #5 of "A" {"symbol":"A","price":7}
    page < tornadose:watching {"keys":["A"]}
    page > {"tornadose:watch":["B"],"since":"another"}
    page < tornadose:gap {"reason":"restarted","missed":null,"key":"B"}
    page < trade at #1 of "B" {"symbol":"B","price":1}
    page < tornadose:watching {"keys":["B"]}
    page < trade #6 {"symbol":"A","price":9}
    "##);
}

#[tornadose_test::test]
async fn nothing_of_an_unwatched_key_follows_the_confirmation() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.send(&json!({"tornadose:watch": ["A", "B"]})).await;
    submit(&store, [trade("A", 1), trade("B", 2)]).await;
    page.unwatch("A").await;
    submit(&store, [trade("A", 3), trade("B", 4)]).await;
    assert_eq!((store.subscribers_of(&key("A")), store.subscribers_of(&key("B"))), (0, 1));
    page.watch("A").await;
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A","B"]}
    page < tornadose:watching {"keys":["A","B"]}
    page < trade #1 {"symbol":"A","price":1}
    page < trade #2 {"symbol":"B","price":2}
    page > {"tornadose:unwatch":["A"]}
    page < tornadose:unwatched {"keys":["A"]}
    page < trade #3 {"symbol":"B","price":4}
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":1}
    page < trade at #4 of "A" {"symbol":"A","price":3}
    page < tornadose:watching {"keys":["A"]}
    "#);
}

#[tornadose_test::test]
async fn keys_from_fields_cannot_be_unwatched_and_are_confirmed_when_watched() {
    let (store, app) = app();
    let page = app.client("page").ws("/board?symbol=A").await;
    page.send(&json!({"tornadose:watch": ["A", "B", "B"]})).await;
    page.send(&json!({"tornadose:unwatch": ["A", "B", "C"]})).await;
    submit(&store, [trade("A", 1), trade("B", 2)]).await;
    assert_transcript!(page, @r#"
    page > GET /board?symbol=A upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A","B","B"]}
    page < tornadose:watching {"keys":["A","B"]}
    page > {"tornadose:unwatch":["A","B","C"]}
    page < tornadose:error {"reason":"the connection has this key from its request, so it cannot be unwatched","key":"A"}
    page < tornadose:unwatched {"keys":["B","C"]}
    page < trade #1 {"symbol":"A","price":1}
    "#);
}

#[tornadose_test::test]
async fn each_refused_key_has_its_own_error() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.send(&json!({"tornadose:watch": ["SECRET", 7, "A"]})).await;
    page.send(&json!({"tornadose:watch": [{"symbol": "A"}]})).await;
    submit(&store, [trade("SECRET", 1), trade("A", 2)]).await;
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["SECRET",7,"A"]}
    page < tornadose:error {"reason":"not SECRET","key":"SECRET"}
    page < tornadose:error {"reason":"this is not a key of these messages","key":7}
    page < tornadose:watching {"keys":["A"]}
    page > {"tornadose:watch":[{"symbol":"A"}]}
    page < tornadose:error {"reason":"this is not a key of these messages","key":{"symbol":"A"}}
    page < tornadose:watching {"keys":[]}
    page < trade #1 {"symbol":"A","price":2}
    "#);
}

#[tornadose_test::test]
async fn a_key_that_no_message_can_have_is_refused() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.send(&json!({"tornadose:watch": ["x".repeat(1025)]})).await;
    let error = page.next_event().await;
    assert!(
        error.data.starts_with(r#"{"reason":"the key takes 1038 bytes of JSON: at most 1024 are allowed","key":"x"#)
    );
    assert_eq!(page.next_event().await.data, r#"{"keys":[]}"#);
    assert_eq!(store.subscribers_of(&key(&"x".repeat(1025))), 0);
}

#[tornadose_test::test]
async fn more_keys_than_allowed_are_refused() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.send(&json!({"tornadose:watch": ["A", "B", "C", "D"]})).await;
    page.send(&json!({"tornadose:watch": ["A", "B"]})).await;
    page.send(&json!({"tornadose:watch": ["C", "D"]})).await;
    page.unwatch("A").await;
    page.watch("D").await;
    let counts = ["A", "B", "C", "D"].map(|symbol| store.subscribers_of(&key(symbol)));
    assert_eq!(counts, [0, 1, 1, 1]);
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A","B","C","D"]}
    page < tornadose:error {"reason":"at most 3 keys are allowed"}
    page > {"tornadose:watch":["A","B"]}
    page < tornadose:watching {"keys":["A","B"]}
    page > {"tornadose:watch":["C","D"]}
    page < tornadose:error {"reason":"at most 3 keys are allowed","key":"D"}
    page < tornadose:watching {"keys":["C"]}
    page > {"tornadose:unwatch":["A"]}
    page < tornadose:unwatched {"keys":["A"]}
    page > {"tornadose:watch":["D"]}
    page < tornadose:watching {"keys":["D"]}
    "#);
}

#[tornadose_test::test]
async fn a_malformed_text_is_an_error() {
    let (_, app) = app();
    let page = app.client("page").ws("/board").await;
    for text in [
        r#"{"tornadose:watch":"A"}"#,
        r#"{"tornadose:watch":null}"#,
        r#"{"tornadose:unwatch":{"A":1}}"#,
        r#"{"tornadose:watch":["A"],"since":7}"#,
        r#"{"tornadose:watch":["A"],"tornadose:unwatch":["A"]}"#,
        r#"{"tornadose:watch":["A"],"since":"a","since":"b"}"#,
        r#"{"tornadose:watch":[]}"#,
        r#"{"tornadose:watch":[],"since":null}"#,
        r#"{"tornadose:unwatch":[]}"#,
    ] {
        page.send_text(text).await;
    }
    assert_transcript!(page, @r#"
    page > GET /board upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":"A"}
    page < tornadose:error {"reason":"`tornadose:watch` must be a list of keys"}
    page > {"tornadose:watch":null}
    page < tornadose:error {"reason":"`tornadose:watch` must be a list of keys"}
    page > {"tornadose:unwatch":{"A":1}}
    page < tornadose:error {"reason":"`tornadose:unwatch` must be a list of keys"}
    page > {"tornadose:watch":["A"],"since":7}
    page < tornadose:error {"reason":"`since` must be an id"}
    page > {"tornadose:watch":["A"],"tornadose:unwatch":["A"]}
    page < tornadose:error {"reason":"the server does not know this control text"}
    page > {"tornadose:watch":["A"],"since":"a","since":"b"}
    page < tornadose:error {"reason":"the control text repeats a member"}
    page > {"tornadose:watch":[]}
    page < tornadose:watching {"keys":[]}
    page > {"tornadose:watch":[],"since":null}
    page < tornadose:watching {"keys":[]}
    page > {"tornadose:unwatch":[]}
    page < tornadose:unwatched {"keys":[]}
    "#);
}

#[tornadose_test::test]
async fn a_finished_key_gives_its_past_and_its_finish_and_the_connection_stays() {
    let (store, app) = app();
    submit(&store, [trade("A", 1), delisted("A")]).await;
    let page = app.client("page").ws("/board?symbol=B").await;
    page.watch("A").await;
    submit(&store, [delisted("B"), trade("C", 2)]).await;
    page.watch("C").await;
    submit(&store, [delisted("C")]).await;
    assert_transcript!(page, @r#"
    page > GET /board?symbol=B upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":1}
    page < delisted at #2 of "A" {"symbol":"A"}
    page < tornadose:finished at #3 of "A" {"key":"A"}
    page < tornadose:watching {"keys":["A"]}
    page < delisted #4 {"symbol":"B"}
    page < tornadose:finished #5 {"key":"B"}
    page > {"tornadose:watch":["C"]}
    page < trade at #6 of "C" {"symbol":"C","price":2}
    page < tornadose:watching {"keys":["C"]}
    page < delisted #7 {"symbol":"C"}
    page < tornadose:finished #8 {"key":"C"}
    "#);
}

#[tornadose_test::test]
async fn a_removed_key_is_a_gap_and_stays() {
    let (store, app) = app();
    submit(&store, [trade("A", 1)]).await;
    let page = app.client("page").ws("/board").await;
    page.watch("A").await;
    store.remove(&key("A")).await.unwrap();
    submit(&store, [trade("A", 2)]).await;
    assert_transcript!(page, @r#"
    page > GET /board upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":1}
    page < tornadose:watching {"keys":["A"]}
    page < tornadose:gap {"reason":"removed","missed":0}
    page < trade #2 {"symbol":"A","price":2}
    "#);
}

#[tornadose_test::test]
async fn a_stream_needs_a_key_because_it_cannot_watch() {
    let (_, app) = app();
    let stream = app.client("stream").sse("/board").await;
    assert_eq!(stream.status(), 400);
    assert_transcript!(app, @r#"
    stream > GET /board
    stream ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: expected at least one key: only the client of a WebSocket can watch others
    "#);
}

#[tornadose_test::test]
async fn a_connection_that_holds_a_disconnected_key_ends() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.watch("A").await;
    store.disconnect(&key("A"));
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < tornadose:watching {"keys":["A"]}
    page ~ close 1008 (server) disconnected
    "#);
}

#[tornadose_test::test]
async fn other_messages_are_delivered_after_the_hook_and_a_panic_ends_the_connection() {
    let (store, app) = app();
    let page = app.client("page").ws("/market").await;
    page.watch("A").await;
    page.watch("SLOW").await;
    submit(&store, [trade("A", 1)]).await;
    app.advance(secs(5)).await;
    page.watch("PANIC").await;
    app.expect_panic("as asked").await;
    assert_transcript!(page, @r#"
    page > GET /market upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < tornadose:watching {"keys":["A"]}
    page > {"tornadose:watch":["SLOW"]}
    after 5s
    page < tornadose:watching {"keys":["SLOW"]}
    page < trade #1 {"symbol":"A","price":1}
    page > {"tornadose:watch":["PANIC"]}
    page ~ close 1011 (server) internal error
    server ! panicked: as asked
    "#);
}

/// `GET /slow`
#[subscriber(ws, store = Market, watch = public, throttle = "1s", filter = Self::shows, opened = Self::joined)]
struct Slow;

impl Slow {
    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    fn shows(&self, message: &Market) -> bool {
        !matches!(message, Market::Trade { price: 13, .. })
    }

    #[allow(clippy::unused_self, clippy::unused_async, reason = "the shape of the hook")]
    async fn joined(&mut self, _: &Store<Market>) {}
}

#[tornadose_test::test]
async fn a_past_is_filtered_and_does_not_wait_for_a_throttle() {
    let store = Store::new();
    let app = harness(Router::with_path("slow").get(Slow::handler(&store).replay(10)));
    submit(&store, [trade("A", 12), trade("A", 13), trade("A", 14)]).await;
    let page = app.client("page").ws("/slow").await;
    page.watch("A").await;
    submit(&store, [trade("A", 13), trade("A", 15)]).await;
    app.advance(secs(1)).await;
    assert_transcript!(page, @r#"
    page > GET /slow upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":12}
    page < trade at #2 of "A" {"symbol":"A","price":14}
    page < tornadose:watching {"keys":["A"]}
    page < trade #3 {"symbol":"A","price":15}
    "#);
}

#[tornadose_test::test]
async fn an_ask_is_answered_after_the_confirmation() {
    let (store, app) = app();
    submit(&store, [trade("A", 1)]).await;
    let page = app.client("page").ws("/board").await;
    page.watch("A").await;
    assert_eq!(page.ask::<u32>(&2).await, 2);
    assert_transcript!(page, @r#"
    page > GET /board upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":1}
    page < tornadose:watching {"keys":["A"]}
    page > ask 1 2
    page < tornadose:reply 1 2
    page < trade #2 {"symbol":"A","price":2}
    "#);
}

#[tornadose_test::test]
async fn a_flood_of_texts_is_bounded() {
    let (store, app) = app();
    submit(&store, (0..4).map(|price| trade(&"x".repeat(900), price))).await;
    let page = app.client("page").buffer_size(1024).ws("/board").await;
    page.stall().await;
    let text = format!(r#"{{"tornadose:watch":["{0}"]}}"#, "x".repeat(900));
    let unwatch = text.replace("watch", "unwatch");
    // The server reads until its own buffers are full, so that the client cannot send all of these.
    for _ in 0..400 {
        page.send_text(&text).await;
        page.send_text(&unwatch).await;
    }
    page.resume().await;
    let events = page.drain_events().await;
    let confirmed = events.iter().filter(|event| event.name == "tornadose:watching").count();
    let trades = events.iter().filter(|event| event.name == "trade").count();
    assert_eq!((confirmed, trades), (400, 1600));
}

/// `GET /linked`
#[subscriber(ws, store = link::Market, watch = public, replay = all)]
struct Linked;

fn ingest(link: &BackendLink, seq: u64, symbol: &str, price: u32) {
    let json = format!(r#"{{"trade":{{"symbol":"{symbol}","price":{price}}}}}"#);
    assert!(matches!(link.ingest(link::at(seq), entry(&json)), Ingested::Queue));
}

async fn linked_app() -> (Harness, BackendLink) {
    let (store, link) = loaded(|link| {
        link.reset(link::EPOCH.parse().unwrap(), Offset::START);
        ingest(link, 1, "A", 1);
    })
    .await;
    (harness(Router::with_path("linked").get(Linked::handler(&store))), link)
}

#[tornadose_test::test]
async fn an_id_above_the_head_waits_for_its_key_alone() {
    let (app, link) = linked_app().await;
    let page = app.client("page").ws("/linked").await;
    page.watch_since("A", format!("{}-7.3", link::EPOCH)).await;
    page.watch("B").await;
    ingest(&link, 2, "B", 2);
    app.settle().await;
    ingest(&link, 3, "A", 3);
    ingest(&link, 4, "A", 4);
    assert_transcript!(page, @r##"
    page > GET /linked upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"],"since":"#1"}
    page > {"tornadose:watch":["B"]}
    page < tornadose:watching {"keys":["B"]}
    page < trade #2 {"symbol":"B","price":2}
    page < trade at #3 of "A" {"symbol":"A","price":4}
    page < tornadose:watching {"keys":["A"]}
    "##);
}

#[tornadose_test::test]
async fn a_key_that_was_unwatched_is_not_confirmed_by_a_request_that_waited() {
    let (app, link) = linked_app().await;
    let page = app.client("page").ws("/linked").await;
    page.watch("A").await;
    page.send(&json!({"tornadose:watch": ["A", "B"], "since": format!("{}-7.3", link::EPOCH)})).await;
    page.unwatch("A").await;
    ingest(&link, 2, "A", 2);
    ingest(&link, 3, "C", 3);
    assert_transcript!(page, @r##"
    page > GET /linked upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"]}
    page < trade at #1 of "A" {"symbol":"A","price":1}
    page < tornadose:watching {"keys":["A"]}
    page > {"since":"#2","tornadose:watch":["A","B"]}
    page > {"tornadose:unwatch":["A"]}
    page < tornadose:unwatched {"keys":["A"]}
    page < tornadose:watching {"keys":["B"]}
    "##);
}

#[tornadose_test::test]
async fn a_key_is_unwatched_once_the_log_is_loaded_again() {
    let (app, link) = linked_app().await;
    let page = app.client("page").ws("/linked").await;
    page.watch("A").await;
    page.drain_events().await;
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    page.unwatch("A").await;
    assert_eq!(page.drain_events().await.len(), 0);
    ingest(&link, 1, "A", 1);
    link.caught_up();
    ingest(&link, 2, "A", 2);
    let events = page.drain_events().await;
    let events: Vec<_> = events.iter().map(|event| (&*event.name, &*event.data)).collect();
    let gap = r#"{"reason":"restarted","missed":null}"#;
    assert_eq!(events, [("tornadose:gap", gap), ("tornadose:unwatched", r#"{"keys":["A"]}"#)]);
}

#[tornadose_test::test]
async fn an_id_that_does_not_come_is_a_gap_of_the_key_after_2_s() {
    let (app, link) = linked_app().await;
    let page = app.client("page").ws("/linked").await;
    page.watch_since("A", format!("{}-7.3", link::EPOCH)).await;
    app.advance(secs(2)).await;
    ingest(&link, 2, "A", 2);
    assert_transcript!(page, @r##"
    page > GET /linked upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"],"since":"#1"}
    after 2s
    page < tornadose:gap {"reason":"restarted","missed":null,"key":"A"}
    page < trade at #2 of "A" {"symbol":"A","price":1}
    page < tornadose:watching {"keys":["A"]}
    page < trade #3 {"symbol":"A","price":2}
    "##);
}

#[tornadose_test::test]
async fn a_key_that_waits_can_be_unwatched() {
    let (app, link) = linked_app().await;
    let page = app.client("page").ws("/linked").await;
    page.watch_since("A", format!("{}-7.3", link::EPOCH)).await;
    page.unwatch("A").await;
    ingest(&link, 2, "A", 2);
    app.advance(secs(2)).await;
    page.watch("A").await;
    assert_transcript!(page, @r##"
    page > GET /linked upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":["A"],"since":"#1"}
    page > {"tornadose:unwatch":["A"]}
    page < tornadose:unwatched {"keys":["A"]}
    page < tornadose:watching {"keys":[]}
    after 2s
    page > {"tornadose:watch":["A"]}
    page < trade at #2 of "A" {"symbol":"A","price":1}
    page < trade at #3 of "A" {"symbol":"A","price":2}
    page < tornadose:watching {"keys":["A"]}
    "##);
}
