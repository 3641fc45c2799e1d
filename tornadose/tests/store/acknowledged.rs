//! What a backend acknowledges is delivered: messages are read back before they are sent, refusals carry the engine's
//! words, and the end of a backend is noticed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tornadose::backend::{Backend, BackendLink, Epoch, IncomingEntry, Ingested, Offset, OpenError, SendOutcome};
use tornadose::prelude::*;
use tornadose::{GapReason, Received, SubmitError};

use super::link::{Line, Market, MarketKey, at, entry, ingest, open_empty};
use super::log::CapturedLog;

fn line(text: &str) -> Line {
    Line { text: text.into() }
}

/// Submits a message that the engine appends at this offset and returns.
async fn submit_through<M>(store: &Store<M>, link: &BackendLink, message: M, seq: u64) -> Ingested
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    let (submitted, ingested) = tokio::join!(store.submit(message), async {
        let outgoing = link.next_outgoing(1).await.unwrap().remove(0);
        let entry = IncomingEntry::new(outgoing.payload()).with_sender(link.sender_id(), outgoing.number());
        let ingested = link.ingest(at(seq), entry);
        outgoing.appended(at(seq));
        ingested
    });
    submitted.unwrap();
    ingested
}

#[store(queue)]
#[derive(Debug, Serialize, Deserialize)]
struct Price {
    value: f64,
}

#[store(queue)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Tagged {
    Counts { by_id: BTreeMap<u64, u64> },
}

#[tornadose_test::test]
async fn a_message_that_cannot_be_read_back_is_refused_before_it_is_sent() {
    let (prices, link) = open_empty::<Price>().await;
    let error = prices.submit(Price { value: f64::NAN }).await.unwrap_err();
    assert!(matches!(error, SubmitError::Encode { .. }));
    assert_eq!(
        error.to_string(),
        "the message cannot be read back from its JSON, so no process could deliver it: \
         invalid type: null, expected f64 at line 1 column 13"
    );
    assert!(matches!(prices.try_submit(Price { value: f64::INFINITY }), Err(SubmitError::Encode { .. })));
    assert!(link.next_outgoing(10).now_or_never().is_none(), "nothing was sent");

    let (tagged, link) = open_empty::<Tagged>().await;
    let error = tagged.submit(Tagged::Counts { by_id: [(1, 2)].into() }).await.unwrap_err();
    assert!(matches!(error, SubmitError::Encode { .. }), "{error}");
    assert!(link.next_outgoing(10).now_or_never().is_none(), "nothing was sent");
}

thread_local! {
    static DESERIALIZED: Cell<u32> = const { Cell::new(0) };
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    DESERIALIZED.set(DESERIALIZED.get() + 1);
    u32::deserialize(deserializer)
}

#[store(queue)]
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    #[serde(deserialize_with = "count")]
    number: u32,
}

