//! Queue messages that expire, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, advance, sleep};
use tornadose::backend::IncomingEntry;
use tornadose::prelude::*;
use tornadose::{GapReason, Received, Subscription};

use super::link::{at, open_empty};

#[store(queue, ttl = "10s", capacity = 8)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[latest]
    Topic {
        #[key]
        room: u32,
        text: String,
    },
}

fn said(room: u32, text: &str) -> Note {
    Note::Said { room, text: text.into() }
}

fn room(room: u32) -> NoteKey {
    NoteKey { room }
}

/// Returns what the subscription has to deliver now.
fn received(subscription: &mut Subscription<Note>) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(next) = subscription.next().now_or_never() {
        match next.unwrap() {
            Received::Message { message, .. } => match &*message {
                Note::Said { text, .. } | Note::Topic { text, .. } => received.push(text.clone()),
            },
            Received::Gap { reason: GapReason::Lagged, missed } => received.push(format!("lagged {missed:?}")),
            other => panic!("{other:?}"),
        }
    }
    received
}

async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tornadose_test::test]
async fn a_reader_to_whom_expired_messages_were_owed_lags() {
    let store = Store::new();
    let (mut slow, mut of_other) = (store.subscribe_to(room(1)), store.subscribe_to(room(2)));
    for (seconds, text) in [(4, "one"), (4, "two"), (0, "three")] {
        store.try_submit(said(1, text)).unwrap();
        pass(seconds).await;
    }
    store.try_submit(said(2, "other")).unwrap();
    pass(2).await;
    assert_eq!(received(&mut slow), ["lagged Some(1)", "two", "three"]);
    assert_eq!(received(&mut of_other), ["other"]);
    store.try_submit(said(1, "four")).unwrap();
    assert_eq!(received(&mut slow), ["four"]);
}

#[tornadose_test::test]
async fn the_one_message_that_waits_for_a_live_reader_expires() {
    let store = Store::new();
    let mut reader = store.subscribe_to(room(1));
    assert!(received(&mut reader).is_empty());
    store.try_submit(said(1, "one")).unwrap();
    assert_eq!(received(&mut reader), ["one"]);
    store.try_submit(said(1, "two")).unwrap();
    pass(9).await;
    assert_eq!(received(&mut reader), ["two"], "9 s old");
    store.try_submit(said(1, "three")).unwrap();
    // At this very moment, before the round that trims it.
    advance(Duration::from_secs(10)).await;
    assert_eq!(received(&mut reader), ["lagged Some(1)"]);
    store.try_submit(said(1, "four")).unwrap();
    assert_eq!(received(&mut reader), ["four"]);
}

