//! Ephemeral messages, as clients see them.

use tornadose::prelude::*;
use tornadose_test::{Harness, Transport, assert_transcript};

use super::harness::{harness, secs};
use super::log::CapturedLog;

#[store(queue, capacity = 8, finish)]
#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
enum Room {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: u32,
        text: String,
    },
    #[ephemeral]
    Typing {
        #[key]
        room: u32,
        user: String,
    },
}

#[subscriber(sse, ws, store = Room, authorize = public, replay = all, filter = Self::wants)]
struct RoomFeed {
    #[keys(room)]
    #[query("room")]
    rooms: Vec<u32>,
    #[query]
    but: Option<String>,
}

impl RoomFeed {
    fn wants(&self, message: &Room) -> bool {
        !matches!(message, Room::Typing { user, .. } if self.but.as_ref() == Some(user))
    }
}

#[subscriber(sse, ws, store = Room, all_keys, authorize = public, throttle = "4s")]
struct Calm;

fn said(room: u32, text: impl Into<String>) -> Room {
    Room::Said { room, text: text.into() }
}

fn typing(room: u32, user: impl Into<String>) -> Room {
    Room::Typing { room, user: user.into() }
}

fn rooms() -> (Store<Room>, Harness) {
    let store = Store::new();
    let router = Router::new()
        .push(Router::with_path("rooms").get(RoomFeed::handler(&store)))
        .push(Router::with_path("calm").get(Calm::handler(&store)));
    (store, harness(router))
}

fn submit(store: &Store<Room>, messages: impl IntoIterator<Item = Room>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

#[tornadose_test::test]
async fn it_is_delivered_in_order_without_an_id_and_to_no_newcomer() {
    let (store, app) = rooms();
    submit(&store, [Room::Topic { room: 1, text: "cats".into() }, typing(1, "early")]);
    let page = app.client("page").sse("/rooms?room=1&but=ghost").await;
    let screen = app.client("screen").ws("/rooms?room=1&room=2&but=ghost").await;
    submit(&store, [typing(1, "ada"), typing(1, "ghost"), said(1, "hi"), typing(2, "bob"), typing(1, "eve")]);
    // A later message, alone, is delivered to a live reader.
    app.settle().await;
    submit(&store, [typing(1, "ada")]);
    page.skip(5).await;
    screen.skip(6).await;
    assert_transcript!(app, wire, @r##"
    page > GET /rooms?room=1&but=ghost
    page ~ open 200 text/event-stream
    page ~ content-type: text/event-stream; charset=utf-8
    page ~ cache-control: no-cache, no-transform
    page ~ x-accel-buffering: no
    page ~ transfer-encoding: chunked
    page < retry: 3000\n: tornadose\nid: #1\nevent: topic\ndata: {"room":1,"text":"cats"}\n\n
    page < id: #2\n\n
    screen > GET /rooms?room=1&room=2&but=ghost upgrade websocket
    screen ~ open 101
    screen ~ connection: upgrade
    screen ~ upgrade: websocket
    screen ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    screen < text {"id":"#1","event":"topic","data":{"room":1,"text":"cats"}}
    screen < text {"id":"#2"}
    page < event: typing\ndata: {"room":1,"user":"ada"}\n\n
    page < id: #3\nevent: said\ndata: {"room":1,"text":"hi"}\n\n
    page < event: typing\ndata: {"room":1,"user":"eve"}\n\n
    screen < text {"event":"typing","data":{"room":1,"user":"ada"}}
    screen < text {"id":"#3","event":"said","data":{"room":1,"text":"hi"}}
    screen < text {"event":"typing","data":{"room":2,"user":"bob"}}
    screen < text {"event":"typing","data":{"room":1,"user":"eve"}}
    page < event: typing\ndata: {"room":1,"user":"ada"}\n\n
    screen < text {"event":"typing","data":{"room":1,"user":"ada"}}
    "##);
}

#[tornadose_test::test]
async fn a_client_that_returns_does_not_get_it_and_gets_no_gap() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = rooms();
        submit(&store, [said(1, "one")]);
        let page = app.client("page").once().open(over, "/rooms?room=1").await;
        page.skip(1).await;
        // An id that it gets after an ephemeral message covers that.
        submit(&store, [typing(1, "ada"), said(1, "two"), typing(1, "ada")]);
        page.skip(3).await;
        let id = page.last_event_id().unwrap();
        page.cut().await;
        submit(&store, [typing(1, "bob"), said(1, "three"), typing(1, "bob")]);
        let back = app.client("back").last_event_id(&id).open(over, "/rooms?room=1").await;
        back.next_containing(serde_json::json!({ "text": "three" })).await;
        back.quiet().await;
        submit(&store, [typing(1, "eve")]);
        back.next_containing(serde_json::json!({ "user": "eve" })).await;
        back.quiet().await;
    }
}

