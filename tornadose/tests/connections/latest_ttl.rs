//! Connections to a store whose `latest` values expire.

use tornadose::prelude::*;
use tornadose_test::{Harness, Transport, assert_transcript};

use super::harness::{harness, secs};

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Room {
    Said {
        #[key]
        room: u32,
        text: &'static str,
    },
    #[latest(ttl = "10s")]
    Member {
        #[key]
        room: u32,
        #[slot]
        user: &'static str,
        is_hidden: bool,
    },
    #[latest(ttl = "10s")]
    Cursor {
        #[key]
        room: u32,
        #[slot]
        user: &'static str,
        #[slot]
        pane: u32,
    },
    #[latest(ttl = "20s")]
    Topic {
        #[key]
        room: u32,
        text: &'static str,
    },
}

#[subscriber(sse, ws, store = Room, authorize = public, filter = Self::may_see)]
struct Page {
    #[key]
    room: u32,
}

impl Page {
    #[expect(clippy::unused_self, reason = "all pages see the same")]
    fn may_see(&self, message: &Room) -> bool {
        !matches!(message, Room::Member { is_hidden: true, .. })
    }
}

#[subscriber(sse, ws, store = Room, all_keys, authorize = public, throttle = "4s")]
struct Slow;

fn rooms() -> (Store<Room>, Harness) {
    let store = Store::new();
    let pages = Router::with_path("{room}").get(Page::handler(&store));
    let app = harness(Router::new().push(Router::with_path("all").get(Slow::handler(&store))).push(pages));
    (store, app)
}

fn said(text: &'static str) -> Room {
    Room::Said { room: 1, text }
}

fn member(user: &'static str) -> Room {
    Room::Member { room: 1, user, is_hidden: false }
}