#[tornadose_test::test]
async fn a_message_of_this_process_is_decoded_once() {
    let (store, link) = open_empty::<Counted>().await;
    assert_eq!(submit_through(&store, &link, Counted { number: 1 }, 1).await, Ingested::Queue);
    assert_eq!(DESERIALIZED.get(), 1, "at submit, and not when its entry comes");
    link.ingest(at(2), entry(r#"{"number":2}"#));
    assert_eq!(DESERIALIZED.get(), 2);
}

#[store(queue)]
#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    text: String,
    #[serde(skip_deserializing)]
    lost: u32,
}

#[tornadose_test::test]
async fn readers_get_what_was_read_back_and_a_change_is_logged_once() {
    let (store, link) = open_empty::<Changed>().await;
    let mut reader = store.subscribe();
    let (log, _guard) = CapturedLog::start();
    for seq in 1..=2 {
        submit_through(&store, &link, Changed { text: "a".into(), lost: 7 }, seq).await;
        let Some(Received::Message { message, .. }) = reader.next().await else { panic!("expected a message") };
        assert_eq!((message.text.as_str(), message.lost), ("a", 0));
    }
    assert_eq!(log.take(), ["WARN message changed by reading back: channel=\"changed\""]);
}

#[tornadose_test::test]
async fn a_refusal_has_the_words_of_the_engine() {
    let (store, link) = open_empty::<Line>().await;
    let (log, _guard) = CapturedLog::start();
    let (submitted, ()) = tokio::join!(store.submit(line("hi")), async {
        link.next_outgoing(1).await.unwrap().remove(0).refused("OOM used memory");
    });
    let error = submitted.unwrap_err();
    assert!(
        matches!(&error, SubmitError::Refused { reason, message } if reason == "OOM used memory" && message.text == "hi")
    );
    assert_eq!(error.to_string(), "the backend refused the message: OOM used memory");
    assert_eq!(error.into_message(), line("hi"));
    assert_eq!(log.take(), ["WARN messages refused: channel=\"lines\" reason=\"OOM used memory\""].map(in_channel));
}

/// The channel of `Line`.
fn in_channel(text: &str) -> String {
    text.replace("\"lines\"", &format!("{:?}", Line::CHANNEL))
}

#[tornadose_test::test]
async fn an_outage_of_many_messages_is_two_log_events() {
    let (store, link) = open_empty::<Line>().await;
    let (log, _guard) = CapturedLog::start();
    for _ in 0..1000 {
        store.try_submit(line("x")).unwrap();
    }
    for (index, outgoing) in link.next_outgoing(999).await.unwrap().into_iter().enumerate() {
        if index == 500 {
            link.report_refused("NOREPLICAS");
        }
        outgoing.refused("OOM");
    }
    link.next_outgoing(1).await.unwrap().remove(0).appended(at(1));
    let expected = [
        "WARN messages refused: channel=\"lines\" reason=\"OOM\"",
        "WARN messages dropped: channel=\"lines\" reason=\"OOM\"",
        "WARN messages refused: channel=\"lines\" reason=\"NOREPLICAS\"",
        "INFO messages accepted again: channel=\"lines\" refused=999 dropped=999",
    ];
    assert_eq!(log.take(), expected.map(in_channel));
    store.try_submit(line("y")).unwrap();
    drop(link.next_outgoing(1).await);
    assert_eq!(log.take(), ["WARN messages dropped: channel=\"lines\" reason=\"not acknowledged\""].map(in_channel));
    store.try_submit(line("z")).unwrap();
    drop(link);
    store.close();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let closed = "DEBUG store closed: channel=\"lines\" readers=0";
    let dropped = "WARN messages dropped at close: channel=\"lines\" dropped=2";
    assert_eq!(log.take(), [closed, dropped].map(in_channel));
}

#[tornadose_test::test]
async fn a_disconnection_is_logged_when_it_begins_and_when_its_reason_changes() {
    let (_store, link) = open_empty::<Line>().await;
    let (log, _guard) = CapturedLog::start();
    for reason in ["broken pipe", "WRONGPASS", "WRONGPASS", "WRONGPASS"] {
        link.report_disconnected(reason);
    }
    link.caught_up();
    link.report_disconnected("WRONGPASS");
    let expected = [
        "WARN backend disconnected: channel=\"lines\" reason=\"broken pipe\"",
        "WARN backend disconnected: channel=\"lines\" reason=\"WRONGPASS\"",
        "INFO backend connected: channel=\"lines\"",
        "WARN backend disconnected: channel=\"lines\" reason=\"WRONGPASS\"",
    ];
    assert_eq!(log.take(), expected.map(in_channel));
}

/// A backend that opens, and then ends as the test says.
struct Ends(tokio::sync::oneshot::Receiver<&'static str>);

impl Backend for Ends {
    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        link.reset(Epoch::fresh(), Offset::START);
        link.caught_up();
        match self.0.await.unwrap_or("return") {
            "fail" => Err(OpenError::new("no more")),
            "panic" => panic!("it panics"),
            _ => Ok(()),
        }
    }
}

// One of the ends is a panic, which `tornadose_test::test` reports.
#[tokio::test(start_paused = true)]
async fn a_store_is_closed_when_its_backend_ends() {
    for (how, logged) in
        [("fail", "no more"), ("panic", "the backend panicked"), ("return", "it returned while the store was open")]
    {
        let (end, ended) = tokio::sync::oneshot::channel();
        let store = Store::<Line>::open(Ends(ended)).await.unwrap();
        let mut reader = store.subscribe();
        assert!(reader.next().now_or_never().is_none());
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.submit(line("waiting")).await }
        });
        tokio::task::yield_now().await;
        let (log, guard) = CapturedLog::start();
        end.send(how).unwrap();
        assert!(reader.next().await.is_none(), "{how}");
        drop(guard);
        let logged = format!("ERROR backend stopped: channel=\"lines\" error={logged}");
        assert!(log.take().contains(&in_channel(&logged)), "{how}");
        assert!(matches!(waiting.await.unwrap(), Err(SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. })));
        assert!(matches!(store.try_submit(line("late")), Err(SubmitError::Closed { .. })));
        assert!(matches!(store.submit(line("late")).await, Err(SubmitError::Closed { .. })));
        store.closed().await;
    }
}