#[tornadose_test::test]
async fn latest_values_stay_and_a_message_counts_its_own_age() {
    let store = Store::new();
    store.try_submit(Note::Topic { room: 1, text: "topic".into() }).unwrap();
    pass(60).await;
    let mut reader = store.subscribe_to(room(1));
    store.try_submit(said(1, "one")).unwrap();
    pass(5).await;
    assert_eq!(received(&mut reader), ["topic", "one"]);
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

#[store(queue, ttl = "10s")]
#[derive(Serialize)]
struct Counted(u32);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

#[tornadose_test::test]
async fn memory_is_freed_within_a_tenth_of_the_time_though_nobody_reads_or_submits() {
    let store = Store::new();
    for round in 1..=2 {
        for number in 0..5 {
            store.try_submit(Counted(number)).unwrap();
        }
        pass(9).await;
        assert_eq!(DROPPED.load(Ordering::Relaxed), 5 * (round - 1));
        pass(2).await;
        assert_eq!(DROPPED.load(Ordering::Relaxed), 5 * round);
    }
    drop(store);
}

#[test]
fn without_a_runtime_messages_expire_at_the_next_submit_or_read() {
    #[store(queue, ttl = "50ms")]
    #[derive(Serialize)]
    struct Short(u32);

    let store = Store::new();
    let mut reader = store.subscribe();
    store.try_submit(Short(1)).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    store.try_submit(Short(2)).unwrap();
    let first = reader.next().now_or_never().flatten();
    assert!(matches!(first, Some(Received::Gap { reason: GapReason::Lagged, missed: Some(1) })));
}

/// Returns the payload of a message.
fn payload(text: &str) -> String {
    format!(r#"{{"said":{{"room":1,"text":"{text}"}}}}"#)
}

#[tornadose_test::test]
async fn the_age_of_a_message_from_a_backend_is_that_of_the_engine() {
    let (store, link) = open_empty::<Note>().await;
    assert_eq!(link.queue_ttl(), Some(Duration::from_secs(10)));
    let ingest = |number, text: &str, age: u64| {
        let payload = payload(text);
        link.ingest(at(number), IncomingEntry::new(payload.as_bytes()).with_age(Duration::from_secs(age)));
    };
    let mut reader = store.subscribe_to(room(1));
    ingest(1, "nine", 9);
    ingest(2, "five", 5);
    ingest(3, "new", 0);
    pass(1).await;
    assert_eq!(received(&mut reader), ["lagged Some(1)", "five", "new"]);
    // An entry is taken for no older than those before it.
    ingest(4, "eleven", 11);
    assert_eq!(received(&mut reader), ["eleven"]);
    pass(10).await;
    ingest(5, "expired", 11);
    assert_eq!(received(&mut reader), ["lagged Some(1)"]);
    // Another process lets them expire sooner, until it is gone; a longer time than the type's has no effect.
    ingest(6, "two", 2);
    ingest(7, "one", 1);
    link.set_queue_ttl(Duration::from_secs(2));
    assert_eq!(received(&mut reader), ["lagged Some(1)", "one"]);
    link.set_queue_ttl(Duration::from_secs(60));
    pass(1).await;
    ingest(8, "three", 3);
    assert_eq!(received(&mut reader), ["three"]);
}

#[tornadose_test::test]
async fn messages_that_no_reader_of_this_process_wants_expire_undecoded() {
    let (store, link) = open_empty::<Note>().await;
    let ingest = |number: u64, text: &str| {
        let payload = payload(text);
        let entry = IncomingEntry::new(payload.as_bytes()).with_sender("a1b2c3d4", number).with_key(r#"{"room":1}"#);
        link.ingest(at(number), entry);
    };
    ingest(1, "decoded");
    ingest(2, "kept as bytes");
    let before = store.head();
    pass(8).await;
    ingest(3, "newer");
    pass(2).await;
    let mut reader = store.subscribe_to(room(1));
    assert!(received(&mut reader).is_empty(), "a subscription begins at the head");
    assert_ne!(store.head(), before);
    pass(8).await;
    ingest(4, "last");
    assert_eq!(received(&mut reader), ["last"]);
}

/// A subscription, and what it has received.
struct Listener {
    subscription: Subscription<Note>,
    key: u32,
    /// The messages of its key since it began.
    owed: Vec<(Instant, String)>,
    received: usize,
}

impl Listener {
    /// Reads everything: a subscription reads ahead, and what it has read does not expire.
    fn read(&mut self) {
        loop {
            let Some(next) = self.subscription.next().now_or_never() else {
                assert_eq!(self.received, self.owed.len(), "something is neither delivered nor reported");
                return;
            };
            match next.unwrap() {
                Received::Message { message, .. } => {
                    let Note::Said { text, .. } = &*message else { panic!("{message:?}") };
                    let (submitted_at, expected) = &self.owed[self.received];
                    assert_eq!(text, expected);
                    assert!(submitted_at.elapsed() < Duration::from_secs(10), "{:?}", submitted_at.elapsed());
                    self.received += 1;
                }
                Received::Gap { reason: GapReason::Lagged, missed: Some(missed) } => {
                    let missed = usize::try_from(missed).unwrap();
                    let (kept, last) = (self.owed.len() - 8.min(self.owed.len()), self.received + missed);
                    // Beyond the capacity, or older than the `ttl`.
                    let has_expired = |(at, _): &(Instant, String)| at.elapsed() >= Duration::from_secs(10);
                    assert!(
                        self.owed[self.received..last]
                            .iter()
                            .enumerate()
                            .all(|(index, message)| { self.received + index < kept || has_expired(message) })
                    );
                    self.received = last;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

// The clock runs for hours, at which `tornadose_test` would stop.
#[tokio::test(start_paused = true)]
async fn random_programs_deliver_what_has_not_expired_once_and_count_the_rest() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = Store::new();
        let mut listeners: Vec<Listener> = Vec::new();
        for number in 0..200 {
            match random.u32(..10) {
                0 if listeners.len() < 6 => {
                    let key = random.u32(..3);
                    let subscription = store.subscribe_to(room(key));
                    listeners.push(Listener { subscription, key, owed: Vec::new(), received: 0 });
                }
                0..5 => {
                    let (key, text) = (random.u32(..3), number.to_string());
                    store.try_submit(said(key, &text)).unwrap();
                    let of_key = listeners.iter_mut().filter(|listener| listener.key == key);
                    of_key.for_each(|listener| listener.owed.push((Instant::now(), text.clone())));
                }
                5 => sleep(Duration::from_millis(random.u64(..5000))).await,
                // Without a chance for the task that trims.
                6 => advance(Duration::from_millis(random.u64(..5000))).await,
                _ => {
                    if !listeners.is_empty() {
                        let which = random.usize(..listeners.len());
                        listeners[which].read();
                    }
                }
            }
        }
        listeners.iter_mut().for_each(Listener::read);
    }
}
