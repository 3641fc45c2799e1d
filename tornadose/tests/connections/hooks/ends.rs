//! `closed` runs once, after every kind of end.

use salvo::http::ResBody;
use salvo::{Handler, async_trait};
use tornadose::prelude::*;
use tornadose_test::Client;

use super::super::harness::{harness, is_detached, secs};
use super::super::log::CapturedLog;
use super::super::member::{Calls, Event, Member, room, router};
use super::super::rooms::{connect_http2, read_body_now, request_http2};

/// The paths of a page and of a socket, whose users have these names.
const CLIENTS: [&str; 2] = ["page", "socket"];

fn path(route: &str, user: &str) -> String {
    format!("/{route}?user={user}&opened=silently&closed=silently")
}

/// Asserts that both have closed, each once.
fn assert_closed(calls: &Calls) {
    let mut seen = calls.take();
    seen.sort();
    assert_eq!(seen, ["page closes after 0 texts", "page opens", "socket closes after 0 texts", "socket opens"]);
}

#[tornadose_test::test]
async fn closed_runs_once_when_a_client_leaves() {
    let (_store, app, calls) = room();
    let page = app.client("page").lenient().sse(path("room", "page")).await;
    let socket = app.client("socket").lenient().ws(path("room", "socket")).await;
    page.close().await;
    Client::close(&socket).await;
    assert_closed(&calls);
    let page = app.client("page").lenient().once().sse(path("room", "page")).await;
    let socket = app.client("socket").lenient().ws(path("room", "socket")).await;
    page.cut().await;
    socket.cut().await;
    assert_closed(&calls);
    app.advance(secs(100)).await;
    assert_eq!(calls.take(), [""; 0]);
}

#[tornadose_test::test]
async fn closed_runs_once_when_a_client_stalls_or_vanishes() {
    let (store, app, calls) = room();
    for vanishes in [false, true] {
        let page = app.client("page").buffer_size(512).once().lenient().sse(path("room", "page")).await;
        let socket = app.client("socket").buffer_size(512).lenient().ws(path("room", "socket")).await;
        for client in [&page, &*socket] {
            if vanishes { client.vanish().await } else { client.stall().await }
        }
        for _ in 0..8 {
            store.submit(Event::Said("x".repeat(200_000))).await.unwrap();
            app.settle().await;
        }
        app.advance(secs(29)).await;
        assert_eq!(calls.take(), ["page opens", "socket opens"]);
        app.advance(secs(2)).await;
        let mut seen = calls.take();
        seen.sort();
        assert_eq!(seen, CLIENTS.map(|user| format!("{user} closes after 0 texts")));
    }
    app.advance(secs(100)).await;
    assert_eq!((calls.take(), store.subscribers()), (vec![], 0));
}

#[tornadose_test::test]
async fn closed_runs_once_when_another_hook_panics() {
    let (store, app, calls) = room();
    let _page = app.client("page").lenient().once().sse(path("room", "page")).await;
    let _socket = app.client("socket").lenient().ws(path("room", "socket")).await;
    for user in CLIENTS {
        store.submit(Event::Said(format!("not for {user}"))).await.unwrap();
        app.expect_panic("filter").await;
    }
    assert_closed(&calls);
    let talker = app.client("talker").lenient().ws(path("room", "talker")).await;
    talker.send_text("\"panic\"").await;
    app.expect_panic("receive").await;
    assert_eq!(calls.take(), ["talker opens", "talker closes after 1 texts"]);
}

