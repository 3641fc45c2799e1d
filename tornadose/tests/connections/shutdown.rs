//! A store that closes while clients are stalled or hooks run.

use std::sync::Arc;

use salvo::async_trait;
use tokio::time::{Instant, timeout};
use tornadose::prelude::*;
use tornadose_test::Ending;

use super::harness::{harness, secs};
use super::slow_hook::{Line, Lines, SlowAuthorize, lines};

#[tornadose_test::test]
async fn a_stalled_stream_whose_end_is_in_a_buffer_is_aborted() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(512).lenient().sse("/lines").await;
    page.stall().await;
    // More than the pipe takes, and less than the amount at which hyper stops reading the body.
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    app.server().stop_gracefully(secs(3600)).await;
    assert!(before.elapsed() <= secs(5), "the graceful stop took {:?}", before.elapsed());
}

#[tornadose_test::test]
async fn closed_waits_until_a_stream_is_written_to_its_end() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(512).lenient().sse("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    store.close();
    let early = timeout(secs(1), store.closed()).await;
    assert!(early.is_err(), "closed() returned, but the client has not read its messages");
}

#[tornadose_test::test]
async fn closed_waits_until_a_websocket_has_sent_its_close_frame() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    // The session ends at once, although a hook runs. Its close frame comes after what the socket has
    // not taken.
    page.send_text("100").await;
    store.close();
    let early = timeout(secs(1), store.closed()).await;
    assert!(early.is_err(), "closed() returned, but the close frame is not sent");
}

#[tornadose_test::test]
async fn a_stalled_websocket_is_aborted_after_its_server_has_stopped() {
    let (store, app) = lines();
    let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
    page.stall().await;
    for _ in 0..5 {
        store.submit(Line("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    // As after `select! { server.serve(router), ctrl_c }`: the server and its router are gone, and the
    // WebSocket is not.
    app.server().stop().await;
    app.server().start(Router::new()).await;
    assert_eq!(store.subscribers(), 1);
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert!(before.elapsed() <= secs(5), "closed() took {:?}", before.elapsed());
}

#[tornadose_test::test]
async fn no_connection_opens_on_a_store_that_closed_during_authorize() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(SlowAuthorize::handler(&store)));
    let closing = store.clone();
    tokio::spawn(async move {
        tokio::time::sleep(secs(1)).await;
        closing.close();
    });
    app.client("sse").lenient().sse("/lines").await;
    app.client("ws").lenient().ws("/lines").await;
    store.closed().await;
    app.advance(secs(10)).await;
    assert_eq!(store.subscribers(), 0);
    app.server().stop_gracefully(secs(10)).await;
}

#[tornadose_test::test]
async fn messages_from_before_the_close_are_sent_while_a_hook_runs() {
    let (store, app) = lines();
    let page = app.client("page").ws("/lines").await;
    page.send_text("100").await;
    store.submit(Line("last".into())).await.unwrap();
    store.close();
    app.settle().await;
    assert_eq!(page.next_event().await.data, "\"last\"");
    assert_eq!(page.closed().await, Ending::Close { code: 1001, reason: String::new() });
}

/// A handler that two routers share.
struct Shared(Arc<StreamHandler<Lines>>);

#[async_trait]
impl salvo::Handler for Shared {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        self.0.handle(req, depot, res, ctrl).await;
    }
}

#[test]
fn a_handler_works_on_a_second_runtime() {
    let store = Store::new();
    let service = Shared(Arc::new(Lines::handler(&store)));
    let first = Router::with_path("lines").get(Shared(service.0.clone()));
    let service = Router::with_path("lines").get(service);
    tornadose_test::run(async move {
        let app = harness(first);
        app.client("page").lenient().sse("/lines").await.close().await;
    });
    tornadose_test::run(async move {
        let app = harness(service);
        let page = app.client("page").buffer_size(64).lenient().ws("/lines").await;
        page.stall().await;
        for _ in 0..5 {
            store.submit(Line("x".repeat(1000))).await.unwrap();
        }
        app.settle().await;
        let before = Instant::now();
        store.close();
        store.closed().await;
        assert!(before.elapsed() <= secs(5), "closed() took {:?}", before.elapsed());
    });
}
