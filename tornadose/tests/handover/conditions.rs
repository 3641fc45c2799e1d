//! Which streams are detached, and which stay attached.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use salvo::conn::ConnCtrl;
use salvo::http::uri::Scheme;
use salvo::http::{ReqBody, ResBody};
use salvo::{BoxedError, Handler, Service, async_trait};
use salvo_compression::{Compression, CompressionLevel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tornadose::Handover;
use tornadose::prelude::*;
use tornadose_test::Harness;

use super::{
    GET, LOCAL_ADDRESS, check, check_service, line, read_until, rooms, secs, send_request, single_connection_harness,
};

/// A body around another body. It counts the frames.
struct WrappedBody(ResBody, Arc<AtomicUsize>);

impl Body for WrappedBody {
    type Data = Bytes;
    type Error = BoxedError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxedError>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        if frame.is_ready() {
            self.1.fetch_add(1, SeqCst);
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }
}

/// A middleware that wraps every body.
#[derive(Clone, Default)]
pub(crate) struct WrapBodies(Arc<AtomicUsize>);

#[handler]
impl WrapBodies {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        ctrl.call_next(req, depot, res).await;
        let body = WrappedBody(res.take_body(), Arc::clone(&self.0));
        res.body(ResBody::Boxed(Box::pin(body)));
    }
}

#[tornadose_test::test]
async fn a_stream_is_detached_once_its_head_is_sent() {
    check_service(Service::new, GET, true).await;
}

#[tornadose_test::test]
async fn a_stream_on_a_reused_connection_is_detached() {
    let first = "GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let store = Store::new();
    let app = single_connection_harness(rooms(&store));
    let mut page = send_request(&app, first).await;
    read_until(&mut page, "404").await;
    page.write_all(GET.as_bytes()).await.unwrap();
    app.settle().await;
    assert_eq!(app.get("/nowhere/at/all").await.status(), 404);
    store.submit(line(1, "hi")).await.unwrap();
    read_until(&mut page, "\"hi\"").await;
}

#[tornadose_test::test]
async fn middleware_that_keeps_the_body_does_not_prevent_detaching() {
    let compression = || Compression::new().enable_gzip(CompressionLevel::Minsize).min_length(0).force_priority(true);
    let with_compression = |router: Router| Service::new(router.hoop(compression())).hoop(compression());
    check_service(with_compression, "GET /1 HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n", true).await;
}

#[tornadose_test::test]
async fn a_stream_with_a_wrapped_body_stays_attached() {
    for of_service in [true, false] {
        let wraps = WrapBodies::default();
        let service = |router: Router| {
            if of_service { Service::new(router).hoop(wraps.clone()) } else { Service::new(router.hoop(wraps.clone())) }
        };
        check_service(service, GET, false).await;
        assert!(wraps.0.load(SeqCst) >= 5, "the wrapper counted {} frames", wraps.0.load(SeqCst));
    }
}

#[tornadose_test::test]
async fn a_stream_over_http_1_0_or_with_a_request_body_stays_attached() {
    for request in [
        // HTTP/1.0 has no chunks.
        "GET /1 HTTP/1.0\r\nhost: localhost\r\n\r\n",
        // The request body is not read yet.
        "GET /1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nhalf",
        "GET /1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    ] {
        check_service(Service::new, request, false).await;
    }
}

#[tornadose_test::test]
async fn a_stream_stays_attached_unless_acceptor_and_service_are_wrapped() {
    for (wrap_acceptor, wrap_service) in [(false, false), (true, false), (false, true)] {
        let store = Store::new();
        let handover = Handover::new();
        let service = if wrap_service { handover.wrap_service(rooms(&store)) } else { Service::new(rooms(&store)) };
        let app = if wrap_acceptor {
            Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(pipes)).max_connections(1))
        } else {
            Harness::with_server(service, |pipes| Server::new(pipes).max_connections(1))
        };
        check(&app, &store, GET, false).await;
    }
}

/// A middleware that sets `content-length`.
#[handler]
async fn set_content_length(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.headers_mut().insert("content-length", "100000".parse().unwrap());
}

#[tornadose_test::test]
async fn a_stream_with_a_content_length_stays_attached() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store).hoop(set_content_length));
    let mut page = send_request(&app, GET).await;
    app.settle().await;
    store.submit(line(1, "hi")).await.unwrap();
    let read = read_until(&mut page, "\"hi\"").await;
    assert!(read.contains("content-length: 100000\r\n") && !read.contains("chunked"), "{read}");
    read_until(&mut page, ": keep-alive\n").await;
}

/// A middleware that replaces every body.
#[handler]
async fn replace_body(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    ctrl.call_next(req, depot, res).await;
    res.body("mine");
}

#[tornadose_test::test]
async fn a_stream_ends_when_middleware_replaces_its_body() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store).hoop(replace_body));
    let response = app.get("/1").await;
    assert_eq!(response.text(), "mine");
    assert_eq!(store.subscribers(), 0);
}

/// Responds with the body of another service, without its head.
struct BodyOnly(Service);

#[async_trait]
impl Handler for BodyOnly {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let handler =
            self.0.hyper_handler(LOCAL_ADDRESS.into(), LOCAL_ADDRESS.into(), Scheme::HTTP, None, ConnCtrl::new(), None);
        let request = hyper::Request::get("/1").body(ReqBody::None).unwrap();
        let mut response = handler.handle(Request::from_hyper(request, Scheme::HTTP)).await;
        res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        res.body(response.take_body());
    }
}

#[tornadose_test::test]
async fn a_stream_without_connection_close_in_its_head_stays_attached() {
    let store = Store::new();
    let handover = Handover::new();
    let body_only = Router::new().get(BodyOnly(handover.wrap_service(rooms(&store))));
    let server = move |pipes| Server::new(handover.wrap_acceptor(pipes)).max_connections(1);
    let app = Harness::with_server(body_only, server);
    let mut page = send_request(&app, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut second = send_request(&app, "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(timeout(secs(1), second.read_u8()).await.is_err());
    store.submit(line(1, "hi")).await.unwrap();
    read_until(&mut page, "\"hi\"").await;
}

/// A middleware that sets the address of the client, as behind a proxy.
#[handler]
async fn set_client_address(req: &mut Request) {
    *req.remote_addr_mut() = SocketAddr::from(([203, 0, 113, 9], 1234)).into();
}

#[tornadose_test::test]
async fn a_middleware_may_change_the_address_of_the_client() {
    check_service(|router| Service::new(router).hoop(set_client_address), GET, true).await;
}

/// A middleware that relaxes the timeouts of the connection before the stream does.
#[handler]
async fn relax_timeouts(req: &mut Request) {
    req.extensions().get::<ConnCtrl>().unwrap().relax_timeouts();
}

#[tornadose_test::test]
async fn a_stream_whose_connection_is_not_recognized_stays_attached() {
    check_service(|router| Service::new(router).hoop(relax_timeouts), GET, false).await;
}
