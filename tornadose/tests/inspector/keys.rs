//! A key is looked at and disconnected.

use serde_json::{Value, json};

use crate::harness::secs;
use crate::log::CapturedLog;
use crate::samples::{Room, RoomKey, Tick, ask_to_disconnect, happened, newest, open_page, said, served, tail_path};

#[tornadose_test::test]
async fn the_messages_of_a_key_are_shown_as_they_come() {
    let (rooms, ticks, app) = served();
    rooms.submit(Room::Topic { room: "go".into(), topic: "channels".into() }).await.unwrap();
    ticks.submit(Tick(0.5)).await.unwrap();
    let tail = app.client("tail").lenient().sse(tail_path(0, "\"go\"")).await;
    app.settle().await;
    assert_eq!(rooms.subscribers_of(&RoomKey { room: "go".into() }), 1, "it is one more reader");
    rooms.submit(said("go", "hi")).await.unwrap();
    rooms.submit(said("rust", "not of this key")).await.unwrap();
    rooms.submit(said("go", &"é".repeat(4000))).await.unwrap();
    app.settle().await;
    let lines = happened(&tail, "line").await;
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((&lines[0]["name"], &lines[1]["name"]), (&json!("topic"), &json!("said")));
    assert_eq!(lines[1]["data"], r#"{"room":"go","text":"hi"}"#);
    assert_eq!(lines[2]["bytes"], r#"{"room":"go","text":""}"#.len() + 8000);
    let shown = lines[2]["data"].as_str().unwrap();
    assert!(shown.len() <= 4096 && shown.ends_with('é'), "{} bytes", shown.len());
    tail.close().await;
    app.settle().await;
    assert_eq!(rooms.subscribers(), 0, "its reader has ended with the page");

    // The only key of a type without one.
    let tail = app.client("ticks").lenient().sse(tail_path(1, "null")).await;
    app.settle().await;
    assert_eq!(happened(&tail, "line").await[0]["data"], "0.5");
}

#[tornadose_test::test]
async fn a_flood_is_shown_in_part_and_the_rest_is_counted() {
    let (rooms, _ticks, app) = served();
    let feed = app.client("feed").lenient().mute().sse("/rooms/go").await;
    let tail = app.client("tail").lenient().sse(tail_path(0, "\"go\"")).await;
    for number in 0..500 {
        rooms.submit(said("go", &number.to_string())).await.unwrap();
        app.settle().await;
    }
    app.advance(secs(1)).await;
    let events = tail.drain_events().await;
    assert_eq!(events.iter().filter(|event| event.name == "line").count(), 50);
    let passed = events.iter().find(|event| event.name == "passed").unwrap();
    assert_eq!(passed.data, r#"{"messages":450}"#);
    drop(feed);
}

#[tornadose_test::test]
async fn a_key_that_nobody_knows_has_no_messages() {
    let (rooms, _ticks, app) = served();
    rooms.submit(said("go", "hi")).await.unwrap();
    for key in ["\"rust\"", "7", "{}", "null", "[\"go\"]", "\"\\u0000\""] {
        let tail = app.client("tail").lenient().sse(tail_path(0, key)).await;
        app.settle().await;
        let names: Vec<_> = tail.drain_events().await.into_iter().map(|event| event.name).collect();
        assert_eq!(names, ["unknown", "tornadose:finished"], "{key}");
    }
    for path in ["/a/inspector/tail/2?key=1", "/a/inspector/tail/x?key=1"] {
        assert_eq!(app.client("none").once().lenient().sse(path).await.status(), 404, "{path}");
    }
    for path in ["/a/inspector/tail/0", "/a/inspector/tail/0?key=go"] {
        assert_eq!(app.client("bad").once().lenient().sse(path).await.status(), 400, "{path}");
    }
}

#[tornadose_test::test]
async fn hostile_keys_are_shown_as_they_are() {
    let (rooms, _ticks, app) = served();
    let hostile = ["</script><script>alert(1)</script>".to_owned(), "\"\\\r\n\u{2028}\0".into(), "k".repeat(1000)];
    for room in &hostile {
        rooms.submit(said(room, "hi")).await.unwrap();
    }
    let readers: Vec<_> = hostile.iter().map(|room| rooms.subscribe_to(RoomKey { room: room.clone() })).collect();
    let page = open_page(&app).await;
    let report = newest(&page, "stores", None).await;
    for room in &hostile {
        let key = serde_json::to_string(room).unwrap();
        let top = report["stores"][0]["top_keys"].as_array().unwrap();
        assert!(top.contains(&json!({ "key": key, "readers": 1 })), "{key}");
        let tail = app.client("tail").lenient().sse(tail_path(0, &key)).await;
        app.settle().await;
        assert_eq!(rooms.subscribers_of(&RoomKey { room: room.clone() }), 2);
        tail.close().await;
        let answer = ask_to_disconnect(&app, 0, &json!(room)).await;
        assert_eq!(answer.json::<Value>(), json!({ "readers": 1 }));
    }
    drop(readers);
}

#[tornadose_test::test]
async fn a_key_is_disconnected() {
    let (rooms, _ticks, app) = served();
    let (log, _guard) = CapturedLog::start();
    let stream = app.client("stream").once().lenient().sse("/rooms/go").await;
    let socket = app.client("socket").lenient().ws("/rooms/go").await;
    let other = app.client("other").lenient().sse("/rooms/rust").await;
    let page = open_page(&app).await;
    page.drain_events().await;
    let answer = ask_to_disconnect(&app, 0, &json!("go")).await;
    assert_eq!(answer.json::<Value>(), json!({ "readers": 2 }));
    app.settle().await;
    assert_eq!(rooms.subscribers(), 1);
    stream.closed().await;
    socket.closed().await;
    let events = page.drain_events().await;
    let ends = events.iter().filter(|event| event.name == "ended");
    assert!(ends.clone().all(|event| event.data.contains("\"reason\":\"disconnected\"")));
    assert_eq!(ends.count(), 2);
    let told = events.iter().find(|event| event.name == "disconnected").unwrap();
    assert!(told.data.contains(r#""store":0,"key":"\"go\"","readers":2"#), "{}", told.data);
    let line = r#"INFO key disconnected: channel="rooms" readers=2"#;
    assert!(log.take().contains(&line.to_owned()), "no key is logged");
    // An object of the key's fields names it too.
    assert_eq!(ask_to_disconnect(&app, 0, &json!({ "room": "rust" })).await.json::<Value>(), json!({ "readers": 1 }));
    let unknown = ask_to_disconnect(&app, 0, &json!("nobody")).await;
    assert_eq!((unknown.status(), unknown.text().contains("unknown key")), (404, true));
    assert_eq!(ask_to_disconnect(&app, 7, &json!("go")).await.status(), 404);
    drop(other);
}