fn submit(store: &Store<Room>, messages: impl IntoIterator<Item = Room>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

#[tornadose_test::test]
async fn readers_are_told_which_value_has_expired_in_order_and_with_an_id() {
    let (store, app) = rooms();
    let _page = app.client("page").sse("/1").await;
    let _screen = app.client("screen").ws("/1").await;
    submit(&store, [member("ada"), Room::Cursor { room: 1, user: "ada", pane: 2 }]);
    submit(&store, [Room::Topic { room: 1, text: "tea" }]);
    app.advance(secs(10)).await;
    submit(&store, [said("hi")]);
    app.advance(secs(10)).await;
    assert_transcript!(app, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    screen > GET /1 upgrade websocket
    screen ~ open 101
    page < member #1 {"room":1,"user":"ada","is_hidden":false}
    page < cursor #2 {"room":1,"user":"ada","pane":2}
    page < topic #3 {"room":1,"text":"tea"}
    screen < member #1 {"room":1,"user":"ada","is_hidden":false}
    screen < cursor #2 {"room":1,"user":"ada","pane":2}
    screen < topic #3 {"room":1,"text":"tea"}
    after 10s
    page < tornadose:expired #4 {"key":1,"slot":"ada","event":"member"}
    page < tornadose:expired #5 {"key":1,"slot":{"user":"ada","pane":2},"event":"cursor"}
    screen < tornadose:expired #4 {"key":1,"slot":"ada","event":"member"}
    screen < tornadose:expired #5 {"key":1,"slot":{"user":"ada","pane":2},"event":"cursor"}
    page < said #6 {"room":1,"text":"hi"}
    screen < said #6 {"room":1,"text":"hi"}
    after 5s
    screen < ping
    after 5s
    page < tornadose:expired #7 {"key":1,"event":"topic"}
    screen < tornadose:expired #7 {"key":1,"event":"topic"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_returns_is_told_what_has_expired_meanwhile_and_a_newcomer_is_not() {
    let (store, app) = rooms();
    let before = store.submit(member("ada")).await.unwrap().to_string();
    submit(&store, [said("hi")]);
    app.advance(secs(5)).await;
    submit(&store, [member("bob")]);
    app.advance(secs(5)).await;
    for over in [Transport::Sse, Transport::Ws] {
        let back = app.client("back").last_event_id(&before).open(over, "/1").await;
        back.skip(3).await;
        assert_eq!(back.last_event_id(), Some(store.head().to_string()));
        app.client("new").open(over, "/1").await.skip(1).await;
    }
    assert_transcript!(app, @r#"
    back > GET /1 last-event-id #1
    back ~ open 200 text/event-stream
    back < said #2 {"room":1,"text":"hi"}
    back < member #3 {"room":1,"user":"bob","is_hidden":false}
    back < tornadose:expired #4 {"key":1,"slot":"ada","event":"member"}
    new > GET /1
    new ~ open 200 text/event-stream
    new < member #3 {"room":1,"user":"bob","is_hidden":false}
    back-2 > GET /1 upgrade websocket last-event-id #1
    back-2 ~ open 101
    back-2 < said #2 {"room":1,"text":"hi"}
    back-2 < member #3 {"room":1,"user":"bob","is_hidden":false}
    back-2 < tornadose:expired #4 {"key":1,"slot":"ada","event":"member"}
    new-2 > GET /1 upgrade websocket
    new-2 ~ open 101
    new-2 < member #3 {"room":1,"user":"bob","is_hidden":false}
    "#);
}

#[tornadose_test::test]
async fn a_client_does_not_learn_of_a_value_that_the_filter_withholds() {
    let (store, app) = rooms();
    let page = app.client("page").sse("/1").await;
    submit(&store, [member("ada"), Room::Member { room: 1, user: "spy", is_hidden: true }]);
    app.advance(secs(10)).await;
    submit(&store, [said("hi")]);
    assert_transcript!(page, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    page < member #1 {"room":1,"user":"ada","is_hidden":false}
    after 10s
    page < tornadose:expired #2 {"key":1,"slot":"ada","event":"member"}
    page < said #3 {"room":1,"text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn the_end_of_a_value_waits_with_the_messages_of_its_period() {
    let (store, app) = rooms();
    let page = app.client("page").sse("/all").await;
    app.settle().await;
    submit(&store, [member("ada")]);
    app.advance(secs(9)).await;
    submit(&store, [said("one")]);
    app.advance(secs(1)).await;
    submit(&store, [said("two")]);
    app.advance(secs(2)).await;
    assert_transcript!(page, @r#"
    page > GET /all
    page ~ open 200 text/event-stream
    page < member #1 {"room":1,"user":"ada","is_hidden":false}
    after 9s
    page < said #2 {"room":1,"text":"one"}
    "#);
    app.advance(secs(1)).await;
    assert_transcript!(page, @r#"
    page > GET /all
    page ~ open 200 text/event-stream
    page < member #1 {"room":1,"user":"ada","is_hidden":false}
    after 9s
    page < said #2 {"room":1,"text":"one"}
    after 4s
    page < tornadose:expired #3 {"key":1,"slot":"ada","event":"member"}
    page < said #4 {"room":1,"text":"two"}
    "#);
}

/// A value, in a store that remembers few ends of values.
#[store(latest, ttl = "10s", memory = "32KiB")]
#[derive(Serialize)]
struct Gauge {
    #[slot]
    name: u32,
    text: String,
}

#[subscriber(sse, ws, store = Gauge, authorize = public)]
struct Gauges;

#[tornadose_test::test]
async fn a_client_whose_id_is_before_an_end_that_is_forgotten_gets_a_gap_and_all_values() {
    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::with_path("gauges").get(Gauges::handler(&store)));
        let submit = |name| store.try_submit(Gauge { name, text: "x".repeat(800) }).unwrap().unwrap().to_string();
        let before = submit(1);
        app.advance(secs(10)).await;
        for name in 2..8 {
            submit(name);
        }
        app.advance(secs(10)).await;
        submit(8);
        let between = submit(9);
        let back = app.client("back").last_event_id(&before).open(over, "/gauges").await;
        assert_eq!(back.next_event().await.data, r#"{"reason":"trimmed","missed":null}"#);
        back.skip(3).await;
        assert_eq!(back.last_event_id().as_deref(), Some(&*between));
        // Its own life of the log is over: such a store tells that too.
        let old = app.client("old").last_event_id("aaaaaaaa-1").open(over, "/gauges").await;
        assert_eq!(old.next_event().await.data, r#"{"reason":"restarted","missed":null}"#);
        old.skip(2).await;
        back.close().await;
        old.close().await;
    }
}

#[store(latest, ttl = "10s", memory = "8MiB")]
#[derive(Serialize)]
struct Picture {
    #[slot]
    number: u32,
    pixels: String,
}

#[subscriber(sse, ws, store = Picture, authorize = public)]
struct Pictures;

#[tornadose_test::test]
async fn a_client_that_takes_nothing_while_ends_are_forgotten_lags_and_gets_all_values() {
    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::with_path("pictures").get(Pictures::handler(&store)));
        let slow = app.client("slow").buffer_size(64).open(over, "/pictures").await;
        app.settle().await;
        slow.stall().await;
        for number in 0..9 {
            // More than what hyper reads ahead of an attached stream.
            store.try_submit(Picture { number, pixels: "x".repeat(200_000) }).unwrap();
            app.settle().await;
        }
        app.advance(secs(11)).await;
        store.try_submit(Picture { number: 0, pixels: "last".into() }).unwrap();
        slow.resume().await;
        let mut gaps = 0;
        loop {
            let event = slow.next_event().await;
            if event.name == "tornadose:gap" {
                assert_eq!(event.data, r#"{"reason":"lagged","missed":0}"#);
                gaps += 1;
            } else if event.data.contains("last") {
                break;
            }
        }
        assert_eq!(gaps, 1);
        slow.close().await;
    }
}

#[store(queue, capacity = 3, memory = "64KiB")]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Desk {
    Said {
        #[key]
        desk: u32,
        number: u32,
    },
    #[latest(ttl = "10s")]
    Present {
        #[key]
        desk: u32,
        #[slot]
        user: u32,
        text: String,
    },
}

#[subscriber(sse, ws, store = Desk, authorize = public)]
struct Desks {
    #[key]
    #[param]
    desk: u32,
}

#[tornadose_test::test]
async fn an_end_that_is_forgotten_is_a_gap_also_when_an_older_message_is_trimmed_after_it() {
    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::with_path("desks/{desk}").get(Desks::handler(&store)));
        for number in 0..3 {
            store.try_submit(Desk::Said { desk: 1, number }).unwrap();
        }
        let present = |desk, user| Desk::Present { desk, user, text: "x".repeat(800) };
        let seen = store.try_submit(present(1, 7)).unwrap().unwrap();
        app.advance(secs(10)).await;
        for user in 0..6 {
            store.try_submit(present(2, user)).unwrap();
        }
        app.advance(secs(10)).await;
        store.try_submit(Desk::Said { desk: 1, number: 3 }).unwrap();
        let back = app.client("back").last_event_id(seen).open(over, "/desks/1").await;
        assert_eq!(back.next_event().await.data, r#"{"reason":"trimmed","missed":null}"#);
        assert_eq!(back.next_event().await.data, r#"{"desk":1,"number":3}"#);
        back.close().await;
    }
}

#[store(queue, memory = "2MiB")]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Seat {
    Said {
        #[key]
        seat: u32,
    },
    #[latest(ttl = "10s")]
    Taken {
        #[key]
        seat: u32,
    },
}

#[subscriber(sse, ws, store = Seat, authorize = public, lag = close)]
struct Seats {
    #[key]
    #[param]
    seat: u32,
}

#[tornadose_test::test]
async fn the_forgotten_ends_of_thousands_of_keys_are_no_loss_to_another_key() {
    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::with_path("seats/{seat}").get(Seats::handler(&store)));
        let seen = store.try_submit(Seat::Said { seat: 0 }).unwrap().unwrap();
        let mut readers = Vec::new();
        for first in [1, 1001, 2001] {
            for seat in first..first + 1000 {
                readers.push(store.subscribe_to(SeatKey { seat }));
                store.try_submit(Seat::Taken { seat }).unwrap();
            }
            app.advance(secs(10)).await;
        }
        let back = app.client("back").last_event_id(seen).open(over, "/seats/0").await;
        back.quiet().await;
        store.try_submit(Seat::Said { seat: 0 }).unwrap();
        assert_eq!(back.next_event().await.data, r#"{"seat":0}"#);
        back.close().await;
    }
}
