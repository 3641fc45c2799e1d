//! Clients that read slowly, pause, or stop reading.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tornadose::prelude::*;

use super::harness::{harness, secs, serve_on_socket};
use super::rooms::UPGRADE;
use super::samples::{rooms, said, ticker};

#[store(queue, capacity = 64)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line, keep_alive = "1s", replay = 100)]
struct Lines;

#[tornadose_test::test]
async fn a_client_that_reads_again_gets_the_next_message_at_once() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    let stream = app.client("stream").buffer_size(64).sse("/lines").await;
    let socket = app.client("socket").buffer_size(64).ws("/lines").await;
    for turn in 0..3 {
        stream.stall().await;
        socket.stall().await;
        store.submit(Line("x".repeat(1000))).await.unwrap();
        app.settle().await;
        if turn == 2 {
            store.submit(Line("while it was full".into())).await.unwrap();
            app.settle().await;
        }
        stream.resume().await;
        socket.resume().await;
        for client in [&stream, &*socket] {
            client.skip(if turn == 2 { 2 } else { 1 }).await;
        }
        store.submit(Line("at once".into())).await.unwrap();
        for client in [&stream, &*socket] {
            assert_eq!(client.next_now::<String>().await, "at once");
        }
    }
}

const EVENT_BYTES: usize = 4 << 20;

/// Reads a large event over a real socket, at 1 MB/s.
async fn read_steadily(upgrade: &str) {
    let store = Store::new();
    store.try_submit(Line("x".repeat(EVENT_BYTES))).unwrap();
    let (addr, server) = serve_on_socket(Router::with_path("lines").get(Lines::handler(&store))).await;
    let ticks = tokio::spawn(async move {
        // The client is owed messages all the time.
        while store.submit(Line("tick".into())).await.is_ok() {
            tokio::time::sleep(secs(1)).await;
        }
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    let mut page = socket.connect(addr).await.unwrap();
    page.write_all(format!("GET /lines HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n").as_bytes()).await.unwrap();
    let (mut taken, mut chunk) = (0, vec![0; 100_000]);
    while taken < EVENT_BYTES {
        let read = page.read(&mut chunk).await.unwrap_or(0);
        assert_ne!(read, 0, "aborted after {taken} bytes, although the client read all the time");
        taken += read;
        tokio::time::sleep(Duration::from_micros(read as u64)).await;
    }
    ticks.abort();
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_read_at_1_megabyte_per_second_is_not_aborted() {
    read_steadily("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_read_at_1_megabyte_per_second_is_not_aborted() {
    read_steadily(UPGRADE).await;
}

#[tornadose_test::test]
async fn a_client_that_lags_gets_the_exact_number_of_missed_messages() {
    let (store, app) = rooms();
    let slow = app.client("slow").buffer_size(64).sse("/rooms/go").await;
    store.submit(said("go", "0")).await.unwrap();
    slow.skip(1).await;
    slow.stall().await;
    for number in 1..=100 {
        store.submit(said("go", &format!("{number} {}", "x".repeat(2000)))).await.unwrap();
        app.settle().await;
    }
    slow.resume().await;
    app.settle().await;
    let mut seen = 0;
    let missed = loop {
        let event = slow.next_event().await;
        if event.name == "tornadose:gap" {
            let gap: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            assert_eq!(gap["reason"], "lagged");
            break gap["missed"].as_u64().unwrap();
        }
        seen += 1;
        assert!(event.data.contains(&format!("\"{seen} xx")));
    };
    let next = slow.next_event().await;
    assert!(
        next.data.contains(&format!("\"{} xx", seen + missed + 1)),
        "{seen} seen, {missed} missed, then {}",
        next.data
    );
    slow.skip(3).await;
    assert_eq!(slow.last_event_id(), Some(store.head().to_string()));
}

#[tornadose_test::test]
async fn a_client_that_takes_nothing_is_aborted_five_seconds_after_the_close() {
    let (store, app) = rooms();
    for path in ["/rooms/go", "/rooms/rust"] {
        let stalled = app.client("stalled").buffer_size(64).lenient();
        if path == "/rooms/go" { stalled.sse(path).await.stall().await } else { stalled.ws(path).await.stall().await }
    }
    for number in 0..100 {
        store.submit(said("go", &number.to_string().repeat(1000))).await.unwrap();
        store.submit(said("rust", &number.to_string().repeat(1000))).await.unwrap();
        app.settle().await;
    }
    let before = tokio::time::Instant::now();
    store.close();
    store.closed().await;
    assert_eq!(before.elapsed(), secs(5));
}

#[tornadose_test::test]
async fn a_client_that_takes_none_of_its_messages_is_aborted() {
    let (store, app) = rooms();
    let slow = app.client("slow").buffer_size(64).lenient().sse("/rooms/go").await;
    let live = app.client("live").sse("/rooms/go").await;
    // Idle for long, and then more than its pipe and the server buffer.
    app.advance(secs(100)).await;
    slow.stall().await;
    for number in 0..50 {
        store.submit(said("go", &number.to_string().repeat(1000))).await.unwrap();
        app.settle().await;
    }
    app.advance(secs(29)).await;
    assert_eq!(store.subscribers(), 2);
    app.advance(secs(1)).await;
    assert_eq!(store.subscribers(), 1);
    live.skip(50).await;
}

#[tornadose_test::test]
async fn a_client_that_does_not_take_its_keep_alives_is_aborted() {
    let (store, app) = ticker();
    let idle = app.client("idle").buffer_size(64).lenient().sse("/ticks").await;
    idle.stall().await;
    app.client("reads").sse("/ticks").await;
    // The pipe takes three of them. The fourth, after a minute, does not fit.
    app.advance(secs(89)).await;
    assert_eq!(store.subscribers(), 2);
    app.advance(secs(1)).await;
    assert_eq!(store.subscribers(), 1);
    app.advance(secs(3600)).await;
    assert_eq!(store.subscribers(), 1);
}
