//! Streams that share a connection over HTTP/2: how many there may be, and what a stalled one costs its neighbours.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http_body::Body;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use salvo::Server;
use tokio::time::{Instant, timeout};
use tornadose::Store;
use tornadose_test::Harness;

use super::harness::secs;
use super::rooms::{Drops, Line, connect_http2, line, read_body_now, request_http2, rooms, router};

/// Sends a request, unless it has to wait for another stream to end.
async fn request_now(sender: &http2::SendRequest<String>, number: usize) -> Option<Response<Incoming>> {
    let mut sender = sender.clone();
    let path = format!("/rooms/1?user={number}");
    timeout(Duration::from_secs(1), async { request_http2(&mut sender, "GET", &path).await }).await.ok()
}

#[tornadose_test::test]
async fn a_connection_carries_200_streams_and_the_next_waits_for_an_end() {
    let (store, app, _drops) = rooms();
    let sender = connect_http2(&app).await;
    let mut pages = Vec::new();
    for number in 1..=200 {
        pages.push(request_now(&sender, number).await.expect("the stream opens"));
    }
    assert_eq!(store.subscribers(), 200);
    assert!(request_now(&sender, 201).await.is_none());
    pages.pop();
    assert!(request_now(&sender, 202).await.is_some());
    // A second connection has a limit of its own.
    let second = connect_http2(&app).await;
    assert!(request_now(&second, 203).await.is_some());
}

#[tornadose_test::test]
async fn a_server_of_its_own_raises_the_number_of_streams() {
    let (store, drops) = (Store::new(), Drops::default());
    let app = Harness::with_server(router(&store, &drops), |pipes| {
        let mut server = Server::new(pipes);
        server.http2_mut().max_concurrent_streams(1000);
        server
    });
    let sender = connect_http2(&app).await;
    let mut pages = Vec::new();
    for number in 1..=1000 {
        pages.push(request_now(&sender, number).await.expect("the stream opens"));
    }
    assert_eq!(store.subscribers(), 1000);
    assert!(request_now(&sender, 1001).await.is_none());
}

/// Opens two streams on one connection, of the rooms 1 and 2, and sends 1 MB to room 1, which nobody reads. The
/// client grants each stream 64 KiB, and all of them together so many bytes.
async fn stall_one_of_two(
    store: &Store<Line>,
    app: &Harness,
    connection_window: u32,
) -> (Response<Incoming>, Response<Incoming>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(64 << 10).initial_connection_window_size(connection_window);
    let (mut sender, connection) = builder.handshake(TokioIo::new(app.connect())).await.unwrap();
    tokio::spawn(connection);
    let stalled = request_http2(&mut sender, "GET", "/rooms/1?user=stalled").await;
    let mut neighbour = request_http2(&mut sender, "GET", "/rooms/2?user=neighbour").await;
    read_body_now(&mut neighbour).await;
    for _ in 0..50 {
        store.submit(line("1", &"x".repeat(20 << 10))).await.unwrap();
        app.settle().await;
    }
    store.submit(line("2", "for the neighbour")).await.unwrap();
    (stalled, neighbour)
}

/// Waits until the body fails, as it does when its connection is aborted. Returns how long it took.
async fn wait_for_abort(response: &mut Response<Incoming>) -> Duration {
    let start = Instant::now();
    loop {
        match poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return start.elapsed(),
            None => panic!("the body has ended as a whole"),
        }
    }
}

#[tornadose_test::test]
async fn a_stalled_stream_costs_its_neighbours_nothing_until_its_connection_is_aborted() {
    let (store, app, drops) = rooms();
    let (_stalled, mut neighbour) = stall_one_of_two(&store, &app, 4 << 20).await;
    assert!(read_body_now(&mut neighbour).await.0.contains("for the neighbour"));
    app.advance(secs(20)).await;
    store.submit(line("2", "still here")).await.unwrap();
    assert!(read_body_now(&mut neighbour).await.0.contains("still here"));
    // A stall is aborted after twice the keep-alive of 15 s, and the connection is all that can be aborted.
    let after = secs(20) + wait_for_abort(&mut neighbour).await;
    assert!((secs(30)..=secs(60)).contains(&after), "{after:?}");
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!((store.subscribers(), dropped), (0, vec!["neighbour".into(), "stalled".into()]));
}

#[tornadose_test::test]
async fn a_stalled_stream_holds_up_its_neighbours_when_it_fills_the_window_of_the_connection() {
    let (store, app, _drops) = rooms();
    let (_stalled, mut neighbour) = stall_one_of_two(&store, &app, 64 << 10).await;
    assert_eq!(read_body_now(&mut neighbour).await, (String::new(), false));
    let after = wait_for_abort(&mut neighbour).await;
    assert!((secs(30)..=secs(60)).contains(&after), "{after:?}");
    assert_eq!(store.subscribers(), 0);
}
