//! Streams as a client of Server-Sent Events sees them.

use tornadose::prelude::*;
use tornadose_test::assert_transcript;

use super::harness::{harness, is_detached, secs};
use super::samples::{Room, Tick, rooms, said, ticker, topic};

#[tornadose_test::test]
async fn a_new_client_gets_the_latest_value_first() {
    let (store, app) = ticker();
    store.submit(Tick(0.1)).await.unwrap();
    let ticks = app.sse("/ticks").await;
    store.submit(Tick(0.2)).await.unwrap();
    assert_transcript!(ticks, @"
    ticks > GET /ticks
    ticks ~ open 200 text/event-stream
    ticks < message #1 0.1
    ticks < message #2 0.2
    ");
}

#[tornadose_test::test]
async fn the_first_frame_has_the_reconnection_delay_and_the_position() {
    let (store, app) = ticker();
    let ticks = app.sse("/ticks").await;
    app.advance(secs(15)).await;
    store.submit(Tick(0.5)).await.unwrap();
    assert_transcript!(ticks, wire, @r"
    ticks > GET /ticks
    ticks ~ open 200 text/event-stream
    ticks ~ content-type: text/event-stream; charset=utf-8
    ticks ~ cache-control: no-cache, no-transform
    ticks ~ x-accel-buffering: no
    ticks ~ transfer-encoding: chunked
    ticks < retry: 3000\n: tornadose\nid: #1\n\n
    after 15s
    ticks < : keep-alive\n
    ticks < id: #2\ndata: 0.5\n\n
    ");
    let headers = ticks.headers();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
}

#[tornadose_test::test]
async fn kept_state_has_ids_only_where_nothing_is_left_out() {
    let (store, app) = rooms();
    for message in [
        topic("go", "gc"),
        said("go", "1"),
        said("go", "2"),
        said("rust", "x"),
        said("go", "3"),
        topic("go", "generics"),
    ] {
        store.submit(message).await.unwrap();
    }
    let go = app.sse("/rooms/go").await;
    assert_transcript!(go, wire, @r#"
    go > GET /rooms/go
    go ~ open 200 text/event-stream
    go ~ content-type: text/event-stream; charset=utf-8
    go ~ cache-control: no-cache, no-transform
    go ~ x-accel-buffering: no
    go ~ transfer-encoding: chunked
    go < retry: 3000\n: tornadose\nid: #1\n\n
    go < id: #2\nevent: said\ndata: {"room":"go","text":"2"}\n\n
    go < id: #3\nevent: said\ndata: {"room":"go","text":"3"}\n\n
    go < id: #4\nevent: topic\ndata: {"room":"go","topic":"generics"}\n\n
    "#);
}

#[tornadose_test::test]
async fn a_known_id_resumes_after_it() {
    let (store, app) = rooms();
    let first = app.client("first").sse("/rooms/go").await;
    store.submit(said("go", "1")).await.unwrap();
    first.skip(1).await;
    let id = first.last_event_id().unwrap();
    first.close().await;
    for message in [said("rust", "x"), said("go", "2"), topic("go", "gc"), said("go", "3"), topic("go", "generics")] {
        store.submit(message).await.unwrap();
    }
    let again = app.client("again").last_event_id(&id).sse("/rooms/go").await;
    store.submit(said("go", "4")).await.unwrap();
    assert_transcript!(app, @r#"
    first > GET /rooms/go
    first ~ open 200 text/event-stream
    first < said #1 {"room":"go","text":"1"}
    first ~ close (client)
    again > GET /rooms/go last-event-id #1
    again ~ open 200 text/event-stream
    again < said #2 {"room":"go","text":"2"}
    again < said #3 {"room":"go","text":"3"}
    again < topic #4 {"room":"go","topic":"generics"}
    again < said #5 {"room":"go","text":"4"}
    "#);
    drop(again);
}

#[tornadose_test::test]
async fn an_id_of_a_quiet_key_stays_resumable() {
    let (store, app) = rooms();
    let go = app.client("go").sse("/rooms/go").await;
    store.submit(said("go", "1")).await.unwrap();
    for number in 0..50 {
        store.submit(said("rust", &number.to_string())).await.unwrap();
    }
    go.skip(1).await;
    let id = go.last_event_id().unwrap();
    go.close().await;
    let back = app.client("back").last_event_id(id).sse("/rooms/go").await;
    store.submit(said("go", "2")).await.unwrap();
    assert_transcript!(back, @r#"
    back > GET /rooms/go last-event-id #1
    back ~ open 200 text/event-stream
    back < said #2 {"room":"go","text":"2"}
    "#);
}

#[tornadose_test::test]
async fn a_trimmed_id_gets_a_gap() {
    let (store, app) = rooms();
    let go = app.client("go").sse("/rooms/go").await;
    for number in 1..=9 {
        store.submit(said("go", &number.to_string())).await.unwrap();
        app.settle().await;
        if number == 1 {
            go.skip(1).await;
            go.close().await;
        }
    }
    store.submit(said("rust", "x")).await.unwrap();
    let back = app.client("back").last_event_id(go.last_event_id().unwrap()).sse("/rooms/go").await;
    assert_transcript!(back, wire, @r#"
    back > GET /rooms/go last-event-id #1
    back ~ open 200 text/event-stream
    back ~ content-type: text/event-stream; charset=utf-8
    back ~ cache-control: no-cache, no-transform
    back ~ x-accel-buffering: no
    back ~ transfer-encoding: chunked
    back < retry: 3000\n: tornadose\nevent: tornadose:gap\ndata: {"reason":"trimmed","missed":null}\n\n
    back < id: #2\n\n
    back < id: #3\nevent: said\ndata: {"room":"go","text":"6"}\n\n
    back < id: #4\nevent: said\ndata: {"room":"go","text":"7"}\n\n
    back < id: #5\nevent: said\ndata: {"room":"go","text":"8"}\n\n
    back < id: #6\nevent: said\ndata: {"room":"go","text":"9"}\n\n
    back < id: #7\n\n
    "#);
}

#[tornadose_test::test]
async fn an_unknown_id_is_a_restart_and_never_an_error() {
    let (store, app) = rooms();
    store.submit(said("go", "1")).await.unwrap();
    let future = store.head().to_string().replace("-1", "-2");
    let long = "9".repeat(10_000);
    for id in ["0", "abcdefgh-1", &future, &long, "\u{e9}", "a\tb"] {
        let client = app.client("x").last_event_id(id).sse("/rooms/go").await;
        assert_eq!(client.status(), 200, "{id}");
        let gap = client.next_event().await;
        assert_eq!(
            (gap.name.as_str(), gap.data.as_str()),
            ("tornadose:gap", r#"{"reason":"restarted","missed":null}"#),
            "{id}"
        );
        client.skip(1).await;
        assert_eq!(client.last_event_id(), Some(store.head().to_string()));
    }
}

#[tornadose_test::test]
async fn a_store_of_latest_values_never_reports_a_gap() {
    let (store, app) = ticker();
    for tick in 0..3 {
        store.submit(Tick(f64::from(tick))).await.unwrap();
    }
    let stranger = app.client("stranger").last_event_id("abcdefgh-9").sse("/ticks").await;
    let known = app.client("known").last_event_id(store.head()).sse("/ticks").await;
    store.submit(Tick(3.5)).await.unwrap();
    assert_transcript!(app, @r#"
    stranger > GET /ticks last-event-id "abcdefgh-9"
    stranger ~ open 200 text/event-stream
    stranger < message #1 2.0
    known > GET /ticks last-event-id #1
    known ~ open 200 text/event-stream
    stranger < message #2 3.5
    known < message #2 3.5
    "#);
    drop((stranger, known));
}

#[tornadose_test::test]
async fn the_query_may_have_the_id() {
    let (store, app) = rooms();
    let head = store.head();
    store.submit(said("go", "1")).await.unwrap();
    let page = app.client("page").sse(format!("/rooms/go?last_event_id={head}")).await;
    let empty = app.client("empty").last_event_id("").sse(format!("/rooms/go?last_event_id={head}")).await;
    for client in [page, empty] {
        assert_eq!(client.next_event().await.data, r#"{"room":"go","text":"1"}"#);
    }
}

#[tornadose_test::test]
async fn the_query_parameter_may_have_a_name_of_a_polyfill() {
    let (store, app) = rooms();
    store.submit(said("go", "before")).await.unwrap();
    let head = store.head();
    store.submit(said("go", "after")).await.unwrap();
    for name in ["last_event_id", "lastEventId", "Last-Event-ID"] {
        let sse = app.client(name).sse(format!("/rooms/go?{name}={head}")).await;
        assert_eq!(sse.next_event().await.data, r#"{"room":"go","text":"after"}"#, "{name}");
        sse.quiet().await;
        sse.close().await;
    }
    // An empty parameter is absent, and the first name that has an id counts.
    let both = app.client("both").sse(format!("/rooms/go?last_event_id=&lastEventId={head}&Last-Event-ID=x")).await;
    assert_eq!(both.next_event().await.data, r#"{"room":"go","text":"after"}"#);
}

#[tornadose_test::test]
async fn position_frames_are_sent_for_other_keys_and_for_filtered_messages() {
    let store = Store::new();
    let app = harness(Router::with_path("loud").get(Loud::handler(&store)));
    let loud = app.sse("/loud").await;
    store.submit(said("go", "HI")).await.unwrap();
    store.submit(said("go", "hush")).await.unwrap();
    app.settle().await;
    store.submit(said("go", "HO")).await.unwrap();
    store.submit(topic("go", "withheld")).await.unwrap();
    app.advance(secs(15)).await;
    assert_transcript!(loud, wire, @r#"
    loud > GET /loud
    loud ~ open 200 text/event-stream
    loud ~ content-type: text/event-stream; charset=utf-8
    loud ~ cache-control: no-cache, no-transform
    loud ~ x-accel-buffering: no
    loud ~ transfer-encoding: chunked
    loud < retry: 3000\n: tornadose\nid: #1\n\n
    loud < id: #2\nevent: said\ndata: {"room":"go","text":"HI"}\n\n
    loud < id: #3\n\n
    loud < id: #4\nevent: said\ndata: {"room":"go","text":"HO"}\n\n
    loud < id: #5\n\n
    after 15s
    loud < : keep-alive\n
    "#);
}

/// A subscriber of loud messages. A quarter of the capacity is one message, so each filtered message is
/// followed by a position frame at once.
#[subscriber(sse, store = Room, all_keys, filter = Self::is_loud)]
struct Loud;

impl Loud {
    #[expect(clippy::unused_self, reason = "a filter takes the subscriber")]
    fn is_loud(&self, message: &Room) -> bool {
        matches!(message, Room::Said { text, .. } if text.chars().all(char::is_uppercase))
    }
}

#[tornadose_test::test]
async fn closing_ends_every_stream_and_spreads_the_reconnections() {
    let (store, app) = ticker();
    let one = app.client("one").sse("/ticks").await;
    let two = app.client("two").ws("/ticks").await;
    store.submit(Tick(0.5)).await.unwrap();
    store.close();
    store.closed().await;
    let late = app.client("late").sse("/ticks").await;
    let later = app.client("later").ws("/ticks").await;
    assert_eq!(store.subscribers(), 0);
    assert_transcript!(app, @r"
    one > GET /ticks
    one ~ open 200 text/event-stream
    two > GET /ticks upgrade websocket
    two ~ open 101
    one < message #1 0.5
    one < retry 6.708s
    one ~ end
    two < message #1 0.5
    two ~ close 1001 (server)
    late > GET /ticks
    late ~ open 200 text/event-stream, retry 8.124s
    late ~ end
    later > GET /ticks upgrade websocket
    later ~ answer 503 code: 503\n\nname: Service Unavailable\n\nbrief: the server is closing or full: try again later
    ");
    drop((one, two, late, later));
}

#[tornadose_test::test]
async fn a_client_that_leaves_is_gone_at_once() {
    let (store, app) = ticker();
    let ticks = app.sse("/ticks").await;
    assert_eq!(store.subscribers(), 1);
    ticks.close().await;
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn requests_with_a_wrong_accept_or_method_are_refused() {
    let (store, app) = rooms();
    drop(store);
    let html = app.client("html").header("accept", "text/html").sse("/rooms/go").await;
    let post = app.client("post").request("POST", "/rooms/go", "").await;
    let head = app.client("head").request("HEAD", "/rooms/go", "").await;
    assert_eq!(html.status(), 406);
    assert_eq!(post.status(), 405);
    // Under a `Handover` the route of GET leads HEAD to the handler.
    assert_eq!(head.status(), if is_detached() { 200 } else { 405 });
    let any = app.client("any").header("accept", "text/html, */*;q=0.1").sse("/rooms/go").await;
    assert_eq!(any.status(), 200);
}

#[tornadose_test::test]
async fn one_route_serves_both_transports_with_the_same_ids() {
    let (store, app) = ticker();
    let page = app.client("page").sse("/ticks").await;
    let socket = app.client("socket").ws("/ticks").await;
    let late = app.client("late").sse("/ticks").await;
    store.submit(Tick(0.5)).await.unwrap();
    let id = store.head().to_string();
    for client in [&page, &*socket, &late] {
        assert_eq!(client.next_event().await.id.as_deref(), Some(&*id));
    }
}
