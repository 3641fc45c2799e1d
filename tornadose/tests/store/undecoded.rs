//! A process without a reader of a key does not decode the messages of other processes with it.

use std::cell::{Cell, RefCell};

use futures_util::{FutureExt, StreamExt};
use tornadose::backend::{BackendLink, IncomingEntry, Ingested};
use tornadose::prelude::*;
use tornadose::{Received, Subscription};

use super::link::{Market, at, open_empty};

thread_local! {
    static PARSED: Cell<usize> = const { Cell::new(0) };
    /// A store that the message's own code calls.
    static CALLED: RefCell<Option<Store<Said>>> = const { RefCell::new(None) };
}

/// The code of a message's type may call the store: it is not locked then.
fn call_store() {
    CALLED.with_borrow(|store| store.as_ref().map(Store::head));
}

#[derive(Deserialize)]
struct Parsed {
    room: u32,
    text: String,
}

#[store(queue, capacity = 3)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Parsed")]
struct Said {
    #[key]
    room: u32,
    text: String,
}

impl From<Parsed> for Said {
    fn from(Parsed { room, text }: Parsed) -> Self {
        PARSED.set(PARSED.get() + 1);
        call_store();
        Self { room, text }
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        call_store();
    }
}

/// Ingests a message of another process, which has the next number there.
fn say(link: &BackendLink, seq: u64, room: u32) -> Ingested {
    let (payload, key) = (format!(r#"{{"room":{room},"text":"{seq}"}}"#), format!(r#"{{"room":{room}}}"#));
    link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()).with_sender("another1", seq).with_key(&key))
}

/// Returns the texts that are ready.
fn texts(reader: &mut Subscription<Said>) -> Vec<String> {
    std::iter::from_fn(|| match reader.next().now_or_never()?? {
        Received::Message { message, .. } => Some(message.text.clone()),
        gap => panic!("{gap:?}"),
    })
    .collect()
}

fn texts_of<const N: usize>(numbers: [u64; N]) -> Vec<String> {
    numbers.iter().map(u64::to_string).collect()
}

#[tornadose_test::test]
async fn an_entry_is_parsed_when_its_key_has_a_reader() {
    let (store, link) = open_empty::<Said>().await;
    let parsed = || PARSED.replace(0);
    parsed();
    // The first entry of a sender shows whether the keys beside its messages are theirs.
    for seq in 1..=10 {
        assert_eq!(say(&link, seq, 1), Ingested::Queue);
    }
    assert_eq!((parsed(), store.head().to_string().as_str()), (1, "aaaaaaaa-7.10"));

    // A reader of another key, and one that is new: the kept messages are decoded before it is opened.
    let mut of_two = store.subscribe_to(SaidKey { room: 2 });
    assert_eq!(parsed(), 0);
    let mut of_one = store.subscribe_to(SaidKey { room: 1 });
    assert_eq!(parsed(), 3, "as many as are kept of a key");
    for seq in 11..=20 {
        say(&link, seq, (seq % 4) as u32);
    }
    assert_eq!((parsed(), texts(&mut of_one), texts(&mut of_two)), (4, texts_of([13, 17]), texts_of([14, 18])));

    drop((of_one, of_two));
    say(&link, 21, 1);
    assert_eq!(parsed(), 0);
    let mut of_all = store.subscribe();
    // Three of room 0, three of room 3, and the last of room 1.
    assert_eq!(parsed(), 7);
    say(&link, 22, 5);
    assert_eq!((parsed(), texts(&mut of_all)), (1, texts_of([22])));
}

#[tornadose_test::test]
async fn the_code_of_a_message_may_call_the_store_while_entries_are_decoded() {
    let (store, link) = open_empty::<Said>().await;
    CALLED.set(Some(store.clone()));
    for seq in 1..=1000 {
        say(&link, seq, (seq % 100) as u32);
    }
    let all = store.subscribe();
    link.reset("bbbbbbbb".parse().unwrap(), at(0));
    drop(all);
    CALLED.take();
}

#[tornadose_test::test]
async fn a_queue_message_is_sent_with_the_json_of_its_key() {
    let (store, link) = open_empty::<Market>().await;
    store.try_submit(Market::Trade { symbol: "AAPL".into(), price: 7 }).unwrap();
    store.try_submit(Market::Quote { symbol: "AAPL".into(), bid: 7 }).unwrap();
    let sent = link.next_outgoing(10).await.unwrap();
    assert_eq!((sent[0].key(), sent[1].key()), (Some(r#"{"symbol":"AAPL"}"#), None));
}