#[test]
fn a_store_is_closed_when_the_runtime_that_opened_it_ends() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_end, ended) = tokio::sync::oneshot::channel();
    let opening = runtime();
    let store = opening.block_on(Store::<Line>::open(Ends(ended))).unwrap();
    let mut reader = store.subscribe();
    assert!(reader.next().now_or_never().is_none());
    drop(opening);
    assert!(matches!(store.try_submit(line("late")), Err(SubmitError::Closed { .. })));
    assert!(runtime().block_on(reader.next()).is_none());
}

#[tornadose_test::test]
async fn an_entry_with_a_forged_number_hides_no_message() {
    let (store, link) = open_empty::<Line>().await;
    let me = link.sender_id().to_owned();
    let forged = |number| IncomingEntry::new(br#"{"text":"forged"}"#).with_sender(&me, number);
    // Of numbers that were never given out.
    assert_eq!(link.ingest(at(1), forged(u64::MAX)), Ingested::Queue);
    assert_eq!(link.ingest(at(2), forged(1)), Ingested::Queue);
    let (submitted, ()) = tokio::join!(store.submit(line("mine")), async {
        let outgoing = link.next_outgoing(1).await.unwrap().remove(0);
        assert_eq!(outgoing.number(), 1);
        // Of a number that was given to another payload.
        assert_eq!(link.ingest(at(3), forged(1)), Ingested::Queue);
        let entry = IncomingEntry::new(outgoing.payload()).with_sender(&me, 1);
        assert_eq!(link.ingest(at(4), entry), Ingested::Queue);
        assert_eq!(link.ingest(at(5), entry), Ingested::Ignored, "a duplicate");
        outgoing.appended(at(4));
    });
    submitted.unwrap();
    // Of another process, far beyond what it has sent.
    let other = |number| IncomingEntry::new(br#"{"text":"other"}"#).with_sender("another1", number);
    assert_eq!(link.ingest(at(6), other(u64::MAX)), Ingested::Queue);
    assert_eq!(link.ingest(at(7), other(1)), Ingested::Queue);
    assert_eq!(link.ingest(at(8), other(1)), Ingested::Ignored);
}

#[tornadose_test::test]
async fn latest_values_that_the_engine_no_longer_has_are_dropped() {
    let (store, link) = open_empty::<Market>().await;
    let quote = |seq: u64, symbol: &str| {
        let payload = format!(r#"{{"quote":{{"symbol":"{symbol}","bid":1}}}}"#);
        match link.ingest(at(seq), entry(&payload)) {
            Ingested::Latest { slot } => slot,
            other => panic!("{other:?}"),
        }
    };
    let (apple, _microsoft) = (quote(1, "AAPL"), quote(2, "MSFT"));
    link.retain_latest(&|slot| slot == apple);
    let latest = |symbol: &str| store.latest(&MarketKey { symbol: symbol.into() }).is_some();
    assert_eq!((latest("AAPL"), latest("MSFT")), (true, false));
    link.retain_latest(&|_| false);
    assert!(!latest("AAPL"));
}

#[tornadose_test::test]
async fn a_gap_of_unreadable_entries_is_received_by_subscriptions() {
    let (store, link) = open_empty::<Line>().await;
    let mut reader = store.subscribe();
    assert_eq!(link.ingest(at(1), entry("{}")), Ingested::Unreadable);
    let gap = Received::Gap { reason: GapReason::Unreadable, missed: Some(1) };
    assert!(reader.next().await.is_some_and(|received| received == gap));
    ingest(&link, 2, "after");
    assert!(matches!(reader.next().await, Some(Received::Message { .. })));
}

/// A position above an ignored message would hide it from a client that resumes at another process.
#[tornadose_test::test]
async fn the_head_of_a_closed_store_does_not_move() {
    let (store, link) = open_empty::<Line>().await;
    ingest(&link, 1, "before");
    let head = store.head();
    store.close();
    assert_eq!(ingest(&link, 2, "ignored"), Ingested::Ignored);
    link.advance_to(at(3));
    link.skip_unreadable(at(4), "no field `data`");
    link.forget(Some(at(5)), "null");
    let duplicate = entry(r#"{"text":"before"}"#).with_sender("another1", 1);
    assert_eq!((link.ingest(at(6), duplicate), link.ingest(at(7), duplicate)), (Ingested::Ignored, Ingested::Ignored));
    assert_eq!(store.head(), head);
}
