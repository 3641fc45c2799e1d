//! The option `max_connections`.

use std::net::SocketAddr;

use salvo::Service;
use salvo::conn::ConnCtrl;
use salvo::http::ReqBody;
use salvo::http::uri::Scheme;
use tornadose::prelude::*;
use tornadose_test::{Client, Harness, WsClient};

use super::harness::{harness, secs};

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

/// A subscriber whose `authorize` takes a second, so that many run at once.
#[subscriber(sse, ws, store = Line, authorize = Self::wait, max_connections = 5)]
struct Limited;

impl Limited {
    async fn wait(&self) -> Result<(), StatusError> {
        tokio::time::sleep(secs(1)).await;
        Ok(())
    }
}

/// Opens connections at the same time, half of them over each transport. Returns those that were admitted.
async fn open_at_once(app: &Harness, name: &str, count: usize) -> (Vec<Client>, Vec<WsClient>) {
    let (mut pages, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..count {
        if number % 2 == 0 {
            pages.push(app.client(format!("{name}-page-{number}")).without_waiting().sse("/lines").await);
        } else {
            sockets.push(app.client(format!("{name}-socket-{number}")).without_waiting().ws("/lines").await);
        }
    }
    app.advance(secs(1)).await;
    for page in &pages {
        assert_eq!(page.status(), 200, "an `EventSource` does not reconnect after any other status");
    }
    assert!(sockets.iter().all(|socket| matches!(socket.status(), 101 | 503)));
    pages.retain(|page| !page.recording().to_string().contains("~ end"));
    sockets.retain(|socket| socket.status() == 101);
    (pages, sockets)
}

#[tornadose_test::test]
async fn max_connections_holds_for_clients_that_open_at_once() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Limited::handler(&store)));
    let (mut pages, mut sockets) = open_at_once(&app, "first", 40).await;
    assert_eq!((pages.len() + sockets.len(), store.subscribers()), (5, 5));
    for turn in 0..3 {
        let (page, socket) = (pages.pop().unwrap(), sockets.pop().unwrap());
        page.close().await;
        // Without a close frame, as when a browser is killed.
        Client::close(&socket).await;
        assert_eq!(store.subscribers(), 3);
        let (more_pages, more_sockets) = open_at_once(&app, &format!("turn-{turn}"), 10).await;
        assert_eq!((more_pages.len() + more_sockets.len(), store.subscribers()), (2, 5));
        pages.extend(more_pages);
        sockets.extend(more_sockets);
    }
}

#[tornadose_test::test]
async fn a_client_that_leaves_during_authorize_does_not_count() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Limited::handler(&store)));
    for number in 0..20 {
        let page = app.client(format!("gone-{number}")).lenient().sse("/lines").await;
        page.close().await;
    }
    let (pages, sockets) = open_at_once(&app, "later", 10).await;
    assert_eq!((pages.len() + sockets.len(), store.subscribers()), (5, 5));
}

#[subscriber(sse, store = Line, max_connections = 5)]
struct Few;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn max_connections_holds_across_threads() {
    let store: Store<Line> = Store::new();
    let service = Service::new(Router::with_path("lines").get(Few::handler(&store)));
    for _ in 0..20 {
        let requests: Vec<_> = (0..100)
            .map(|_| {
                let address = SocketAddr::from(([127, 0, 0, 1], 80));
                let ctrl = ConnCtrl::new();
                let handler = service.hyper_handler(address.into(), address.into(), Scheme::HTTP, None, ctrl, None);
                let request = hyper::Request::get("/lines").body(ReqBody::None).unwrap();
                tokio::spawn(handler.handle(Request::from_hyper(request, Scheme::HTTP)))
            })
            .collect();
        let mut open = Vec::new();
        for response in requests {
            open.push(response.await.unwrap());
        }
        assert_eq!(store.subscribers(), 5);
        drop(open);
        assert_eq!(store.subscribers(), 0);
    }
}
