//! When a stream is detached and when it stays attached, and how detached streams end. The suites in
//! `detached.rs` check what clients of detached streams see.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "handover/conditions.rs"]
mod conditions;
#[path = "handover/delivery.rs"]
mod delivery;
#[path = "handover/servers.rs"]
mod servers;
#[path = "handover/sockets.rs"]
mod sockets;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use salvo::Service;
use salvo::conn::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tornadose::Handover;
use tornadose::prelude::*;
use tornadose_test::{Harness, InMemoryAcceptor};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const LOCAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: u32,
    text: String,
}

#[subscriber(sse, store = Line, authorize = public)]
struct Room {
    #[key]
    room: u32,
}

fn line(room: u32, text: &str) -> Line {
    Line { room, text: text.into() }
}

fn rooms(store: &Store<Line>) -> Router {
    Router::with_path("{room}").get(Room::handler(store))
}

/// A harness on a server with one connection at a time. A second request is served only if the first
/// stream has detached.
fn single_connection_harness(service: impl Into<Service>) -> Harness {
    let handover = Handover::new();
    let service = handover.wrap_service(service);
    Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(pipes)).max_connections(1))
}

/// A harness on a server without limits, with an acceptor around the one of the harness.
fn detaching_harness<A>(
    service: impl Into<Service>,
    acceptor: impl Fn(InMemoryAcceptor) -> A + Send + Sync + 'static,
) -> Harness
where
    A: Acceptor + Send + 'static,
    A::Stream: AsyncRead + AsyncWrite,
{
    let handover = Handover::new();
    let service = handover.wrap_service(service);
    Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(acceptor(pipes))))
}

async fn send_request(app: &Harness, request: &str) -> DuplexStream {
    let mut pipe = app.connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    pipe
}

/// Reads until this text has arrived. Returns what was read.
async fn read_until(pipe: &mut DuplexStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
        }
    };
    let arrived = timeout(secs(60), reading).await.is_ok();
    let read = String::from_utf8(read).unwrap();
    assert!(arrived, "{text} does not arrive: {read}");
    read
}

const GET: &str = "GET /1 HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Opens a stream, and checks that it delivers and whether it detaches.
async fn check(app: &Harness, store: &Store<Line>, request: &str, detaches: bool) {
    let mut page = send_request(app, request).await;
    app.settle().await;
    let mut second = send_request(app, "GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answered = timeout(secs(1), second.read_u8()).await.is_ok();
    drop(second);
    assert_eq!(store.subscribers(), 1);
    store.submit(line(1, "hi")).await.unwrap();
    let head = read_until(&mut page, "\"hi\"").await;
    assert_eq!(answered, detaches, "{head}");
    assert_eq!(head.contains("\r\nconnection: close\r\n"), detaches, "{head}");
    // It stays open while nothing is submitted.
    for _ in 0..3 {
        read_until(&mut page, ": keep-alive\n").await;
    }
    store.submit(line(1, "there")).await.unwrap();
    read_until(&mut page, "\"there\"").await;
    drop(page);
    app.settle().await;
    // If the client has sent more than its request, the next write notices that it left.
    store.submit(line(1, "to nobody")).await.unwrap();
    app.settle().await;
    assert_eq!(store.subscribers(), 0);
}

async fn check_service(service: impl Fn(Router) -> Service, request: &str, detaches: bool) {
    let store = Store::new();
    let app = single_connection_harness(service(rooms(&store)));
    check(&app, &store, request, detaches).await;
}
