//! Log events of connections: one when a connection opens, loses messages or closes, none per delivery.
//! They contain nothing that a user wrote.

use std::time::Duration;

use futures_util::StreamExt;
use tornadose::prelude::*;
use tornadose::subscriber::Lag;

use super::harness::{harness, is_detached};
use super::link::{Line, at, entry, open_empty};
use super::log::CapturedLog;
use super::rooms::{TRANSPORTS, UPGRADE, get, key, read_now, rooms, send_request};
use super::watched_room::{Member, Note, Room, RoomKey, ScriptedBackend, said, topic, watched_room};

/// Takes the lines without the field `detached`, which differs between the two test binaries.
fn take(log: &CapturedLog) -> String {
    log.take().join("\n").replace(" detached=true", "").replace(" detached=false", "")
}

#[tornadose_test::test]
async fn a_connection_is_logged_when_it_opens_loses_messages_and_closes() {
    let (log, _guard) = CapturedLog::start();
    let (store, app) = watched_room();
    for text in ["1", "2", "3"] {
        store.submit(said(text)).await.unwrap();
    }
    store.submit(topic("cats")).await.unwrap();
    let ada = app.client("ada").lenient().sse("/rooms/cellar").await;
    let bob = app.client("bob").lenient().last_event_id("of no log").ws("/rooms/cellar").await;
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=2 channel="room" keys=1
    DEBUG connection resumed: transport="ws" number=2 outcome="restarted"
    DEBUG gap reported: transport="ws" number=2 reason=restarted
    "#);
    for text in ["secret", "5"] {
        store.submit(said(text)).await.unwrap();
        app.settle().await;
    }
    assert_eq!(take(&log), "", "something is logged per delivery");
    // More than the capacity, before either client can read.
    for _ in 0..6 {
        store.try_submit(said("fast")).unwrap();
        store.try_submit(topic("dogs")).unwrap();
    }
    app.settle().await;
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG gap reported: transport="sse" number=1 reason=lagged missed=2
    DEBUG gap reported: transport="ws" number=2 reason=lagged missed=2
    "#);
    bob.send(&"a reason that a user wrote").await;
    ada.close().await;
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection closed: transport="ws" number=2 reason="refused" code=4000 owed=18 delivered=10 filtered=1 conflated=5 missed=2 unread=0
    DEBUG connection closed: transport="sse" number=1 reason="left" owed=17 delivered=9 filtered=1 conflated=5 missed=2 unread=0
    "#);
    store.try_submit(said("unheard")).unwrap();
    assert_eq!(take(&log), "");
}

#[tornadose_test::test]
async fn a_close_is_logged_with_its_reason() {
    let (log, _guard) = CapturedLog::start();
    let (store, app) = watched_room();
    let transports = async |name: &str| {
        let sse = app.client(format!("{name}-sse")).lenient().sse("/rooms/cellar").await;
        let ws = app.client(format!("{name}-ws")).lenient().ws("/rooms/cellar").await;
        (sse, ws)
    };
    let _disconnected = transports("disconnected").await;
    store.disconnect(&RoomKey { room: "cellar".into() });
    app.settle().await;
    let (_, broken) = transports("broken").await;
    broken.send_binary([1]).await;
    let _panicked = transports("panicked").await;
    store.try_submit(said("panic")).unwrap();
    app.settle().await;
    for _ in 0..3 {
        app.expect_panic("as asked").await;
    }
    for text in ["7", "8"] {
        // They trim the message that panics, so that the next connections do not get it.
        store.try_submit(said(text)).unwrap();
    }
    let _closed = transports("closed").await;
    store.close();
    app.settle().await;
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection opened: transport="sse" number=1 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=2 channel="room" keys=1
    DEBUG connection closed: transport="sse" number=1 reason="disconnected" owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection closed: transport="ws" number=2 reason="disconnected" code=1008 owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection opened: transport="sse" number=3 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=4 channel="room" keys=1
    DEBUG connection closed: transport="ws" number=4 reason="violation" code=1003 owed=0 delivered=0 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection opened: transport="sse" number=5 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=6 channel="room" keys=1
    ERROR hook panicked: transport="sse" number=3
    DEBUG connection closed: transport="sse" number=3 reason="panicked" owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    ERROR hook panicked: transport="sse" number=5
    DEBUG connection closed: transport="sse" number=5 reason="panicked" owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    ERROR hook panicked: transport="ws" number=6
    DEBUG connection closed: transport="ws" number=6 reason="panicked" code=1011 owed=1 delivered=0 filtered=0 conflated=0 missed=0 unread=1
    DEBUG connection opened: transport="sse" number=7 channel="room" keys=1
    DEBUG connection opened: transport="ws" number=8 channel="room" keys=1
    DEBUG store closed: channel="room" readers=2
    DEBUG connection closed: transport="sse" number=7 reason="closed" owed=2 delivered=2 filtered=0 conflated=0 missed=0 unread=0
    DEBUG connection closed: transport="ws" number=8 reason="closed" code=1001 owed=2 delivered=2 filtered=0 conflated=0 missed=0 unread=0
    "#);
}

