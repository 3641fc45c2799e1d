//! Connections that `opened` refuses, and those that never come to it.

use tornadose_test::{Client, assert_transcript};

use super::super::harness::secs;
use super::super::log::CapturedLog;
use super::super::member::{Event, room};

/// Takes the lines without the fields of the ledger, and without `detached`, which differs between the test binaries.
fn take(log: &CapturedLog) -> String {
    let lines = log.take();
    let shown = lines.iter().map(|line| line.split(" detached=").next().unwrap());
    shown.filter(|line| !line.contains("store closed")).collect::<Vec<_>>().join("\n")
}

#[tornadose_test::test]
async fn an_error_of_opened_is_the_close_code_or_an_end_with_retry_or_403() {
    let (store, app, calls) = room();
    let (log, _guard) = CapturedLog::start();
    for code in [1008, 1012, 1013, 4003] {
        app.client(format!("sse-{code}")).once().sse(format!("/room?user=ada&opened={code}")).await;
        app.client(format!("ws-{code}")).ws(format!("/room?user=bob&opened={code}")).await;
    }
    assert_eq!(store.subscribers(), 0);
    assert_eq!(calls.take(), ["ada opens", "bob opens"].repeat(4), "no `closed` hook runs");
    assert_transcript!(app, @r"
    sse-1008 > GET /room?user=ada&opened=1008
    sse-1008 ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: the room is locked
    ws-1008 > GET /room?user=bob&opened=1008 upgrade websocket
    ws-1008 ~ open 101
    ws-1008 ~ close 1008 (server) the room is locked
    sse-1012 > GET /room?user=ada&opened=1012
    sse-1012 ~ open 200 text/event-stream, retry 5.416s
    sse-1012 ~ end
    ws-1012 > GET /room?user=bob&opened=1012 upgrade websocket
    ws-1012 ~ open 101
    ws-1012 ~ close 1012 (server) the room is locked
    sse-1013 > GET /room?user=ada&opened=1013
    sse-1013 ~ open 200 text/event-stream, retry 2.36s
    sse-1013 ~ end
    ws-1013 > GET /room?user=bob&opened=1013 upgrade websocket
    ws-1013 ~ open 101
    ws-1013 ~ close 1013 (server) the room is locked
    sse-4003 > GET /room?user=ada&opened=4003
    sse-4003 ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: the room is locked
    ws-4003 > GET /room?user=bob&opened=4003 upgrade websocket
    ws-4003 ~ open 101
    ws-4003 ~ close 4003 (server) the room is locked
    ");
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="event" keys=1
    DEBUG connection closed: transport="sse" number=1 reason="refused"
    DEBUG connection opened: transport="ws" number=2 channel="event" keys=1
    DEBUG connection closed: transport="ws" number=2 reason="refused" code=1008
    DEBUG connection opened: transport="sse" number=3 channel="event" keys=1
    DEBUG connection closed: transport="sse" number=3 reason="refused"
    DEBUG connection opened: transport="ws" number=4 channel="event" keys=1
    DEBUG connection closed: transport="ws" number=4 reason="refused" code=1012
    DEBUG connection opened: transport="sse" number=5 channel="event" keys=1
    DEBUG connection closed: transport="sse" number=5 reason="refused"
    DEBUG connection opened: transport="ws" number=6 channel="event" keys=1
    DEBUG connection closed: transport="ws" number=6 reason="refused" code=1013
    DEBUG connection opened: transport="sse" number=7 channel="event" keys=1
    DEBUG connection closed: transport="sse" number=7 reason="refused"
    DEBUG connection opened: transport="ws" number=8 channel="event" keys=1
    DEBUG connection closed: transport="ws" number=8 reason="refused" code=4003
    "#);
}

#[tornadose_test::test]
async fn an_opened_hook_that_hangs_is_given_up_after_10_seconds() {
    let (store, app, calls) = room();
    let (log, _guard) = CapturedLog::start();
    let page = app.client("page").without_waiting().once().sse("/room?user=ada&opened=60s").await;
    let socket = app.client("socket").ws("/room?user=bob&opened=60s").await;
    app.advance(secs(9)).await;
    assert_eq!(store.subscribers(), 2);
    app.advance(secs(1)).await;
    assert_eq!((store.subscribers(), calls.take()), (0, vec!["ada opens".into(), "bob opens".into()]));
    assert_transcript!(app, @"
    page > GET /room?user=ada&opened=60s
    socket > GET /room?user=bob&opened=60s upgrade websocket
    socket ~ open 101
    after 10s
    page ~ open 200 text/event-stream, retry 4.472s
    page ~ end
    socket ~ close 1013 (server) timed out
    ");
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="event" keys=1
    DEBUG connection opened: transport="ws" number=2 channel="event" keys=1
    WARN hook timed out: transport="sse" number=1 hook="opened"
    WARN hook timed out: transport="ws" number=2 hook="opened"
    DEBUG connection closed: transport="sse" number=1 reason="timed_out"
    DEBUG connection closed: transport="ws" number=2 reason="timed_out" code=1013
    "#);
    drop((page, socket));
}

#[tornadose_test::test]
async fn an_opened_hook_that_panics_refuses_its_connection_alone() {
    let (store, app, calls) = room();
    let other = app.client("other").sse("/room?user=other&opened=silently&closed=silently").await;
    let (log, _guard) = CapturedLog::start();
    app.client("page").sse("/room?user=ada&opened=panic").await;
    app.expect_panic("opened").await;
    app.client("socket").ws("/room?user=bob&opened=panic").await;
    app.expect_panic("opened").await;
    assert_eq!((store.subscribers(), calls.take().len()), (1, 3));
    store.submit(Event::Said("on".into())).await.unwrap();
    assert_eq!(other.next_now::<String>().await, "on");
    assert_transcript!(app, @r#"
    other > GET /room?user=other&opened=silently&closed=silently
    other ~ open 200 text/event-stream, retry 2s
    page > GET /room?user=ada&opened=panic
    page ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    server ! panicked: opened
    socket > GET /room?user=bob&opened=panic upgrade websocket
    socket ~ open 101
    socket ~ close 1011 (server) internal error
    server ! panicked: opened
    other < said #1 "on"
    "#);
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection opened: transport="sse" number=2 channel="event" keys=1
    ERROR hook panicked: transport="sse" number=2 hook="opened"
    DEBUG connection closed: transport="sse" number=2 reason="panicked"
    DEBUG connection opened: transport="ws" number=3 channel="event" keys=1
    ERROR hook panicked: transport="ws" number=3 hook="opened"
    DEBUG connection closed: transport="ws" number=3 reason="panicked" code=1011
    "#);
}

#[tornadose_test::test]
async fn opened_runs_to_its_end_when_the_client_leaves_and_closed_follows() {
    let (store, app, calls) = room();
    let page = app.client("page").without_waiting().once().lenient().sse("/room?user=ada&opened=3s").await;
    let socket = app.client("socket").lenient().ws("/room?user=bob&opened=3s").await;
    app.advance(secs(1)).await;
    page.cut().await;
    socket.cut().await;
    assert_eq!(calls.take(), ["ada opens", "bob opens"]);
    app.advance(secs(2)).await;
    let expected = ["ada has opened", "bob has opened", "ada closes after 0 texts", "bob closes after 0 texts"];
    let mut seen = calls.take();
    seen.sort_by_key(|call| (call.contains("closes"), call.clone()));
    assert_eq!((seen, store.subscribers()), (expected.map(str::to_owned).to_vec(), 0));
}

#[tornadose_test::test]
async fn closed_does_not_follow_an_opened_hook_that_fails_after_its_client_has_left() {
    let (store, app, calls) = room();
    let page = app.client("page").without_waiting().once().lenient().sse("/room?user=ada&opened=60s").await;
    let socket = app.client("socket").lenient().ws("/room?user=bob&opened=60s").await;
    page.cut().await;
    socket.cut().await;
    app.advance(secs(100)).await;
    assert_eq!((calls.take(), store.subscribers()), (vec!["ada opens".into(), "bob opens".into()], 0));
}

#[tornadose_test::test]
async fn no_hook_runs_for_what_authorize_or_a_limit_refuses() {
    let (_store, app, calls) = room();
    app.client("page").lenient().sse("/room?user=nobody").await;
    app.client("socket").lenient().ws("/room?user=nobody").await;
    app.client("head").lenient().request("HEAD", "/room?user=ada", "").await;
    app.client("origin").lenient().origin("https://elsewhere.example").ws("/room?user=ada").await;
    assert_eq!(calls.take(), [""; 0]);
    let first = app.client("first").lenient().sse("/small?user=first&opened=silently").await;
    app.client("full").once().lenient().sse("/small?user=full").await;
    app.client("full").lenient().ws("/small?user=full").await;
    first.close().await;
    assert_eq!(calls.take(), ["first opens", "first closes after 0 texts"]);
    // A connection counts while its hook runs, also when its client has left.
    let second = app.client("second").without_waiting().once().lenient().sse("/small?user=second&opened=3s").await;
    second.cut().await;
    app.client("full").once().lenient().sse("/small?user=full").await;
    assert_eq!(calls.take(), ["second opens"]);
    app.advance(secs(3)).await;
    let third = app.client("third").lenient().ws("/small?user=third").await;
    Client::close(&third).await;
    let closed = ["second has opened", "second closes after 0 texts", "third opens", "third closes after 0 texts"];
    assert_eq!(calls.take(), closed);
}