#[tornadose_test::test]
async fn many_of_them_trim_nothing_and_the_position_of_a_client_follows() {
    let (store, app) = rooms();
    let page = app.client("page").sse("/rooms?room=1").await;
    submit(&store, [said(1, "one"), said(1, "two")]);
    page.skip(2).await;
    let id = page.last_event_id().unwrap();
    for _ in 0..30 {
        submit(&store, (0..100).map(|number| typing(1, number.to_string())));
        app.settle().await;
    }
    page.skip(3000).await;
    assert_eq!(page.last_event_id().unwrap(), id);
    // The position that comes with a keep-alive is known.
    app.advance(secs(15)).await;
    let moved = page.last_event_id().unwrap();
    assert_ne!(moved, id);
    submit(&store, [said(1, "new")]);
    page.skip(1).await;
    for id in [id, moved] {
        let back = app.client("back").last_event_id(id).sse("/rooms?room=1").await;
        back.next_containing(serde_json::json!({ "text": "new" })).await;
        back.quiet().await;
    }
}

#[tornadose_test::test]
async fn a_slow_client_misses_it_without_a_gap_and_the_ledger_has_the_number() {
    let (log, _guard) = CapturedLog::start();
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = rooms();
        let slow = app.client("slow").buffer_size(64).once().open(over, "/rooms?room=1").await;
        app.settle().await;
        slow.stall().await;
        for _ in 0..12 {
            // More than what hyper reads ahead of an attached stream.
            submit(&store, [typing(1, "x".repeat(200_000))]);
            app.settle().await;
        }
        app.advance(secs(6)).await;
        submit(&store, [said(1, "new")]);
        slow.resume().await;
        let mut received = 0;
        loop {
            let event = slow.next_event().await;
            match event.name.as_str() {
                "typing" => received += 1,
                "said" => break,
                other => panic!("{other}"),
            }
        }
        assert!(received < 8, "{received}");
        slow.close().await;
        let closed = log.take().into_iter().find(|line| line.contains("connection closed")).unwrap();
        let missed = 12 - received;
        let ledger =
            format!("owed=13 delivered={} filtered=0 conflated=0 missed=0 ephemeral_missed={missed}", 13 - missed);
        assert!(closed.contains(&ledger), "{closed} is not {ledger}");
    }
}

#[tornadose_test::test]
async fn a_throttle_keeps_it_in_order_and_lets_it_grow_old() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = rooms();
        let calm = app.client("calm").open(over, "/calm").await;
        submit(&store, [typing(1, "at once")]);
        calm.skip(1).await;
        submit(&store, [typing(1, "ada"), said(1, "hi"), typing(2, "bob")]);
        app.settle().await;
        calm.quiet().await;
        app.advance(secs(4)).await;
        calm.next_containing(serde_json::json!({ "user": "ada" })).await;
        calm.next_containing(serde_json::json!({ "text": "hi" })).await;
        calm.next_containing(serde_json::json!({ "user": "bob" })).await;
        // Ephemeral messages do not make it due, however many there are.
        submit(&store, (0..50).map(|number| typing(1, number.to_string())));
        app.advance(secs(3)).await;
        calm.quiet().await;
        app.advance(secs(1)).await;
        calm.skip(50).await;
    }
}

