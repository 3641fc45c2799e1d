//! The hooks `opened` and `closed`: when they run, how often, and what clients see of them.

mod ends;
mod own_fields;
mod refusals;
mod shutdown;

use salvo::http::StatusError;
use salvo::{Depot, Request, Router};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose_test::{Client, assert_transcript};

use super::harness::{harness, secs};
use super::member::{Calls, Event, room};

#[tornadose_test::test]
async fn a_connection_gets_what_its_opened_hook_submits_and_others_get_what_its_closed_hook_submits() {
    let (_store, app, calls) = room();
    let ada = app.client("ada").sse("/room?user=ada").await;
    let bob = app.client("bob").ws("/room?user=bob").await;
    assert_eq!(bob.ask::<u32>(&"hi").await, 1);
    assert_eq!(calls.take(), ["ada opens", "bob opens"]);
    Client::close(&bob).await;
    assert_eq!(calls.take(), ["bob closes after 1 texts"]);
    assert_transcript!(app, @r#"
    ada > GET /room?user=ada
    ada ~ open 200 text/event-stream, retry 2s
    ada < joined #1 "ada"
    bob > GET /room?user=bob upgrade websocket
    ada < joined #2 "bob"
    bob ~ open 101
    bob < joined #2 "bob"
    bob > ask 1 "hi"
    ada < said #3 "hi"
    bob < tornadose:reply 1 1
    bob < said #3 "hi"
    bob ~ close (client)
    ada < left #4 "bob"
    "#);
    ada.close().await;
    assert_eq!(calls.take(), ["ada closes after 0 texts"]);
}

#[tornadose_test::test]
async fn nothing_is_delivered_before_opened_has_returned_and_what_comes_meanwhile_follows() {
    let (store, app, _) = room();
    let ada = app.client("ada").without_waiting().sse("/room?user=ada&opened=3s&closed=silently").await;
    let bob = app.client("bob").ws("/room?user=bob&opened=3s&closed=silently").await;
    assert_eq!(store.subscribers(), 2, "they are subscribed");
    store.submit(Event::Said("meanwhile".into())).await.unwrap();
    bob.send_text("\"early\"").await;
    app.advance(secs(4)).await;
    assert_transcript!(app, @r#"
    ada > GET /room?user=ada&opened=3s&closed=silently
    bob > GET /room?user=bob&opened=3s&closed=silently upgrade websocket
    bob ~ open 101
    bob > "early"
    after 3s
    ada ~ open 200 text/event-stream, retry 2s
    ada < said #1 "meanwhile"
    ada < said #2 "early"
    bob < said #1 "meanwhile"
    bob < said #2 "early"
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn what_opened_submits_beyond_the_capacity_is_a_gap_for_its_own_connection() {
    let (_store, app, _) = room();
    let ada = app.client("ada").sse("/room?user=ada&opened=flood&closed=silently").await;
    let bob = app.client("bob").ws("/room?user=bob&opened=flood&closed=silently").await;
    for client in [&ada, &*bob] {
        assert_eq!(client.next_event().await.data, r#"{"reason":"lagged","missed":4}"#);
        for number in 4..12 {
            assert_eq!(client.next_now::<String>().await, number.to_string());
        }
    }
    // Of the flood of the other: a gap, and what is kept.
    ada.skip(9).await;
}

#[tornadose_test::test]
async fn the_time_of_opened_is_no_stall() {
    let (store, app, calls) = room();
    let ada = app.client("ada").sse("/quick?user=ada&opened=9s&closed=silently");
    let waiting = async {
        tokio::time::sleep(secs(1)).await;
        // Unread for 8 s, when a client is given up after 2 s.
        store.submit(Event::Said("unread".into())).await.unwrap();
    };
    let (ada, ()) = tokio::join!(ada, waiting);
    assert_eq!(ada.next_now::<String>().await, "unread");
    let bob = app.client("bob").ws("/quick?user=bob&opened=9s&closed=silently").await;
    app.advance(secs(1)).await;
    store.submit(Event::Said("unread".into())).await.unwrap();
    app.advance(secs(8)).await;
    for client in [&ada, &*bob] {
        assert_eq!(client.next_now::<String>().await, "unread");
    }
    app.advance(secs(10)).await;
    assert_eq!((store.subscribers(), calls.take().len()), (2, 4));
}

/// Hooks by hand. The value that `opened` changed is that which `closed` takes.
struct ByHand {
    calls: Calls,
    number: u32,
}

impl Subscriber for ByHand {
    type Message = Event;
    const OPTIONS: Options = Options::new().transports(Transports::Both);
    const HAS_OPENED: bool = true;
    const HAS_CLOSED: bool = true;
    const READS_STORE: bool = true;

    fn from_request(request: &Request, depot: &Depot) -> Result<Self, StatusError> {
        let store = request.extensions().get::<Store<Event>>().ok_or_else(StatusError::internal_server_error)?;
        let calls: &Calls = depot.get_typed().map_err(|_| StatusError::internal_server_error())?;
        Ok(Self { calls: calls.clone(), number: u32::try_from(store.subscribers()).unwrap() })
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
    async fn opened(&mut self, store: &Store<Event>) -> Result<(), Close> {
        self.number += 10 * u32::try_from(store.subscribers()).unwrap();
        Ok(())
    }
    async fn closed(self, store: &Store<Event>) {
        self.calls.add(format!("{} of {}", self.number, store.subscribers()));
    }
}

#[tornadose_test::test]
async fn hooks_by_hand_have_the_value_from_the_request_to_the_end() {
    let (store, calls) = (Store::new(), Calls::default());
    let app = harness(Router::with_path("room").hoop(calls.clone()).get(StreamHandler::<ByHand>::new(&store)));
    let page = app.client("page").sse("/room").await;
    let socket = app.client("socket").ws("/room").await;
    page.close().await;
    Client::close(&socket).await;
    // None were subscribed at the first request, and one, itself, when it opened.
    assert_eq!(calls.take(), ["10 of 1", "21 of 0"]);
}

/// Has one hook each.
#[subscriber(sse, ws, store = Event, opened = Self::open)]
struct OnlyOpened {
    #[depot]
    calls: Calls,
}

impl OnlyOpened {
    async fn open(&self, _: &Store<Event>) {
        self.calls.add("opened");
    }
}

impl Drop for OnlyOpened {
    fn drop(&mut self) {
        self.calls.add("dropped");
    }
}

#[subscriber(sse, ws, store = Event, closed = Self::close)]
struct OnlyClosed {
    #[depot]
    calls: Calls,
}

impl OnlyClosed {
    async fn close(self, _: &Store<Event>) {
        self.calls.add("closed");
    }
}

#[tornadose_test::test]
async fn one_hook_alone_runs_too() {
    let (store, calls) = (Store::new(), Calls::default());
    let router = Router::new()
        .hoop(calls.clone())
        .push(Router::with_path("opened").get(OnlyOpened::handler(&store)))
        .push(Router::with_path("closed").get(OnlyClosed::handler(&store)));
    let app = harness(router);
    for (path, expected) in [("/opened", &["opened", "dropped"][..]), ("/closed", &["closed"])] {
        app.client("page").sse(path).await.close().await;
        assert_eq!(calls.take(), expected);
        let socket = app.client("socket").ws(path).await;
        Client::close(&socket).await;
        assert_eq!(calls.take(), expected);
    }
}
