//! Connections that the server ends: by `disconnect`, by `close`, and at their maximum age.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tornadose_test::{Ending, assert_transcript};

use super::harness::secs;
use super::rooms::{key, line, rooms};

#[tornadose_test::test]
async fn disconnect_ends_only_the_connections_of_the_key() {
    let (store, app, drops) = rooms();
    let pages = [
        app.client("ada").sse("/rooms/1?user=ada").await,
        app.client("other").sse("/rooms/2?user=other").await,
        app.client("all").sse("/all").await,
    ];
    let sockets = [
        app.client("bob").ws("/rooms/1?user=bob").await,
        app.client("others").ws("/rooms/2?user=others").await,
        app.client("alls").ws("/all").await,
    ];
    store.disconnect(&key("1"));
    store.disconnect(&key("unused"));
    app.settle().await;
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!((store.subscribers(), dropped), (4, vec!["ada".into(), "bob".into()]));
    store.submit(line("2", "hi")).await.unwrap();
    app.settle().await;
    for reader in pages[1..].iter().chain(sockets[1..].iter().map(|socket| &**socket)) {
        reader.skip(1).await;
    }
    assert_transcript!(app, @r#"
    ada > GET /rooms/1?user=ada
    ada ~ open 200 text/event-stream, retry 2s
    other > GET /rooms/2?user=other
    other ~ open 200 text/event-stream, retry 2s
    all > GET /all
    all ~ open 200 text/event-stream
    bob > GET /rooms/1?user=bob upgrade websocket
    bob ~ open 101
    others > GET /rooms/2?user=others upgrade websocket
    others ~ open 101
    alls > GET /all upgrade websocket
    alls ~ open 101
    ada < retry 4.472s
    ada ~ end
    bob ~ close 1008 (server) disconnected
    other < message #1 {"room":"2","text":"hi"}
    all < message #1 {"room":"2","text":"hi"}
    others < message #1 {"room":"2","text":"hi"}
    alls < message #1 {"room":"2","text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn a_disconnect_delivers_what_was_submitted_before_and_nothing_else() {
    for has_read_all in [true, false] {
        let (store, app, _) = rooms();
        let small = |client: &str| app.client(client).buffer_size(64).once().lenient();
        let page = small("page").sse("/rooms/1?user=page").await;
        let socket = small("socket").ws("/rooms/1?user=socket").await;
        if !has_read_all {
            page.stall().await;
            socket.stall().await;
        }
        for number in 0..5 {
            store.submit(line("1", &number.to_string().repeat(1000))).await.unwrap();
            app.settle().await;
        }
        store.submit(line("1", "last")).await.unwrap();
        store.disconnect(&key("1"));
        store.submit(line("1", "later")).await.unwrap();
        app.advance(secs(4)).await;
        page.resume().await;
        socket.resume().await;
        assert_eq!(page.closed().await, Ending::End);
        assert_eq!(socket.closed().await, Ending::Close { code: 1008, reason: "disconnected".into() });
        for client in [&page, &*socket] {
            let transcript = client.recording().to_string();
            for number in 0..5 {
                assert_eq!(transcript.matches(&number.to_string().repeat(1000)).count(), 1, "{transcript}");
            }
            assert_eq!((transcript.matches("last\"").count(), transcript.matches("later").count()), (1, 0));
        }
        // The last id is that of the last message that was delivered.
        let again = app.client("again").last_event_id(page.last_event_id().unwrap()).sse("/rooms/1?user=again").await;
        assert_eq!(again.next_now::<serde_json::Value>().await["text"], "later");
    }
}

#[tornadose_test::test]
async fn a_disconnected_client_that_takes_nothing_is_aborted_after_5_seconds() {
    let (store, app, drops) = rooms();
    let page = app.client("page").buffer_size(64).once().lenient().sse("/rooms/1?user=page").await;
    let socket = app.client("socket").buffer_size(64).lenient().ws("/rooms/1?user=socket").await;
    page.stall().await;
    socket.stall().await;
    for _ in 0..5 {
        store.submit(line("1", &"x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    store.disconnect(&key("1"));
    app.advance(Duration::from_millis(4999)).await;
    assert_eq!(store.subscribers_of(&key("1")), 2);
    app.advance(Duration::from_millis(2)).await;
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!(dropped, ["page", "socket"]);
    // The close frame and the last `retry` of a socket of our own have as much time again.
    app.advance(secs(5)).await;
    assert_eq!(store.subscribers_of(&key("1")), 0);
}

#[tornadose_test::test]
async fn a_disconnected_client_can_resume() {
    let (store, app, drops) = rooms();
    // A disconnect does not concern later connections.
    store.disconnect(&key("1"));
    let page = app.client("page").sse("/rooms/1?user=page").await;
    store.submit(line("1", "before")).await.unwrap();
    page.skip(1).await;
    store.disconnect(&key("1"));
    app.settle().await;
    assert_eq!(page.closed().await, Ending::End);
    store.submit(line("1", "between")).await.unwrap();
    let again = app.client("again").last_event_id(page.last_event_id().unwrap()).sse("/rooms/1?user=again").await;
    assert_eq!(again.next_now::<serde_json::Value>().await["text"], "between");
    again.quiet().await;
    assert_eq!(drops.take(), ["page"]);
}

#[tornadose_test::test]
async fn a_thousand_connections_close_at_once() {
    let (store, app, drops) = rooms();
    let (mut pages, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..500 {
        let room = number % 7;
        pages.push(app.client(format!("p{number}")).sse(format!("/rooms/{room}?user=p{number}")).await);
        sockets.push(app.client(format!("s{number}")).ws(format!("/rooms/{room}?user=s{number}")).await);
    }
    assert_eq!((store.subscribers(), drops.take()), (1000, vec![]));
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!(store.subscribers(), 0);
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    for page in pages {
        assert_eq!(page.closed().await, Ending::End);
    }
    for socket in sockets {
        assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
    }
    let mut times = BTreeMap::new();
    for user in drops.take() {
        *times.entry(user).or_insert(0) += 1;
    }
    assert_eq!((times.len(), times.values().max()), (1000, Some(&1)), "each was dropped once");
}

#[tornadose_test::test]
async fn clients_that_read_close_at_once_and_stalled_clients_after_5_seconds() {
    let (store, app, drops) = rooms();
    let page = app.client("page").once().sse("/rooms/1?user=page").await;
    let socket = app.client("socket").ws("/rooms/1?user=socket").await;
    let stalled = app.client("stalled").buffer_size(64).lenient().sse("/rooms/2?user=stalled").await;
    let stalled_ws = app.client("stalled-ws").buffer_size(64).lenient().ws("/rooms/2?user=stalled-ws").await;
    stalled.stall().await;
    stalled_ws.stall().await;
    for _ in 0..5 {
        store.submit(line("2", &"x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    let before = Instant::now();
    store.close();
    assert_eq!(page.closed().await, Ending::End);
    assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
    assert_eq!(before.elapsed(), Duration::ZERO);
    store.closed().await;
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!(before.elapsed(), secs(5));
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!(dropped, ["page", "socket", "stalled", "stalled-ws"]);
}

#[tornadose_test::test]
async fn a_client_that_reads_on_gets_all_messages_and_the_regular_end() {
    for stalled in [true, false] {
        let (store, app, _) = rooms();
        let page = app.client("page").buffer_size(64).once().lenient().sse("/rooms/1?user=page").await;
        let socket = app.client("socket").buffer_size(64).lenient().ws("/rooms/1?user=socket").await;
        if stalled {
            page.stall().await;
            socket.stall().await;
        }
        let before = Instant::now();
        for number in 0..5 {
            store.submit(line("1", &number.to_string().repeat(1000))).await.unwrap();
            if stalled {
                app.settle().await;
            }
        }
        store.close();
        if stalled {
            app.settle().await;
            page.resume().await;
            socket.resume().await;
        }
        assert_eq!(page.closed().await, Ending::End);
        assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: String::new() });
        assert_eq!(before.elapsed(), Duration::ZERO);
        let transcript = app.recording().to_string();
        for number in 0..5 {
            assert_eq!(transcript.matches(&number.to_string().repeat(1000)).count(), 2);
        }
    }
}

#[tornadose_test::test]
async fn a_client_that_reached_the_maximum_age_resumes_without_loss() {
    let (store, app, drops) = rooms();
    let page = app.client("page").once().sse("/short-lived/1?user=page").await;
    let socket = app.client("socket").ws("/short-lived/1?user=socket").await;
    store.submit(line("1", "before")).await.unwrap();
    app.advance(secs(66)).await;
    page.skip(1).await;
    socket.skip(1).await;
    assert_eq!(page.closed().await, Ending::End);
    assert_eq!(socket.closed().await, Ending::Close { code: 1001, reason: "max age".into() });
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!(dropped, ["page", "socket"]);
    store.submit(line("1", "between")).await.unwrap();
    let page = app.client("page").last_event_id(page.last_event_id().unwrap()).sse("/short-lived/1?user=page").await;
    let id = socket.last_event_id().unwrap();
    let socket = app.client("socket").ws(format!("/short-lived/1?user=socket&last_event_id={id}")).await;
    store.submit(line("1", "after")).await.unwrap();
    for reader in [&page, &*socket] {
        for text in ["between", "after"] {
            assert_eq!(reader.next_now::<serde_json::Value>().await["text"], text);
        }
        reader.quiet().await;
    }
    // `authorize` runs for each connection.
    let crash = app.client("crash").last_event_id(id).sse("/short-lived/1?user=crash").await;
    app.expect_panic("authorize").await;
    assert_eq!((crash.status(), drops.take()), (500, vec!["crash".into()]));
}