#[tornadose_test::test]
async fn a_finished_key_refuses_it_and_a_disconnect_takes_it_along() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = rooms();
        let page = app.client("page").once().open(over, "/rooms?room=1").await;
        submit(&store, [typing(1, "ada")]);
        store.finish(&RoomKey { room: 1 }).await.unwrap();
        let late = store.submit(typing(1, "late")).await;
        assert!(matches!(late, Err(tornadose::SubmitError::Finished { .. })), "{late:?}");
        page.skip(1).await;
        page.finished().await;

        let page = app.client("page").once().open(over, "/rooms?room=2").await;
        submit(&store, [said(2, "hi"), typing(2, "ada")]);
        store.disconnect(&RoomKey { room: 2 });
        submit(&store, [typing(2, "late")]);
        page.skip(2).await;
        page.closed().await;

        let page = app.client("page").once().open(over, "/rooms?room=3").await;
        submit(&store, [typing(3, "ada")]);
        store.close();
        page.skip(1).await;
        page.closed().await;
    }
}

#[tornadose_test::test]
async fn a_removal_takes_it_along_and_counts_queue_messages_alone() {
    let (store, app) = rooms();
    let page = app.client("page").buffer_size(64).sse("/rooms?room=1").await;
    app.settle().await;
    submit(&store, [typing(1, "ada"), said(1, "secret"), typing(1, "ada")]);
    store.remove(&RoomKey { room: 1 }).await.unwrap();
    submit(&store, [typing(1, "new")]);
    let gap = page.next_event().await;
    assert_eq!((&*gap.name, &*gap.data), ("tornadose:gap", r#"{"reason":"removed","missed":1}"#));
    page.next_containing(serde_json::json!({ "user": "new" })).await;
    page.quiet().await;
}

/// Both written by hand.
mod by_hand {
    use salvo::http::StatusError;
    use salvo::{Depot, Request, Router};
    use tornadose::subscriber::{KeyOf, Options, Transports};
    use tornadose::{EncodeError, Event, Keys, Message, NoKey, Retention, Store, StreamHandler, Subscriber};
    use tornadose_test::assert_transcript;

    use super::harness;

    struct Pointer {
        x: u32,
        is_drop: bool,
    }

    impl Message for Pointer {
        type Key = NoKey;
        const HAS_EPHEMERAL: bool = true;
        const HAS_QUEUE: bool = false;
        const CHANNEL: &'static str = "pointers";

        fn key(&self) -> NoKey {
            NoKey
        }
        fn retention(&self) -> Retention {
            if self.is_drop { Retention::Latest } else { Retention::Ephemeral }
        }
        fn event(&self) -> Result<Event, EncodeError> {
            Event::json(&self.x)
        }
    }

    struct Pointers;

    impl Subscriber for Pointers {
        type Message = Pointer;
        const OPTIONS: Options = Options::new().transports(Transports::Both);
        fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
            Ok(Self)
        }
        fn keys(&self) -> Keys<KeyOf<Self>> {
            Keys::All
        }
    }

    #[tornadose_test::test]
    async fn a_type_by_hand_has_ephemeral_messages_beside_latest_values() {
        let store = Store::new();
        let app = harness(Router::with_path("pointers").get(StreamHandler::<Pointers>::new(&store)));
        let pointer = |x, is_drop| store.try_submit(Pointer { x, is_drop }).unwrap();
        pointer(1, true);
        pointer(2, false);
        let page = app.sse("/pointers").await;
        for (x, is_drop) in [(3, false), (4, true), (5, false), (6, true)] {
            pointer(x, is_drop);
        }
        page.skip(4).await;
        assert_transcript!(page, @r"
        pointers > GET /pointers
        pointers ~ open 200 text/event-stream
        pointers < message #1 1
        pointers < message 3
        pointers < message 5
        pointers < message #2 6
        ");
    }
}
