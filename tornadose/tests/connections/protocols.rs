//! Protocols and methods other than GET over HTTP/1.1.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::harness::secs;
use super::rooms::{connect_http2, get, key, line, read_body_now, read_now, request_http2, rooms, send_request};

#[tornadose_test::test]
async fn an_http_1_0_client_reads_its_stream_until_the_connection_closes() {
    let (store, app, drops) = rooms();
    for request in ["", "connection: keep-alive\r\n"].map(|headers| get("old", headers).replace("HTTP/1.1", "HTTP/1.0"))
    {
        let mut pipe = send_request(&app, &request).await;
        store.submit(line("1", "hi")).await.unwrap();
        let (text, has_ended) = read_now(&mut pipe).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK") && !head.contains("chunked") && !has_ended, "{text}");
        assert!(
            body.starts_with("retry: 2000\n") && body.ends_with("data: {\"room\":\"1\",\"text\":\"hi\"}\n\n"),
            "{text}"
        );
        store.disconnect(&key("1"));
        let (text, has_ended) = read_now(&mut pipe).await;
        assert!(text.starts_with("retry: ") && has_ended, "{text}");
        let mut pipe = send_request(&app, &request).await;
        pipe.shutdown().await.unwrap();
        app.settle().await;
        assert_eq!((store.subscribers(), drops.take()), (0, vec!["old".into(); 2]));
    }
}

#[tornadose_test::test]
async fn streams_of_one_http_2_connection_end_independently() {
    let (store, app, drops) = rooms();
    let mut sender = connect_http2(&app).await;
    let mut ada = request_http2(&mut sender, "GET", "/rooms/1?user=ada").await;
    let mut bob = request_http2(&mut sender, "GET", "/rooms/1?user=bob").await;
    let eve = request_http2(&mut sender, "GET", "/rooms/2?user=eve").await;
    let loud = request_http2(&mut sender, "GET", "/rooms/2?user=loud").await;
    assert_eq!((ada.version(), ada.status()), (hyper::Version::HTTP_2, hyper::StatusCode::OK));
    assert!(read_body_now(&mut ada).await.0.starts_with("retry: 2000\n"));
    read_body_now(&mut bob).await;

    // A client that leaves resets its stream.
    drop(eve);
    app.settle().await;
    assert_eq!((store.subscribers(), drops.take()), (3, vec!["eve".into()]));
    // A client leaves, and the `Drop` of its subscriber panics.
    drop(loud);
    app.expect_panic("drop").await;
    assert_eq!((store.subscribers(), drops.take()), (2, vec!["loud".into()]));
    // The filter of one stream panics.
    store.submit(line("1", "not for ada")).await.unwrap();
    app.expect_panic("filter").await;
    let (text, has_ended) = read_body_now(&mut ada).await;
    assert!(text.starts_with("retry: ") && has_ended, "{text}");
    assert_eq!((store.subscribers(), drops.take()), (1, vec!["ada".into()]));
    let (text, has_ended) = read_body_now(&mut bob).await;
    assert!(text.ends_with("data: {\"room\":\"1\",\"text\":\"not for ada\"}\n\n") && !has_ended, "{text}");
    // The last stream ends with the store, and the server can stop.
    let before = Instant::now();
    store.close();
    store.closed().await;
    let (text, has_ended) = read_body_now(&mut bob).await;
    assert!(text.starts_with("retry: ") && has_ended, "{text}");
    app.server().stop_gracefully(secs(3600)).await;
    assert_eq!((before.elapsed(), drops.take()), (Duration::ZERO, vec!["bob".into()]));
}

#[tornadose_test::test]
async fn the_streams_of_an_http_2_connection_end_with_it() {
    let (store, app, drops) = rooms();
    let mut sender = connect_http2(&app).await;
    let first = request_http2(&mut sender, "GET", "/rooms/1?user=one").await;
    let second = request_http2(&mut sender, "GET", "/rooms/1?user=two").await;
    assert_eq!(store.subscribers(), 2);
    drop((first, second, sender));
    app.settle().await;
    let mut dropped = drops.take();
    dropped.sort();
    assert_eq!((store.subscribers(), dropped), (0, vec!["one".into(), "two".into()]));
}

#[tornadose_test::test]
async fn other_methods_are_answered_405() {
    let (store, app, drops) = rooms();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        for path in ["/rooms/1?user=x", "/goal/1?user=x"] {
            assert_eq!(app.client(method).request(method, path, "").await.status(), 405, "{method} {path}");
        }
        let response = app.client(method).request(method, "/goal/1?user=x", "half").await;
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
    // Also before the body of the request has arrived.
    let mut pipe =
        send_request(&app, "POST /goal/1?user=x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert!(read_now(&mut pipe).await.0.starts_with("HTTP/1.1 405 "));
    let mut sender = connect_http2(&app).await;
    assert_eq!(request_http2(&mut sender, "POST", "/goal/1?user=x").await.status(), 405);
    assert_eq!((store.subscribers(), drops.take()), (0, vec![]));
}

#[tornadose_test::test]
async fn a_head_request_opens_no_connection() {
    let (store, app, drops) = rooms();
    assert_eq!(app.client("head").request("HEAD", "/goal/1?user=head", "").await.status(), 200);
    let mut sender = connect_http2(&app).await;
    let mut head = request_http2(&mut sender, "HEAD", "/goal/1?user=head").await;
    assert_eq!((head.status().as_u16(), read_body_now(&mut head).await), (200, (String::new(), true)));
    assert_eq!((store.subscribers(), drops.take()), (0, vec!["head".into(); 2]));
}
