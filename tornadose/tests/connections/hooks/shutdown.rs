//! What closes waits for hooks, and takes what `closed` hooks submit.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tornadose::SubmitError;
use tornadose::backend::{BackendLink, IncomingEntry};
use tornadose::prelude::*;
use tornadose_test::Harness;

use super::super::harness::{harness, secs};
use super::super::link::{at, open_empty};
use super::super::member::{Calls, Event, room, router};
use super::super::rooms::TRANSPORTS;

async fn open_both(app: &Harness, closed: &str) {
    app.client("page").once().lenient().sse(format!("/room?user=page&opened=silently&closed={closed}")).await;
    app.client("socket").lenient().ws(format!("/room?user=socket&opened=silently&closed={closed}")).await;
}

fn count(calls: &Calls, ending: &str) -> usize {
    calls.take().iter().filter(|call| call.ends_with(ending)).count()
}

#[tornadose_test::test]
async fn a_store_that_closes_takes_what_closed_hooks_submit_and_nothing_else() {
    let (store, app, calls) = room();
    open_both(&app, "2s").await;
    let before = Instant::now();
    let head = store.head();
    store.close();
    app.settle().await;
    assert_eq!(store.subscribers(), 0, "the connections end at once");
    let refused = store.submit(Event::Said("late".into())).await;
    assert!(matches!(refused, Err(SubmitError::Closed { .. })));
    assert!(matches!(store.try_submit(Event::Said("late".into())), Err(SubmitError::Closed { .. })));
    app.client("late").once().lenient().sse("/room?user=late").await;
    assert_eq!(app.client("late").lenient().ws("/room?user=late").await.status(), 503);
    store.closed().await;
    assert_eq!((before.elapsed(), count(&calls, "has closed, and said so")), (secs(2), 2));
    assert_ne!(store.head(), head);
    assert!(matches!(store.submit(Event::Said("later".into())).await, Err(SubmitError::Closed { .. })));
}

#[tornadose_test::test]
async fn a_hook_that_began_before_the_close_may_submit_too() {
    let (store, app, calls) = room();
    let page = app.client("page").once().lenient().sse("/room?user=page&opened=silently&closed=3s").await;
    page.close().await;
    app.advance(secs(1)).await;
    store.close();
    let before = Instant::now();
    store.closed().await;
    assert_eq!((before.elapsed(), count(&calls, "has closed, and said so")), (secs(2), 1));
}

#[tornadose_test::test]
async fn a_clone_that_leaves_the_hook_may_not_submit() {
    let (store, app, calls) = room();
    open_both(&app, "elsewhere").await;
    store.close();
    store.closed().await;
    assert_eq!(count(&calls, "elsewhere: the store is closed"), 2);
}

#[tornadose_test::test]
async fn hooks_that_hang_are_waited_for_5_seconds_in_all() {
    let (store, app, calls) = room();
    open_both(&app, "60s").await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!((before.elapsed(), count(&calls, "texts")), (secs(5), 2));
    assert!(matches!(store.submit(Event::Said("late".into())).await, Err(SubmitError::Closed { .. })));
}

#[tornadose_test::test]
async fn opened_hooks_that_hang_are_waited_for_5_seconds() {
    let (store, app, calls) = room();
    app.client("page").without_waiting().once().lenient().sse("/room?user=page&opened=8s&closed=1s").await;
    app.client("socket").lenient().ws("/room?user=socket&opened=8s&closed=1s").await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!((before.elapsed(), store.subscribers()), (secs(5), 0));
    assert_eq!(count(&calls, "opens"), 2);
    // They run on, and return `Ok`. Nobody waits for what they submit.
    app.advance(secs(10)).await;
    assert_eq!(count(&calls, "has closed, unheard"), 2);
}

