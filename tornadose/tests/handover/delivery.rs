//! What clients of detached streams receive.

use std::io;

use salvo::Service;
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, Holding};
use salvo::fuse::ArcFusePolicy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose_test::assert_transcript;

use super::conditions::WrapBodies;
use super::{GET, Room, detaching_harness, line, read_until, rooms, secs, send_request, single_connection_harness};

#[tornadose_test::test]
async fn a_stream_detaches_once_its_client_has_taken_the_head_in_pieces() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store));
    // The bytes that the pipe takes, of which the head and the first chunk need some 200.
    for width in [1, 16, 100, 199, 1 << 10] {
        let page = app.client(format!("page{width}")).once().buffer_size(width).sse("/1").await;
        for number in 0..20 {
            store.submit(line(1, &format!("{number}"))).await.unwrap();
        }
        for number in 0..20 {
            let text = page.next_event().await.data;
            assert_eq!(text, format!(r#"{{"room":1,"text":"{number}"}}"#), "{width}");
        }
        assert_eq!(app.get("/nowhere/at/all").await.status(), 404, "the stream is detached");
        page.close().await;
        assert_eq!(store.subscribers(), 0);
    }
}

/// Attached and detached streams, all opened at the same time.
#[tornadose_test::test]
async fn every_stream_is_written_to_its_own_socket() {
    let store = Store::new();
    let service = Service::new(
        Router::new()
            .push(Router::with_path("wrapped").hoop(WrapBodies::default()).push(rooms(&store)))
            .push(Router::with_path("plain").push(rooms(&store))),
    );
    let app = detaching_harness(service, |pipes| pipes);
    let mut pages = Vec::new();
    for room in 0..200 {
        let path = if room % 3 == 0 { "wrapped" } else { "plain" };
        let version = if room % 7 == 0 { "1.0" } else { "1.1" };
        let request = format!("GET /{path}/{room} HTTP/{version}\r\nhost: localhost\r\n\r\n");
        let mut pipe = app.connect();
        // Each request is sent in two parts. The second parts are sent at the same time.
        pipe.write_all(&request.as_bytes()[..20]).await.unwrap();
        pages.push((pipe, request));
    }
    app.settle().await;
    for (pipe, request) in &mut pages {
        pipe.write_all(&request.as_bytes()[20..]).await.unwrap();
    }
    app.settle().await;
    assert_eq!(store.subscribers(), 200);
    for room in 0..200 {
        store.submit(line(room, "yours")).await.unwrap();
    }
    store.close();
    for (room, (mut pipe, _)) in (0..).zip(pages) {
        let mut all = String::new();
        timeout(secs(60), pipe.read_to_string(&mut all)).await.unwrap().unwrap();
        assert_eq!(all.matches("HTTP/1.").count(), 1, "{all}");
        assert_eq!(all.matches("\"yours\"").count(), 1, "{all}");
        assert!(all.contains(&format!("data: {{\"room\":{room},\"text\":\"yours\"}}\n\n")), "{room}: {all}");
        assert_eq!(all.matches("retry: ").count(), 2, "{all}");
    }
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn a_detached_stream_is_one_complete_response() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store));
    let page = app.client("page").once().sse("/1").await;
    store.submit(line(1, "hi")).await.unwrap();
    app.advance(secs(15)).await;
    store.close();
    app.settle().await;
    assert_transcript!(page, wire, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    page ~ content-type: text/event-stream; charset=utf-8
    page ~ cache-control: no-cache, no-transform
    page ~ x-accel-buffering: no
    page ~ connection: close
    page ~ transfer-encoding: chunked
    page < retry: 3000\n: tornadose\nid: #1\n\n
    page < id: #2\ndata: {"room":1,"text":"hi"}\n\n
    after 15s
    page < : keep-alive\n
    page < retry: 6708\n
    page ~ end
    "#);
}

#[tornadose_test::test]
async fn a_client_that_keeps_sending_is_read_only_up_to_a_limit() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store));
    let mut sender = send_request(&app, GET).await;
    let page = app.client("page").once().sse("/1").await;
    let mut sent = 0;
    while let Ok(more) = timeout(secs(1), sender.write(&[b'x'; 1000])).await {
        sent += more.unwrap();
    }
    // What the pipe holds, and what the stream has read.
    assert!((64 << 10..100 << 10).contains(&sent), "{sent} bytes");
    for number in 0..50 {
        store.submit(line(1, &format!("<{number}>"))).await.unwrap();
        read_until(&mut sender, &format!("<{number}>")).await;
    }
    page.skip(50).await;
    drop(sender);
    app.settle().await;
    assert_eq!(store.subscribers(), 2);
    // The next write notices that the client left.
    store.submit(line(1, "to one")).await.unwrap();
    page.skip(1).await;
    assert_eq!(store.subscribers(), 1);
}

/// An acceptor of sockets with a write buffer, which is written only by a flush.
struct Buffered<A>(A);

impl<A> Acceptor for Buffered<A>
where
    A: Acceptor,
    A::Stream: AsyncRead + AsyncWrite,
{
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = BufWriter<A::Stream>;

    fn holdings(&self) -> &[Holding] {
        self.0.holdings()
    }

    async fn accept(&mut self, fuse: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        Ok(self.0.accept(fuse).await?.map_into(|_| TcpCoupler::new(), BufWriter::new))
    }
}

#[tornadose_test::test]
async fn a_socket_with_a_write_buffer_is_flushed() {
    let store = Store::new();
    let silent = Router::with_path("{room}").get(Room::handler(&store).keep_alive(None));
    let app = detaching_harness(silent, Buffered);
    let mut page = send_request(&app, GET).await;
    let opening = read_until(&mut page, "-0\n\n").await;
    let id = opening.rsplit("id: ").next().unwrap().lines().next().unwrap();
    // Only the head is written to this client.
    let request = format!("GET /1 HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {id}\r\n\r\n");
    let mut back = send_request(&app, &request).await;
    read_until(&mut back, ": tornadose\n").await;
    store.submit(line(1, "hi")).await.unwrap();
    store.close();
    for pipe in [&mut page, &mut back] {
        assert!(read_until(pipe, "0\r\n\r\n").await.contains("\"hi\""));
    }
}
