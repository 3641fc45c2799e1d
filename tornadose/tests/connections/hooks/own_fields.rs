//! Fields whose values are the program's own: `#[state]`, `#[connection]`, `#[store_handle]`, `#[depot(Account, id)]`.

use std::collections::BTreeSet;

use tornadose::prelude::*;
use tornadose_test::assert_transcript;

use super::super::harness::harness;
use super::super::log::CapturedLog;

#[store(queue)]
#[derive(Serialize)]
struct Note {
    #[key]
    account: u64,
    connection: ConnectionId,
    text: String,
}

/// What a middleware knows of a client. It is not `Clone`.
struct Account {
    id: u64,
    names: (String, String),
}

#[subscriber(sse, ws, store = Note, authorize = Self::may_join, opened = Self::opened, receive = Self::received)]
struct Inbox {
    #[key]
    #[depot(Account, id)]
    account: u64,
    #[depot(Account, names)]
    names: (String, String),
    #[connection]
    connection: ConnectionId,
    #[state]
    texts: BTreeSet<String>,
    #[state]
    last: Option<u32>,
    #[store_handle]
    store: Store<Note>,
}

impl Inbox {
    /// At most two connections of an account. The store is asked that the handler serves.
    async fn may_join(&self) -> Result<(), StatusError> {
        assert!(self.texts.is_empty() && self.last.is_none());
        if self.store.subscribers_of(&NoteKey { account: self.account }) < 2 {
            Ok(())
        } else {
            Err(StatusError::too_many_requests().brief("two connections are open"))
        }
    }

    async fn opened(&mut self, store: &Store<Note>) {
        self.note(store, format!("{} of {}", self.names.0, self.names.1)).await;
    }

    async fn received(&mut self, text: String, store: &Store<Note>) -> usize {
        self.texts.insert(text.clone());
        self.note(store, text).await;
        self.texts.len()
    }

    async fn note(&self, store: &Store<Note>, text: String) {
        let note = Note { account: self.account, connection: self.connection, text };
        store.submit(note).await.unwrap();
    }
}

#[tornadose_test::test]
async fn each_connection_has_state_and_an_id_of_its_own_and_asks_its_store() {
    let store = Store::new();
    let app = harness(Router::with_path("inbox").hoop(sign_in).get(Inbox::handler(&store)));
    let page = app.client("page").sse("/inbox").await;
    let socket = app.client("socket").ws("/inbox").await;
    app.client("third").sse("/inbox").await;
    assert_eq!(socket.ask::<usize>(&"hi").await, 1);
    assert_eq!(socket.ask::<usize>(&"hi").await, 1);
    assert_transcript!(app, @r#"
    page > GET /inbox
    page ~ open 200 text/event-stream
    page < message #1 {"account":7,"connection":"[uuid-1]","text":"Ada of London"}
    socket > GET /inbox upgrade websocket
    page < message #2 {"account":7,"connection":"[uuid-2]","text":"Ada of London"}
    socket ~ open 101
    socket < message #2 {"account":7,"connection":"[uuid-2]","text":"Ada of London"}
    third > GET /inbox
    third ~ answer 429 code: 429\n\nname: Too Many Requests\n\nbrief: two connections are open
    socket > ask 1 "hi"
    page < message #3 {"account":7,"connection":"[uuid-2]","text":"hi"}
    socket < tornadose:reply 1 1
    socket < message #3 {"account":7,"connection":"[uuid-2]","text":"hi"}
    socket > ask 2 "hi"
    page < message #4 {"account":7,"connection":"[uuid-2]","text":"hi"}
    socket < tornadose:reply 2 1
    socket < message #4 {"account":7,"connection":"[uuid-2]","text":"hi"}
    "#);
    drop((page, socket));
}

#[handler]
async fn sign_in(depot: &mut Depot) {
    depot.insert_typed(Account { id: 7, names: ("Ada".into(), "London".into()) });
}

#[tornadose_test::test]
async fn a_value_that_is_not_in_the_depot_is_answered_500_and_logged() {
    let store = Store::new();
    let app = harness(Router::with_path("inbox").get(Inbox::handler(&store)));
    let (log, _guard) = CapturedLog::start();
    let page = app.client("page").sse("/inbox").await;
    let type_name = std::any::type_name::<Account>();
    assert_eq!(page.status(), 500);
    assert!(page.text().contains(&format!("the depot has no `{type_name}`")), "{}", page.text());
    assert_eq!(log.take(), [format!("WARN depot value missing: type_name={type_name:?}")]);
}