#[tornadose_test::test]
async fn a_client_that_left_or_was_disconnected_is_logged_so() {
    let (log, _guard) = CapturedLog::start();
    let (store, app, _) = rooms();
    for headers in TRANSPORTS {
        drop(send_request(&app, &get("leaves", headers)).await);
    }
    app.settle().await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="left""#,
            r#"DEBUG connection closed: transport="ws" number=2 reason="left""#,
        ]
    );
    let pipes = [send_request(&app, &get("stays", "")).await, send_request(&app, &get("stays", UPGRADE)).await];
    store.disconnect(&key("1"));
    app.settle().await;
    drop(pipes);
    app.settle().await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="sse" number=3 reason="disconnected""#,
            r#"DEBUG connection closed: transport="ws" number=4 reason="disconnected" code=1008"#,
        ]
    );
}

#[tornadose_test::test]
async fn a_client_that_takes_or_sends_nothing_is_logged_as_stalled_or_silent() {
    let (log, _guard) = CapturedLog::start();
    let (store, app) = watched_room();
    let page = app.client("page").buffer_size(512).lenient().sse("/rooms/cellar").await;
    let gone = app.client("gone").lenient().ws("/rooms/attic").await;
    page.stall().await;
    gone.vanish().await;
    for _ in 0..8 {
        // More than the server buffers.
        store.submit(said(&"x".repeat(300_000))).await.unwrap();
        app.settle().await;
    }
    app.advance(Duration::from_secs(120)).await;
    let lines = take(&log);
    for end in [r#"transport="sse" number=1 reason="stalled""#, r#"transport="ws" number=2 reason="silent""#] {
        assert!(lines.contains(&format!("connection closed: {end}")), "{lines}");
    }
}

/// Takes the lines about connections that were closed or rejected, without their counts.
fn take_ends(log: &CapturedLog) -> Vec<String> {
    let text = take(log);
    let ends = text.lines().filter(|line| line.contains("closed: transport") || line.contains("rejected"));
    ends.map(|line| line.split(" owed=").next().unwrap().to_owned()).collect()
}

#[tornadose_test::test]
async fn a_rejected_client_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::new();
    let app = harness(Router::with_path("rooms/{room}").get(Member::handler(&store).max_connections(1)));
    let _first = app.client("first").lenient().sse("/rooms/cellar").await;
    app.client("second").lenient().sse("/rooms/cellar").await;
    app.client("third").lenient().ws("/rooms/cellar").await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection rejected: number=2 reason="full""#,
            r#"DEBUG connection rejected: number=3 reason="full""#,
        ]
    );
    store.close();
    app.settle().await;
    app.client("late").lenient().sse("/rooms/cellar").await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="closed""#,
            r#"DEBUG connection rejected: number=4 reason="closed""#,
        ]
    );
}

