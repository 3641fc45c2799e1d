//! Tests of tower services without a framework, with layers around them, and made for each connection.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
}

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use bytes::Bytes;
use common::failure::failure;
use futures_util::stream::{StreamExt, iter, once};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Sleep, sleep};
use tornadose_test::{Ending, Harness, HarnessService, assert_transcript};
use tower::util::MapResponseLayer;
use tower::{Layer, service_fn};

/// Returns the body of a request as an event stream.
async fn serve_echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    Ok(response)
}

#[tornadose_test::test(leftover_tasks = deny)]
async fn a_function_is_a_service() {
    let app = Harness::tower(service_fn(serve_echo));
    for http2 in [false, true] {
        let ada = app.client("ada").once().post_body("id: 1\ndata: \"hi\"\n\n");
        if http2 { ada.http2() } else { ada }.sse("/echo").await;
    }
    assert_transcript!(app, wire, @r#"
    ada > POST /echo id: 1\ndata: "hi"\n\n
    ada ~ open 200 text/event-stream
    ada ~ content-type: text/event-stream
    ada ~ content-length: 18
    ada < id: #1\ndata: "hi"\n\n
    ada ~ end
    ada-2 > POST /echo http/2 id: 1\ndata: "hi"\n\n
    ada-2 ~ open 200 text/event-stream
    ada-2 ~ content-type: text/event-stream
    ada-2 ~ content-length: 18
    ada-2 < id: #1\ndata: "hi"\n\n
    ada-2 ~ end
    "#);
}

#[tornadose_test::test]
async fn a_layer_changes_what_the_client_sees() {
    let layer = MapResponseLayer::new(|mut response: Response<_>| {
        response.headers_mut().insert("x-layer", "outer".parse().unwrap());
        response
    });
    let router = Router::new().route("/", get(async || "hello"));
    let response = Harness::tower(layer.layer(router)).get("/").await;
    assert_eq!((response.status(), response.text()), (200, "hello".to_owned()));
    assert_eq!(response.headers()["x-layer"], "outer");
    assert!(!response.headers().contains_key("date"));
}

#[tornadose_test::test]
async fn an_error_of_the_service_breaks_the_connection_off() {
    let fail = service_fn(async |_: Request<Incoming>| Err::<Response<Full<Bytes>>, _>("out of paper"));
    let app = Harness::tower(fail);
    app.client("ada").get("/").await;
    app.client("bob").once().ws("/").await;
    assert_transcript!(app, @"
    ada > GET /
    ada ~ abort
    bob > GET / upgrade websocket
    bob ~ abort
    ");
}

#[tornadose_test::test]
async fn an_error_of_the_body_breaks_the_stream_off() {
    let service = service_fn(async |_: Request<Incoming>| {
        let frames = iter([Ok(Frame::data(Bytes::from("data: 1\n\n")))]);
        let broken = once(async {
            sleep(Duration::from_secs(1)).await;
            Err("out of paper")
        });
        let mut response = Response::new(StreamBody::new(Box::pin(frames.chain(broken))));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let app = Harness::tower(service);
    let ada = app.client("ada").once().sse("/").await;
    assert_eq!(ada.closed().await, Ending::Abort);
    assert_transcript!(app, @"
    ada > GET /
    ada ~ open 200 text/event-stream
    ada < message 1
    after 1s
    ada ~ abort
    ");
}

/// A service each clone of which is ready after a second.
struct Slow {
    wait: Pin<Box<Sleep>>,
}

fn slow() -> Slow {
    Slow { wait: Box::pin(sleep(Duration::from_secs(1))) }
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        slow()
    }
}

impl tower::Service<Request<Incoming>> for Slow {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        ready!(self.wait.as_mut().poll(context));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        assert!(self.wait.is_elapsed(), "a service is called when it is ready");
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

#[tornadose_test::test]
async fn a_service_that_is_not_ready_is_waited_for() {
    let app = Harness::tower(slow());
    app.client("ada").get("/").await;
    assert_transcript!(app, @"
    ada > GET /
    after 1s
    ada ~ answer 200
    ");
}

async fn address(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    client.to_string()
}

#[tornadose_test::test]
async fn each_connection_has_an_address_of_its_own() {
    let router = || Router::new().route("/ip", get(address)).into_make_service_with_connect_info::<SocketAddr>();
    let app = Harness::tower_make_service(router());
    let (first, second) = (app.get("/ip").await.text(), app.get("/ip").await.text());
    app.server().start(HarnessService::tower_make_service(router())).await;
    let third = app.get("/ip").await.text();
    assert_eq!([first, second, third], ["127.0.0.1:1025", "127.0.0.1:1026", "127.0.0.1:1027"]);
}

#[tornadose_test::test]
async fn a_connection_without_a_service_breaks_off() {
    let make = service_fn(async |client: SocketAddr| {
        let is_even = client.port().is_multiple_of(2);
        if is_even { Ok(Router::new()) } else { Err("an odd port") }
    });
    let app = Harness::tower_make_service(make);
    for name in ["ada", "bob"] {
        app.client(name).get("/").await;
    }
    assert_transcript!(app, @"
    ada > GET /
    ada ~ abort
    bob > GET /
    bob ~ answer 404
    ");
}

#[tornadose_test::test]
async fn a_silent_connection_is_kept() {
    let app = Harness::tower(Router::new());
    let mut pipe = app.connect();
    pipe.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    app.advance(Duration::from_secs(3600)).await;
    pipe.write_all(b"host: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    pipe.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 404 Not Found\r\n"), "{response}");
}

#[test]
fn a_panic_while_a_service_is_made_fails_the_test() {
    let failure = failure(|| async {
        let make = service_fn(async |_: SocketAddr| -> Result<Router, Infallible> { panic!("out of paper") });
        let app = Harness::tower_make_service(make);
        app.client("ada").lenient().get("/").await;
    });
    assert!(failure.starts_with("a task panicked: out of paper\n"), "{failure}");
}

#[cfg(feature = "salvo")]
#[tornadose_test::test]
async fn one_harness_serves_salvo_and_tower_in_turn() {
    let salvo = || salvo::Router::new();
    let app = Harness::configured(salvo(), |server| {
        server.http1_mut().title_case_headers(true);
    });
    let mut has_title_case = Vec::new();
    for next in [Some(HarnessService::tower(Router::new())), Some(salvo().into()), None] {
        let mut pipe = app.connect();
        pipe.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut response = String::new();
        pipe.read_to_string(&mut response).await.unwrap();
        has_title_case.push(response.contains("Content-Length"));
        if let Some(service) = next {
            app.server().start(service).await;
        }
    }
    // The configuration is that of Salvo's server, whenever it is started.
    assert_eq!(has_title_case, [true, false, true]);
}
