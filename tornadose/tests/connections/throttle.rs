//! Connections that write messages at most once in a period.

use std::time::Duration;

use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options};
use tornadose_test::{Client, Ending, Harness, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, capacity = 8)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: &'static str,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: &'static str,
        bid: u32,
    },
}

fn trade(price: u32) -> Market {
    Market::Trade { symbol: "A", price }
}

fn quote(bid: u32) -> Market {
    Market::Quote { symbol: "A", bid }
}

struct Feed(Keys<MarketKey>);

impl Subscriber for Feed {
    type Message = Market;
    const OPTIONS: Options = Options::new().throttle(secs(10)).replay(2);
    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let is_all = request.query::<bool>("all") == Some(true);
        Ok(Self(if is_all { Keys::All } else { Keys::One(MarketKey { symbol: "A" }) }))
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        self.0.clone()
    }
}

type Handler = tornadose::StreamHandler<Feed>;

fn market(set: impl Fn(Handler) -> Handler) -> (Store<Market>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("market").get(set(Handler::new(&store))));
    (store, app)
}

fn submit(store: &Store<Market>, messages: impl IntoIterator<Item = Market>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

#[tornadose_test::test]
async fn what_comes_within_a_period_is_written_together_at_its_end() {
    let (store, app) = market(|handler| handler.keep_alive(None));
    let page = app.client("page").sse("/market").await;
    let socket = app.client("socket").ws("/market").await;
    app.advance(secs(100)).await;
    submit(&store, [trade(1)]);
    app.advance(secs(3)).await;
    submit(&store, [trade(2), quote(3), quote(4)]);
    app.advance(secs(3)).await;
    submit(&store, [quote(5), trade(6)]);
    app.advance(secs(30)).await;
    submit(&store, [trade(7)]);
    app.settle().await;
    for client in [&page, &*socket] {
        client.skip(5).await;
    }
    assert_transcript!(page, @r#"
    page > GET /market
    page ~ open 200 text/event-stream
    after 1m 40s
    page < trade #1 {"symbol":"A","price":1}
    after 10s
    page < trade #2 {"symbol":"A","price":2}
    page < quote #3 {"symbol":"A","bid":5}
    page < trade #4 {"symbol":"A","price":6}
    after 26s
    page < trade #5 {"symbol":"A","price":7}
    "#);
    assert_transcript!(socket, @r#"
    socket > GET /market upgrade websocket
    socket ~ open 101
    after 1m 40s
    socket < trade #1 {"symbol":"A","price":1}
    after 10s
    socket < trade #2 {"symbol":"A","price":2}
    socket < quote #3 {"symbol":"A","bid":5}
    socket < trade #4 {"symbol":"A","price":6}
    after 26s
    socket < trade #5 {"symbol":"A","price":7}
    "#);
}

#[tornadose_test::test]
async fn the_kept_state_does_not_wait_and_counts_as_written() {
    let (store, app) = market(|handler| handler);
    submit(&store, [trade(1), trade(2), trade(3), quote(4)]);
    for client in [&app.client("page").sse("/market").await, &*app.client("socket").ws("/market").await] {
        client.skip(3).await;
    }
    submit(&store, [trade(5)]);
    app.advance(secs(9)).await;
    assert_eq!(app.recording().to_string().matches(r#""price":5"#).count(), 0);
    app.advance(secs(1)).await;
    assert_transcript!(app, @r#"
    page > GET /market
    page ~ open 200 text/event-stream
    page < trade #1 {"symbol":"A","price":2}
    page < trade #2 {"symbol":"A","price":3}
    page < quote #3 {"symbol":"A","bid":4}
    socket > GET /market upgrade websocket
    socket ~ open 101
    socket < trade #1 {"symbol":"A","price":2}
    socket < trade #2 {"symbol":"A","price":3}
    socket < quote #3 {"symbol":"A","bid":4}
    after 10s
    page < trade #4 {"symbol":"A","price":5}
    socket < trade #4 {"symbol":"A","price":5}
    "#);
}

async fn finish(app: &Harness, client: &Client, prices: impl IntoIterator<Item = u32>) {
    app.settle().await;
    for price in prices {
        let message = client.next_now::<serde_json::Value>().await;
        assert_eq!(message["trade"]["price"], price);
    }
}

#[tornadose_test::test]
async fn half_of_the_capacity_of_a_key_does_not_wait() {
    for path in ["/market", "/market?all=true"] {
        let (store, app) = market(|handler| handler);
        let page = app.client("page").sse(path).await;
        let socket = app.client("socket").ws(path).await;
        submit(&store, [trade(0)]);
        app.settle().await;
        submit(&store, (1..4).map(trade));
        // Those of another key do not count.
        submit(&store, [Market::Trade { symbol: "B", price: 0 }, Market::Trade { symbol: "B", price: 0 }]);
        app.settle().await;
        for client in [&page, &*socket] {
            finish(&app, client, [0]).await;
            client.quiet().await;
        }
        submit(&store, [trade(4)]);
        let others = if path == "/market" { &[][..] } else { &[0, 0] };
        for client in [&page, &*socket] {
            finish(&app, client, [1, 2, 3].iter().chain(others).chain(&[4]).copied()).await;
        }
    }
}

#[tornadose_test::test]
async fn no_message_is_lost_however_many_come() {
    let (store, app) = market(|handler| handler);
    let page = app.client("page").sse("/market").await;
    let socket = app.client("socket").ws("/market?all=true").await;
    for price in 0..1000 {
        submit(&store, [trade(price)]);
        if price % 7 == 0 {
            app.advance(secs(1)).await;
        } else {
            app.settle().await;
        }
    }
    app.advance(secs(10)).await;
    for client in [&page, &*socket] {
        finish(&app, client, 0..1000).await;
    }
}

#[tornadose_test::test]
async fn an_end_takes_along_what_waits() {
    for end in ["close", "disconnect", "max_age"] {
        let (store, app) = market(|handler| if end == "max_age" { handler.max_age(secs(60)) } else { handler });
        let page = app.client("page").once().sse("/market").await;
        let socket = app.client("socket").ws("/market").await;
        // The first two connections have a maximum age of 61.416 and 56.833 s.
        for second in [50, 5] {
            app.advance(secs(second)).await;
            submit(&store, [trade(1), trade(2)]);
            app.settle().await;
        }
        match end {
            "close" => store.close(),
            "disconnect" => store.disconnect(&MarketKey { symbol: "A" }),
            _ => app.advance(secs(4)).await,
        }
        if end == "max_age" {
            finish(&app, &socket, [1, 2, 1, 2]).await;
            finish(&app, &page, [1, 2]).await;
            page.quiet().await;
            app.advance(secs(3)).await;
            finish(&app, &page, [1, 2]).await;
        } else {
            finish(&app, &page, [1, 2, 1, 2]).await;
            finish(&app, &socket, [1, 2, 1, 2]).await;
        }
        assert_eq!(page.closed().await, Ending::End);
        assert!(matches!(socket.closed().await, Ending::Close { .. }));
    }
}

#[tornadose_test::test]
async fn waiting_is_no_stall_and_has_no_position() {
    let (store, app) = market(|handler| handler.keep_alive(secs(1)));
    let page = app.client("page").once().sse("/market").await;
    let socket = app.client("socket").ws("/market").await;
    submit(&store, [trade(1)]);
    app.settle().await;
    let (page_id, socket_id) = (page.last_event_id(), socket.last_event_id());
    submit(&store, [trade(2)]);
    app.advance(Duration::from_millis(9_500)).await;
    assert_eq!((page.last_event_id(), socket.last_event_id()), (page_id, socket_id));
    for client in [&page, &*socket] {
        finish(&app, client, [1]).await;
        client.quiet().await;
    }
    app.advance(secs(1)).await;
    for client in [&page, &*socket] {
        finish(&app, client, [2]).await;
    }
    // The position of a connection with nothing to wait for goes on.
    submit(&store, [Market::Trade { symbol: "B", price: 0 }]);
    app.advance(secs(2)).await;
    let head = store.head().to_string();
    assert_eq!((page.last_event_id(), socket.last_event_id()), (Some(head.clone()), Some(head)));
}
