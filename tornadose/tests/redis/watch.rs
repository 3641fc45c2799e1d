//! Keys that are watched in several processes.

use tornadose::prelude::*;
use tornadose_test::{Event, Harness, WsClient};

use crate::common::until;
use crate::server::Server;

#[store(queue, channel = "trades")]
#[derive(Serialize, Deserialize)]
struct Trade {
    #[key]
    symbol: String,
    price: u32,
}

#[subscriber(ws, store = Trade, replay = all, watch = public)]
struct Trades;

/// A process: its store, and what serves it.
async fn process(server: &Server) -> (Store<Trade>, Harness) {
    let store = Store::redis(server.url()).await.unwrap();
    let app = Harness::new(Router::with_path("trades").get(Trades::handler(&store)));
    (store, app)
}

async fn submit(store: &Store<Trade>, symbol: &str, price: u32) -> String {
    store.submit(Trade { symbol: symbol.into(), price }).await.unwrap().to_string()
}

fn key(symbol: &str) -> TradeKey {
    TradeKey { symbol: symbol.into() }
}

/// Returns the prices up to the next confirmation, and the last event before it.
async fn past(page: &WsClient) -> (Vec<u32>, Option<Event>) {
    let (mut prices, mut last) = (Vec::new(), None);
    loop {
        let event = page.next_event().await;
        if event.name == "tornadose:watching" {
            return (prices, last);
        }
        prices.push(price(&event));
        last = Some(event);
    }
}

fn price(event: &Event) -> u32 {
    let trade: Trade = serde_json::from_str(&event.data).unwrap();
    trade.price
}

#[tornadose_test::test(clock = real)]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_key_goes_on_in_another_process() {
    let server = Server::start();
    let ((one, first_app), (two, second_app)) = (process(&server).await, process(&server).await);
    for price in 1..=3 {
        submit(&one, "A", price).await;
        submit(&two, "B", price).await;
    }
    until("both have all", || one.head() == two.head()).await;
    let first = first_app.client("first").ws("/trades").await;
    first.watch("A").await;
    let (prices, last) = past(&first).await;
    assert_eq!(prices, [1, 2, 3]);
    let at = last.and_then(|event| event.at).unwrap();
    let id = submit(&two, "A", 4).await;
    let event = first.next_event().await;
    assert_eq!((price(&event), event.id.as_deref()), (4, Some(&*id)));
    // Nobody has read the key here, so its entries were kept as bytes.
    let second = second_app.client("second").ws("/trades").await;
    second.watch_since("A", at).await;
    assert_eq!(past(&second).await.0, [4]);
    second.watch_since("B", &id).await;
    assert_eq!(past(&second).await.0, [0; 0]);
    submit(&one, "B", 4).await;
    assert_eq!(price(&second.next_event().await), 4);
    second.unwatch("B").await;
    assert_eq!(second.next_event().await.name, "tornadose:unwatched");
    assert_eq!((two.subscribers_of(&key("A")), two.subscribers_of(&key("B"))), (1, 0));
}

#[tornadose_test::test(clock = real)]
#[ignore = "needs redis-server: ./test runs it"]
async fn watched_keys_are_told_that_redis_was_flushed() {
    let server = Server::start();
    let (store, app) = process(&server).await;
    let id = submit(&store, "A", 1).await;
    let page = app.client("page").ws("/trades").await;
    page.watch("A").await;
    assert_eq!(past(&page).await.0, [1]);
    server.cli(&["flushall"]);
    submit(&store, "A", 2).await;
    assert_eq!(page.next_event().await.name, "tornadose:gap");
    assert_eq!(price(&page.next_event().await), 2);
    let again = app.client("again").ws("/trades").await;
    again.watch_since("A", id).await;
    let gap = again.next_event().await;
    assert_eq!(gap.data, r#"{"reason":"restarted","missed":null,"key":"A"}"#);
    assert_eq!(past(&again).await.0, [2]);
}