/// A proxy has removed what asks for the upgrade, or a page has another origin.
#[tornadose_test::test]
async fn a_rejected_handshake_names_the_proxy_and_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let (store, app, _) = rooms();
    let without = |removed: &str| get("page", &UPGRADE.replace(removed, ""));
    for (request, missing, reason) in [
        (without("upgrade: websocket\r\n"), "without `upgrade: websocket`", "no upgrade header"),
        (without("connection: upgrade\r\n"), "without `connection: upgrade`", "no connection header"),
        (
            get("page", &UPGRADE.replace("connection: upgrade", "connection: close")),
            "without `connection: upgrade`",
            "no connection header",
        ),
        (
            without("upgrade: websocket\r\n").replace("HTTP/1.1", "HTTP/1.0"),
            "not arrived over HTTP/1.1",
            "http version",
        ),
    ] {
        let (text, _) = read_now(&mut send_request(&app, &request).await).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 426 ") && head.contains("\r\nsec-websocket-version: 13"), "{text}");
        assert!(body.contains(missing) && body.contains("let the proxy in between"), "{text}");
        assert_eq!(take(&log), format!("DEBUG handshake rejected: reason={reason:?}"));
    }
    let foreign = get("page", &format!("origin: https://app.example\r\n{UPGRADE}"));
    let (text, _) = read_now(&mut send_request(&app, &foreign).await).await;
    assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("let it pass the header `host`"), "{text}");
    assert_eq!(
        take(&log),
        r#"DEBUG handshake rejected: reason="origin" origin="https://app.example" host="localhost""#
    );
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn closes_by_maximum_age_by_lag_and_by_abort_are_logged() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::new();
    let handler = || Member::handler(&store);
    let app = harness(
        Router::new()
            .push(Router::with_path("aging/{room}").get(handler().max_age(Duration::from_secs(60))))
            .push(Router::with_path("strict/{room}").get(handler().lag(Lag::Close)))
            .push(Router::with_path("stuck/{room}").get(handler().keep_alive(None))),
    );
    let _aging = (
        app.client("a").once().lenient().sse("/aging/attic").await,
        app.client("b").lenient().ws("/aging/attic").await,
    );
    app.advance(Duration::from_secs(70)).await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="ws" number=2 reason="max_age" code=1001"#,
            r#"DEBUG connection closed: transport="sse" number=1 reason="max_age""#,
        ]
    );
    let _strict = (
        app.client("c").once().lenient().sse("/strict/cellar").await,
        app.client("d").lenient().ws("/strict/cellar").await,
    );
    for _ in 0..8 {
        store.try_submit(said("fast")).unwrap();
    }
    app.settle().await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="lagged""#,
            r#"DEBUG connection closed: transport="ws" number=2 reason="lagged" code=1013"#,
        ]
    );
    let stuck = (
        app.client("e").once().buffer_size(512).lenient().sse("/stuck/cellar").await,
        app.client("f").buffer_size(512).lenient().ws("/stuck/cellar").await,
    );
    stuck.0.stall().await;
    stuck.1.stall().await;
    for _ in 0..4 {
        store.submit(said(&"x".repeat(300_000))).await.unwrap();
        app.settle().await;
    }
    store.close();
    app.advance(Duration::from_secs(6)).await;
    assert_eq!(
        take_ends(&log),
        [
            r#"DEBUG connection closed: transport="sse" number=1 reason="aborted""#,
            r#"DEBUG connection closed: transport="ws" number=2 reason="aborted""#,
        ]
    );
}

#[tornadose_test::test]
async fn a_subscription_is_logged_at_its_end() {
    let store: Store<Room> = Store::new();
    let mut all = store.subscribe();
    for text in ["1", "2", "3", "4", "5", "6"] {
        store.try_submit(said(text)).unwrap();
        store.try_submit(topic(text)).unwrap();
    }
    let (log, _guard) = CapturedLog::start();
    for _ in 0..3 {
        all.next().await.unwrap();
    }
    drop(all);
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG gap reported: channel="room" reason=lagged missed=2
    DEBUG subscription ended: channel="room" owed=12 delivered=2 filtered=0 conflated=5 missed=2 unread=3
    "#);
}