#[tornadose_test::test]
async fn closed_runs_once_when_the_server_ends_the_connection() {
    let (store, app, calls) = room();
    let page = app.client("page").lenient().once().sse(path("aged", "page")).await;
    let socket = app.client("socket").lenient().ws(path("aged", "socket")).await;
    app.advance(secs(70)).await;
    assert_closed(&calls);
    drop((page, socket));
    let refused = app.client("refused").lenient().ws(path("room", "refused")).await;
    refused.send_text("\"close\"").await;
    assert_eq!(calls.take(), ["refused opens", "refused closes after 1 texts"]);
    let binary = app.client("binary").lenient().ws(path("room", "binary")).await;
    binary.send_binary([1]).await;
    assert_eq!(calls.take(), ["binary opens", "binary closes after 0 texts"]);
    let page = app.client("page").lenient().once().sse(path("room", "page")).await;
    let socket = app.client("socket").lenient().ws(path("room", "socket")).await;
    store.disconnect(&tornadose::NoKey);
    app.settle().await;
    assert_closed(&calls);
    drop((page, socket));
    let page = app.client("page").lenient().once().sse(path("room", "page")).await;
    let socket = app.client("socket").lenient().ws(path("room", "socket")).await;
    store.close();
    store.closed().await;
    assert_closed(&calls);
    drop((page, socket));
}

#[tornadose_test::test]
async fn closed_runs_once_when_the_server_is_dropped() {
    let (store, app, calls) = room();
    let _page = app.client("page").lenient().once().sse(path("room", "page")).await;
    app.server().stop().await;
    app.settle().await;
    // A stream that owns its socket outlives the server.
    assert_eq!(store.subscribers(), usize::from(is_detached()));
    store.close();
    store.closed().await;
    assert_eq!(calls.take(), ["page opens", "page closes after 0 texts"]);
}

#[tornadose_test::test]
async fn closed_runs_once_for_a_stream_of_http2() {
    let (_store, app, calls) = room();
    let mut sender = connect_http2(&app).await;
    let mut page = request_http2(&mut sender, "GET", &path("room", "page")).await;
    assert!(!read_body_now(&mut page).await.1);
    drop(page);
    app.settle().await;
    assert_eq!(calls.take(), ["page opens", "page closes after 0 texts"]);
}

/// A middleware that drops the response's body.
struct DropBody;

#[async_trait]
impl Handler for DropBody {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        ctrl.call_next(req, depot, res).await;
        res.body(ResBody::Once("another body".into()));
    }
}

#[tornadose_test::test]
async fn closed_runs_when_the_body_is_dropped_before_it_was_polled() {
    let (store, calls) = (Store::new(), Calls::default());
    let app = harness(Router::new().hoop(DropBody).push(router(&store, &calls)));
    app.client("page").lenient().once().sse(path("room", "page")).await;
    assert_eq!(calls.take(), ["page opens", "page closes after 0 texts"]);
}

#[test]
fn closed_runs_on_the_runtime_that_opened_the_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (store, calls) = (Store::new(), Calls::default());
    let (mut depot, mut response) = (Depot::new(), Response::new());
    depot.insert_typed(calls.clone());
    runtime.block_on(async {
        let mut request = Request::default();
        *request.uri_mut() = format!("http://localhost{}", path("room", "page")).parse().unwrap();
        let handler = Member::handler(&store);
        handler.handle(&mut request, &mut depot, &mut response, &mut FlowCtrl::new(Vec::new())).await;
    });
    assert_eq!(store.subscribers(), 1);
    // Outside of every runtime.
    drop(response);
    assert_eq!((calls.take(), store.subscribers()), (vec!["page opens".into()], 0));
    runtime.block_on(async {
        tokio::task::yield_now().await;
        assert_eq!(calls.take(), ["page closes after 0 texts"]);
    });
}

#[tornadose_test::test]
async fn a_closed_hook_that_panics_or_hangs_is_logged() {
    let (store, app, calls) = room();
    let (log, _guard) = CapturedLog::start();
    app.client("page").lenient().sse("/room?user=page&opened=silently&closed=panic").await.close().await;
    app.expect_panic("closed").await;
    let socket = app.client("socket").lenient().ws("/room?user=socket&opened=silently&closed=60s").await;
    Client::close(&socket).await;
    app.advance(secs(60)).await;
    let lines: Vec<String> = log.take().into_iter().filter(|line| line.contains("hook")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    ERROR hook panicked: transport="sse" number=1 hook="closed"
    WARN hook timed out: transport="ws" number=2 hook="closed"
    "#);
    assert_eq!(calls.take().len(), 4);
    // Neither is waited for any longer.
    store.close();
    store.closed().await;
}
