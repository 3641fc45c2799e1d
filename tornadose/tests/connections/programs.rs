//! Whole programs, as small as they are written: their types, and a test of what their clients see.

use std::time::Duration;

use serde_json::{Value, json};
use tornadose::StreamHandler;
use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::{harness, secs};

/// What a middleware knows of whoever is signed in: `?user=7`, of the tenant 1.
struct Account {
    user: u32,
    scopes: Vec<Scope>,
}

#[handler]
async fn sign_in(request: &mut Request, depot: &mut Depot) {
    let user = request.query("user").unwrap_or_default();
    depot.insert_typed(Account { user, scopes: vec![Scope::Tenant(1), Scope::User(user)] });
}

fn app<S: Subscriber>(store: &Store<S::Message>) -> Harness {
    harness(Router::with_path("feed").hoop(sign_in).get(StreamHandler::<S>::new(store)))
}

// --- A dashboard: a banner for everyone of a tenant, and widgets for one user, on one connection ---------------------

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Tenant(u32),
    User(u32),
}

#[store(latest)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Board {
    Banner {
        #[key]
        scope: Scope,
        text: &'static str,
    },
    Widget {
        #[key]
        scope: Scope,
        open_tickets: u32,
    },
}

#[subscriber(sse, ws, store = Board)]
struct Dashboard {
    #[keys(scope)]
    #[depot(Account, scopes)]
    scopes: Vec<Scope>,
}

#[tornadose_test::test]
async fn a_dashboard_shows_the_banner_of_its_tenant_and_the_widgets_of_its_user() {
    let store = Store::new();
    store.try_submit(Board::Banner { scope: Scope::Tenant(1), text: "maintenance at noon" }).unwrap();
    for (user, open_tickets) in [(7, 3), (8, 5)] {
        store.try_submit(Board::Widget { scope: Scope::User(user), open_tickets }).unwrap();
    }
    let app = app::<Dashboard>(&store);
    let page = app.client("page").sse("/feed?user=7").await;
    page.skip(2).await;
    store.try_submit(Board::Banner { scope: Scope::Tenant(2), text: "of others" }).unwrap();
    store.try_submit(Board::Banner { scope: Scope::Tenant(1), text: "done" }).unwrap();
    page.skip(1).await;
    assert_transcript!(page, @r#"
    page > GET /feed?user=7
    page ~ open 200 text/event-stream
    page < banner #1 {"scope":{"tenant":1},"text":"maintenance at noon"}
    page < widget #2 {"scope":{"user":7},"open_tickets":3}
    page < banner #3 {"scope":{"tenant":1},"text":"done"}
    "#);
}

// --- Notifications: everything of the last hour, also on a page that was away ----------------------------------------

#[store(queue, ttl = "1h")]
#[derive(Serialize)]
struct Notification {
    #[key]
    user: u32,
    text: &'static str,
}

#[subscriber(sse, store = Notification, replay = all)]
struct Notifications {
    #[key]
    #[depot(Account, user)]
    user: u32,
}

#[tornadose_test::test]
async fn notifications_of_the_last_hour_wait_for_their_user() {
    let store = Store::new();
    let app = app::<Notifications>(&store);
    for (text, minutes) in [("stale", 50), ("fresh", 20), ("new", 0)] {
        store.try_submit(Notification { user: 7, text }).unwrap();
        app.advance(secs(60 * minutes)).await;
    }
    let page = app.client("page").sse("/feed?user=7").await;
    page.skip(2).await;
    assert_transcript!(page, @r#"
    page > GET /feed?user=7
    page ~ open 200 text/event-stream
    page < message #1 {"user":7,"text":"fresh"}
    page < message #2 {"user":7,"text":"new"}
    "#);
}

// --- A chat: who joins and leaves, and a reply to each text -------------------------------------------------------------

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Room {
    Joined { user: u32 },
    Said { user: u32, text: String },
    Left { user: u32 },
}

#[subscriber(ws, store = Room, opened = Self::joined, closed = Self::left, receive = Self::said)]
struct Chat {
    #[depot(Account, user)]
    user: u32,
}

impl Chat {
    async fn joined(&mut self, room: &Store<Room>) {
        room.submit(Room::Joined { user: self.user }).await.ok();
    }

    async fn said(&mut self, text: String, room: &Store<Room>) -> Result<tornadose::Id, &'static str> {
        room.submit(Room::Said { user: self.user, text }).await.map_err(|_| "the room is closed")
    }

    async fn left(self, room: &Store<Room>) {
        room.submit(Room::Left { user: self.user }).await.ok();
    }
}

#[tornadose_test::test]
async fn a_chat_tells_who_joins_says_and_leaves() {
    let store = Store::new();
    let app = app::<Chat>(&store);
    let ada = app.client("ada").ws("/feed?user=1").await;
    let bob = app.client("bob").ws("/feed?user=2").await;
    bob.ask::<Value>(&"hi").await;
    bob.skip(2).await;
    bob.close().await;
    ada.skip(4).await;
    assert_transcript!(ada, @r#"
    ada > GET /feed?user=1 upgrade websocket
    ada ~ open 101
    ada < joined #1 {"user":1}
    ada < joined #2 {"user":2}
    ada < said #3 {"user":2,"text":"hi"}
    ada < left #4 {"user":2}
    "#);
}

// --- Prices of symbols that a page lists in its query ---------------------------------------------------------------------

#[store(latest)]
#[derive(Serialize)]
struct Price {
    #[key]
    symbol: String,
    cents: u32,
}

#[subscriber(sse, store = Price, authorize = public, throttle = "1s")]
struct Prices {
    #[keys(symbol)]
    #[query("symbols", separator = ",")]
    symbols: Vec<String>,
}

#[tornadose_test::test]
async fn a_page_lists_its_symbols_and_sees_each_once_a_second() {
    let store = Store::new();
    let app = app::<Prices>(&store);
    let page = app.client("page").sse("/feed?symbols=AAPL,MSFT").await;
    for cents in 1..=5 {
        for symbol in ["AAPL", "GOOG", "MSFT"] {
            store.try_submit(Price { symbol: symbol.into(), cents }).unwrap();
        }
        app.advance(Duration::from_millis(300)).await;
    }
    app.advance(secs(1)).await;
    let prices = page.drain::<Value>().await;
    assert_eq!(prices.last(), Some(&json!({ "symbol": "MSFT", "cents": 5 })));
    assert!(prices.len() <= 7, "{prices:?}");
}