#[tornadose_test::test]
async fn an_unreadable_entry_is_logged_without_its_text() {
    let (log, _guard) = CapturedLog::start();
    let store = Store::<Note>::open(ScriptedBackend).await.unwrap();
    assert_eq!(store.head().to_string(), "aaaaaaaa-7.6");
    insta::assert_snapshot!(take(&log), @r#"
    WARN entry skipped: channel="note" entry=7.1 reason="JSON of another shape, line 1 column 0"
    WARN entry skipped: channel="note" entry=7.2 reason="JSON of another shape, line 1 column 0"
    WARN entry skipped: channel="note" entry=7.3 reason="not JSON, line 1 column 2"
    WARN entry skipped: channel="note" entry=7.5 reason="no field `data`"
    INFO backend connected: channel="note"
    WARN backend disconnected: channel="note" reason="a test"
    WARN backend disconnected: channel="note" reason="again"
    INFO backend connected: channel="note"
    WARN unread entries trimmed: channel="note" missed=3
    WARN outage reported: channel="note"
    "#);
}

#[tornadose_test::test]
async fn a_flood_of_unreadable_entries_is_two_events_a_minute() {
    let (store, link) = open_empty::<Line>().await;
    let (log, _guard) = CapturedLog::start();
    let mut seq = 0;
    let mut ingest_all = |payload: &str, count: usize| {
        for _ in 0..count {
            seq += 1;
            link.ingest(at(seq), entry(payload));
        }
    };
    let (unreadable, readable) = ("{}", r#"{"text":"a"}"#);
    // Messages between the unreadable entries do not begin a new run.
    for _ in 0..1000 {
        ingest_all(unreadable, 1);
        ingest_all(readable, 1);
    }
    link.caught_up();
    tokio::time::sleep(Duration::from_secs(59)).await;
    ingest_all(unreadable, 1);
    insta::assert_snapshot!(take(&log), @r#"WARN entry skipped: channel="line" entry=7.1 reason="JSON of another shape, line 1 column 2""#);
    // The sum is logged at whatever comes from the backend when the minute is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    link.caught_up();
    insta::assert_snapshot!(take(&log), @r#"WARN more entries skipped: channel="line" entries=1000"#);
    ingest_all(unreadable, 3);
    tokio::time::sleep(Duration::from_secs(300)).await;
    ingest_all(readable, 1);
    insta::assert_snapshot!(take(&log), @r#"
    WARN entry skipped: channel="line" entry=7.2002 reason="JSON of another shape, line 1 column 2"
    WARN more entries skipped: channel="line" entries=2
    "#);
    ingest_all(unreadable, 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    ingest_all(unreadable, 1);
    insta::assert_snapshot!(take(&log), @r#"
    WARN entry skipped: channel="line" entry=7.2006 reason="JSON of another shape, line 1 column 2"
    WARN entry skipped: channel="line" entry=7.2007 reason="JSON of another shape, line 1 column 2"
    "#);
    ingest_all(unreadable, 2);
    store.close();
    tokio::time::sleep(Duration::from_secs(60)).await;
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG store closed: channel="line" readers=0
    WARN more entries skipped: channel="line" entries=2
    "#);
}

#[tornadose_test::test]
async fn a_close_is_logged_with_whether_the_connection_is_detached() {
    let (log, _guard) = CapturedLog::start();
    let (_store, app) = watched_room();
    let sse = app.client("sse").lenient().sse("/rooms/cellar").await;
    let ws = app.client("ws").lenient().ws("/rooms/cellar").await;
    sse.close().await;
    ws.close().await;
    app.settle().await;
    let closed: Vec<String> = log.take().into_iter().filter(|line| line.contains("connection closed")).collect();
    let suffix = format!(" detached={} owed=0", is_detached());
    assert!(closed.len() == 2 && closed.iter().all(|line| line.contains(&suffix)), "{closed:?}");
}
