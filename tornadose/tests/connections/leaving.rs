//! Clients that leave: how soon their connections end, and that their subscribers are dropped once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose_test::Client;

use super::harness::{harness, is_detached, secs, serve_on_socket};
use super::rooms::{Drops, TRANSPORTS, UPGRADE, get, key, line, read_now, rooms, router, send_request};
use super::slow_hook::SlowAuthorize;

#[tornadose_test::test]
async fn a_connection_ends_at_once_when_its_client_closes_it() {
    let (store, app, drops) = rooms();
    for headers in TRANSPORTS {
        let pipe = send_request(&app, &get("fin", headers)).await;
        assert_eq!((store.subscribers(), drops.take()), (1, vec![]));
        drop(pipe);
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["fin".into()]));
    }
}

#[tornadose_test::test]
async fn a_connection_ends_at_once_when_its_client_shuts_down_writing() {
    let (store, app, drops) = rooms();
    for headers in TRANSPORTS {
        let mut pipe = send_request(&app, &get("half", headers)).await;
        pipe.shutdown().await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["half".into()]));
        let (_, has_ended) = read_now(&mut pipe).await;
        assert!(has_ended, "the server closes the connection too");
    }
}

#[tokio::test]
async fn a_connection_ends_at_once_when_it_is_reset() {
    let (store, drops) = (Store::new(), Drops::default());
    let (addr, server) = serve_on_socket(router(&store, &drops)).await;
    for headers in TRANSPORTS {
        let mut page = tokio::net::TcpStream::connect(addr).await.unwrap();
        page.write_all(get("rst", headers).as_bytes()).await.unwrap();
        assert!(page.read(&mut [0; 1024]).await.unwrap() > 0);
        socket2::SockRef::from(&page).set_linger(Some(Duration::ZERO)).unwrap();
        drop(page);
        // On a real socket, at once means before the first timer, which is due after 15 s.
        let ended = async {
            while store.subscribers() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(secs(10), ended).await.expect("the connection ends");
        assert_eq!(drops.take(), ["rst"]);
    }
    server.abort();
}

#[tornadose_test::test]
async fn a_client_that_vanished_is_aborted_after_30_seconds() {
    let (store, app, drops) = rooms();
    let page = app.client("page").buffer_size(512).lenient().sse("/rooms/1?user=page").await;
    let socket = app.client("socket").lenient().ws("/rooms/2?user=socket").await;
    page.vanish().await;
    socket.vanish().await;
    // More than the pipe and hyper's buffer take, so that the reader is owed messages.
    for _ in 0..10 {
        store.submit(line("1", &"x".repeat(100_000))).await.unwrap();
    }
    app.advance(Duration::from_millis(29_999)).await;
    assert_eq!((store.subscribers(), drops.take()), (2, vec![]));
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(store.subscribers(), 0);
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!(dropped, ["page", "socket"]);
}

#[tornadose_test::test]
async fn a_stream_with_unread_input_ends_at_the_first_write_after_its_client_left() {
    let (store, app, drops) = rooms();
    let stray = get("stray", "") + "\r\n";
    let pipelined = get("stray", "") + &get("second", "");
    let unread = get("stray", "content-length: 10\r\n") + "half";
    for request in [stray, pipelined, unread] {
        let mut pipe = send_request(&app, &request).await;
        store.submit(line("1", "hi")).await.unwrap();
        let (text, has_ended) = read_now(&mut pipe).await;
        assert!(text.contains("data: {\"room\":\"1\",\"text\":\"hi\"}\n\n") && !has_ended, "{text}");
        drop(pipe);
        app.settle().await;
        store.submit(line("1", "to nobody")).await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["stray".into()]), "{request}");
    }
}

#[tornadose_test::test]
async fn a_pipelined_request_is_answered_after_an_attached_stream_only() {
    let (store, app, drops) = rooms();
    let mut pipe = send_request(&app, &(get("first", "") + "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    store.disconnect(&key("1"));
    let (text, has_ended) = read_now(&mut pipe).await;
    let (before, after) = text.split_once("retry: 4472\n\r\n0\r\n\r\n").expect(&text);
    assert_eq!(drops.take(), ["first"]);
    if is_detached() {
        // The head says that the connection closes after this response.
        assert!(before.contains("\r\nconnection: close\r\n") && after.is_empty() && has_ended, "{text}");
    } else {
        assert!(after.starts_with("HTTP/1.1 404 ") && !has_ended, "{text}");
    }
}

#[tornadose_test::test]
async fn bytes_sent_together_with_a_handshake_are_read_as_frames() {
    let (store, app, drops) = rooms();
    for stray in ["\r\n", "GET /nowhere HTTP/1.1\r\n\r\n"] {
        let mut pipe = send_request(&app, &(get("stray", UPGRADE) + stray)).await;
        let mut bytes = vec![0; 1024];
        let read = pipe.read(&mut bytes).await.unwrap();
        assert!(bytes.starts_with(b"HTTP/1.1 101 "));
        // A close frame with 1002.
        assert!(bytes[..read].windows(4).any(|part| part[0] == 0x88 && part[2..] == [0x03, 0xEA]));
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["stray".into()]));
    }
    // A masked ping `hi`, the mask all zero, in one write with the request.
    let mut pipe = app.connect();
    let mut bytes = get("eager", UPGRADE).into_bytes();
    bytes.extend([0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    pipe.write_all(&bytes).await.unwrap();
    let (text, has_ended) = read_now(&mut pipe).await;
    assert!(text.contains("\u{2}hi") && !has_ended, "{text:?}");
    assert_eq!((store.subscribers(), drops.take()), (1, vec![]));
}

#[tornadose_test::test]
async fn clients_that_leave_during_authorize_open_no_connection() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(SlowAuthorize::handler(&store)));
    for number in 0..20 {
        app.client(format!("page-{number}")).lenient().sse("/lines").await.close().await;
        let socket = app.client(format!("socket-{number}")).lenient().ws("/lines").await;
        Client::close(&socket).await;
    }
    app.advance(secs(100)).await;
    assert_eq!(store.subscribers(), 0);
}