#[tornadose_test::test]
async fn a_connection_that_opens_while_its_store_closes_is_ended_in_order() {
    let (store, app, calls) = room();
    app.client("page").without_waiting().once().lenient().sse("/room?user=page&opened=3s&closed=1s").await;
    app.client("socket").lenient().ws("/room?user=socket&opened=3s&closed=1s").await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!((before.elapsed(), count(&calls, "has closed, and said so")), (secs(4), 2));
    tornadose_test::assert_transcript!(app, @"
    page > GET /room?user=page&opened=3s&closed=1s
    socket > GET /room?user=socket&opened=3s&closed=1s upgrade websocket
    socket ~ open 101
    after 3s
    page ~ open 200 text/event-stream, retry 4.472s
    page ~ end
    socket ~ close 1001 (server)
    ");
}

#[tornadose_test::test]
async fn the_hook_of_a_connection_that_is_aborted_at_a_close_may_submit() {
    let (store, app, calls) = room();
    let page = "/room?user=page&opened=silently&closed=1s";
    let page = app.client("page").buffer_size(64).once().lenient().sse(page).await;
    let socket = "/room?user=socket&opened=silently&closed=1s";
    let socket = app.client("socket").buffer_size(64).lenient().ws(socket).await;
    page.stall().await;
    socket.stall().await;
    for _ in 0..5 {
        store.submit(Event::Said("x".repeat(1000))).await.unwrap();
    }
    app.settle().await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert_eq!((before.elapsed(), count(&calls, "has closed, and said so")), (secs(6), 2));
}

#[tornadose_test::test]
async fn a_disconnect_while_opened_hangs_ends_the_connection_after_5_seconds() {
    let (store, app, calls) = room();
    app.client("page").without_waiting().once().lenient().sse("/room?user=page&opened=8s&closed=1s").await;
    app.client("socket").lenient().ws("/room?user=socket&opened=8s&closed=1s").await;
    store.disconnect(&tornadose::NoKey);
    app.advance(secs(4)).await;
    assert_eq!(store.subscribers(), 2);
    app.advance(secs(1)).await;
    assert_eq!(store.subscribers(), 0);
    app.advance(secs(10)).await;
    assert_eq!(count(&calls, "has closed, and said so"), 2);
}

/// Takes the next message, and appends it after a second.
async fn append_next(link: &BackendLink, seq: u64) {
    let outgoing = link.next_outgoing(1).await.unwrap().remove(0);
    tokio::time::sleep(secs(1)).await;
    link.ingest(at(seq), IncomingEntry::new(outgoing.payload()).with_sender(link.sender_id(), outgoing.number()));
    outgoing.appended(at(seq));
}

#[tornadose_test::test]
async fn a_backend_has_what_closed_hooks_submitted_when_the_store_is_closed() {
    // One hook waits for the acknowledgement, and one hands its message off.
    for closed in ["1s", "handoff"] {
        let (store, link) = open_empty::<Event>().await;
        let calls = Calls::default();
        let app = harness(router(&store, &calls));
        open_both(&app, closed).await;
        store.close();
        assert!(store.try_submit(Event::Said("late".into())).is_err());
        let engine = async {
            append_next(&link, 1).await;
            append_next(&link, 2).await;
            Instant::now()
        };
        let ((), appended_at) = tokio::join!(store.closed(), engine);
        assert_eq!(Instant::now(), appended_at, "closed() has waited for it");
        if closed == "1s" {
            assert_eq!(store.head().to_string(), "aaaaaaaa-7.2", "and the log follows while hooks run");
        }
        // The backend is told that nothing more comes.
        assert!(link.next_outgoing(1).await.is_none());
    }
}

#[tornadose_test::test]
async fn a_backend_that_takes_nothing_is_not_waited_for() {
    let (store, _link) = open_empty::<Event>().await;
    let calls = Calls::default();
    let app = harness(router(&store, &calls));
    open_both(&app, "handoff").await;
    let before = Instant::now();
    store.close();
    store.closed().await;
    assert!(before.elapsed() <= secs(5), "{:?}", before.elapsed());
}

/// A subscriber whose hook waits until it is let go.
#[subscriber(sse, ws, store = Event, closed = Self::wait)]
struct Waits {
    #[depot]
    released: Arc<Semaphore>,
}

impl Waits {
    async fn wait(self, store: &Store<Event>) {
        self.released.acquire().await.unwrap().forget();
        store.submit(Event::Left("page".into())).await.unwrap();
    }
}

struct Release(Arc<Semaphore>);

#[handler]
impl Release {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(Arc::clone(&self.0));
    }
}

#[tokio::test]
async fn serve_waits_for_closed_hooks() {
    for headers in TRANSPORTS {
        let (store, released) = (Store::new(), Arc::new(Semaphore::new(0)));
        let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = Router::with_path("room").hoop(Release(Arc::clone(&released))).get(Waits::handler(&store));
        let mut serving = tokio::spawn(tornadose::serve_with_shutdown(acceptor, router, async {
            stopped.await.unwrap();
        }));
        let mut page = TcpStream::connect(addr).await.unwrap();
        page.write_all(format!("GET /room HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes()).await.unwrap();
        assert!(page.read(&mut [0; 1024]).await.unwrap() > 0);
        stop.send(()).unwrap();
        let early = timeout(std::time::Duration::from_millis(200), &mut serving).await;
        assert!(early.is_err(), "serve returned while the hook ran");
        released.add_permits(1);
        serving.await.unwrap().unwrap();
        assert!(store.head().to_string().ends_with("-1"), "the hook has returned");
    }
}
