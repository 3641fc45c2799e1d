//! Connections to a store whose queue messages expire.

use serde_json::Value;
use tornadose::prelude::*;
use tornadose_test::{Harness, Transport, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, ttl = "10s")]
#[derive(Serialize)]
struct Alert(String);

#[subscriber(sse, ws, store = Alert, replay = all)]
struct Alerts;

fn alerts() -> (Store<Alert>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("alerts").get(Alerts::handler(&store)));
    (store, app)
}

fn submit(store: &Store<Alert>, text: &str) {
    store.try_submit(Alert(text.into())).unwrap();
}

#[tornadose_test::test]
async fn a_newcomer_and_a_client_that_returns_get_what_has_not_expired() {
    let (store, app) = alerts();
    submit(&store, "one");
    let page = app.client("page").once().sse("/alerts").await;
    page.skip(1).await;
    page.cut().await;
    submit(&store, "two");
    app.advance(secs(6)).await;
    submit(&store, "three");
    app.advance(secs(5)).await;
    let id = page.last_event_id().unwrap();
    for over in [Transport::Sse, Transport::Ws] {
        app.client("late").open(over, "/alerts").await.skip(1).await;
        app.client("back").last_event_id(&id).open(over, "/alerts").await.skip(2).await;
    }
    assert_transcript!(app, @r#"
    page > GET /alerts
    page ~ open 200 text/event-stream
    page < message #1 "one"
    page ! cut
    after 11s
    late > GET /alerts
    late ~ open 200 text/event-stream
    late < message #2 "three"
    back > GET /alerts last-event-id #1
    back ~ open 200 text/event-stream
    back < tornadose:gap {"reason":"trimmed","missed":null}
    back < message #2 "three"
    late-2 > GET /alerts upgrade websocket
    late-2 ~ open 101
    late-2 < message #2 "three"
    back-2 > GET /alerts upgrade websocket last-event-id #1
    back-2 ~ open 101
    back-2 < tornadose:gap {"reason":"trimmed","missed":null}
    back-2 < message #2 "three"
    "#);
}

#[tornadose_test::test]
async fn a_slow_client_is_told_how_many_have_expired() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = alerts();
        let slow = app.client("slow").buffer_size(64).open(over, "/alerts").await;
        app.settle().await;
        slow.stall().await;
        for _ in 0..9 {
            // More than what hyper reads ahead of an attached stream.
            submit(&store, &"x".repeat(200_000));
            app.settle().await;
        }
        app.advance(secs(11)).await;
        submit(&store, "new");
        slow.resume().await;
        let (mut received, mut missed) = (0, 0);
        loop {
            let event = slow.next_event().await;
            if event.name == "tornadose:gap" {
                let gap: Value = serde_json::from_str(&event.data).unwrap();
                assert_eq!(gap["reason"], "lagged");
                missed += gap["missed"].as_u64().unwrap();
            } else if event.data == r#""new""# {
                break;
            } else {
                received += 1;
            }
        }
        assert_eq!(received + missed, 9);
        assert!(missed >= 5, "{missed}");
    }
}
