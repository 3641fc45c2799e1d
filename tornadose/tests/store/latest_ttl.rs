//! `latest` values that expire, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, advance, sleep};
use tornadose::backend::IncomingEntry;
use tornadose::prelude::*;
use tornadose::{Id, Received, Subscription};

use super::link::{at, open_empty};

#[store(queue, ttl = "1m", finish)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[latest(ttl = "10s")]
    Member {
        #[key]
        room: u32,
        #[slot]
        user: u32,
        number: u32,
    },
    #[latest(ttl = "25s")]
    Topic {
        #[key]
        room: u32,
        text: String,
    },
    #[latest]
    Owner {
        #[key]
        room: u32,
        #[slot]
        user: u32,
    },
    #[tombstone]
    Left {
        #[key]
        room: u32,
        #[slot]
        user: u32,
    },
}

fn room(room: u32) -> NoteKey {
    NoteKey { room }
}

fn member(user: u32, number: u32) -> Note {
    Note::Member { room: 1, user, number }
}

fn topic(text: &str) -> Note {
    Note::Topic { room: 1, text: text.into() }
}

fn slot(user: u32) -> NoteSlot {
    NoteSlot::Member { user }
}

/// Returns what the subscription has to deliver now, with the minor part of each id.
fn received(subscription: &mut Subscription<Note>) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(Some(next)) = subscription.next().now_or_never() {
        received.push(match next {
            Received::Message { id, message } => format!("{} {}", minor(id), name(&message)),
            Received::Expired { id, message } => format!("{} expired {}", minor(id), name(&message)),
            Received::Finished { id, .. } => format!("{} finished", minor(id)),
            Received::Gap { reason, missed } => format!("{reason} {missed:?}"),
            other => panic!("{other:?}"),
        });
    }
    received
}

fn minor(id: Id) -> u64 {
    id.to_string().rsplit(['-', '.']).next().unwrap().parse().unwrap()
}

fn name(note: &Note) -> String {
    match note {
        Note::Said { text, .. } | Note::Topic { text, .. } => text.clone(),
        Note::Member { user, number, .. } => format!("member {user}.{number}"),
        Note::Owner { user, .. } => format!("owner {user}"),
        Note::Left { user, .. } => format!("left {user}"),
    }
}

async fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

#[tornadose_test::test]
async fn a_value_expires_to_the_millisecond_and_its_readers_are_told_in_order() {
    let store = Store::new();
    let mut reader = store.subscribe_to(room(1));
    store.submit(member(7, 0)).await.unwrap();
    store.submit(topic("tea")).await.unwrap();
    assert_eq!(received(&mut reader), ["1 member 7.0", "2 tea"]);
    pass(9_999).await;
    assert!(store.latest_in(&room(1), &slot(7)).is_some());
    assert!(received(&mut reader).is_empty());
    pass(1).await;
    assert!(store.latest_in(&room(1), &slot(7)).is_none());
    store.submit(Note::Said { room: 1, text: "hi".into() }).await.unwrap();
    assert_eq!(received(&mut reader), ["3 expired member 7.0", "4 hi"]);
    assert_eq!(store.latest(&room(1)), Some(topic("tea").into()));
    pass(14_999).await;
    assert!(store.latest(&room(1)).is_some());
    tokio::spawn(pass(1)).await.unwrap();
    assert_eq!(minor(store.head()), 5, "nobody has read or submitted meanwhile");
    assert_eq!(received(&mut reader), ["5 expired tea"]);
    assert!(received(&mut store.subscribe()).is_empty(), "a newcomer gets neither the values nor their ends");
}

#[tornadose_test::test]
async fn a_value_that_is_submitted_again_counts_anew() {
    let store = Store::new();
    let mut reader = store.subscribe();
    for number in 0..5 {
        store.submit(member(7, number)).await.unwrap();
        store.submit(member(8, number)).await.unwrap();
        received(&mut reader);
        pass(9_000).await;
    }
    store.submit(member(8, 9)).await.unwrap();
    pass(1_000).await;
    assert_eq!(received(&mut reader), ["11 member 8.9", "12 expired member 7.4"]);
    pass(8_999).await;
    assert!(received(&mut reader).is_empty());
    pass(1).await;
    assert_eq!(received(&mut reader), ["13 expired member 8.9"]);
}

#[tornadose_test::test]
async fn what_was_dropped_before_does_not_expire() {
    let store = Store::new();
    for user in 1..=4 {
        store.submit(member(user, 0)).await.unwrap();
    }
    store.submit(topic("tea")).await.unwrap();
    store.submit(Note::Owner { room: 1, user: 1 }).await.unwrap();
    let mut reader = store.subscribe();
    received(&mut reader);
    store.submit(Note::Left { room: 1, user: 1 }).await.unwrap();
    store.forget_slot(&room(1), &slot(2));
    pass(10_000).await;
    assert_eq!(received(&mut reader), ["7 left 1", "8 expired member 3.0", "9 expired member 4.0"]);
    store.remove(&room(1)).await.unwrap();
    pass(60_000).await;
    assert_eq!(received(&mut reader), ["removed Some(0)"]);
    store.submit(member(5, 0)).await.unwrap();
    store.forget(&room(1));
    pass(60_000).await;
    assert!(received(&mut reader).is_empty());
}

#[tornadose_test::test]
async fn the_values_of_a_finished_key_expire_too() {
    let store = Store::new();
    store.submit(member(7, 0)).await.unwrap();
    let (mut of_key, mut of_all) = (store.subscribe_to(room(1)), store.subscribe());
    store.finish(&room(1)).await.unwrap();
    assert_eq!(received(&mut of_key), ["1 member 7.0"]);
    pass(10_000).await;
    assert!(received(&mut of_key).is_empty(), "it has ended at the finish");
    assert_eq!(received(&mut of_all), ["2 finished", "3 expired member 7.0"]);
}

#[tornadose_test::test]
async fn a_reader_that_was_slow_is_told_of_the_end_of_a_value_that_it_has_not_read() {
    let store = Store::new();
    let mut slow = store.subscribe();
    store.submit(Note::Said { room: 1, text: "one".into() }).await.unwrap();
    store.submit(member(7, 0)).await.unwrap();
    store.submit(Note::Said { room: 2, text: "two".into() }).await.unwrap();
    pass(10_000).await;
    store.submit(member(7, 1)).await.unwrap();
    assert_eq!(received(&mut slow), ["1 one", "3 two", "4 expired member 7.0", "5 member 7.1"]);
}

#[tornadose_test::test]
async fn a_shorter_time_is_kept_while_a_longer_one_runs() {
    #[store(latest, ttl = "5m")]
    #[derive(Serialize)]
    enum Gauge {
        Slow,
        #[latest(ttl = "20ms")]
        Fast,
        #[queue]
        Said,
    }
    let store = Store::new();
    let mut reader = store.subscribe();
    for gauge in [Gauge::Slow, Gauge::Fast, Gauge::Said] {
        store.submit(gauge).await.unwrap();
    }
    pass(21).await;
    assert_eq!(minor(store.head()), 4);
    let mut kept = 0;
    while let Some(Some(next)) = reader.next().now_or_never() {
        kept += i32::from(matches!(next, Received::Message { .. }));
    }
    assert_eq!(kept, 2, "the message that expired was never read");
    pass(300_000).await;
    assert_eq!(minor(store.head()), 5, "the `ttl` of the store is not that of its `queue` messages");
}

#[test]
fn without_a_runtime_a_value_expires_at_the_next_submit_or_read() {
    #[store(latest, ttl = "50ms")]
    #[derive(Serialize)]
    struct Short(u32);

    let store = Store::new();
    let mut reader = store.subscribe();
    store.try_submit(Short(1)).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert!(store.latest(&tornadose::NoKey).is_none());
    let first = reader.next().now_or_never().flatten();
    assert!(matches!(first, Some(Received::Expired { message, .. }) if message.0 == 1));
}

/// Returns the payload of a value.
fn payload(user: u32) -> String {
    format!(r#"{{"member":{{"room":1,"user":{user},"number":0}}}}"#)
}

#[tornadose_test::test]
async fn an_engine_that_cannot_expire_values_leaves_it_to_each_process() {
    // One that gives its entries no offsets: readers are told.
    let (store, link) = open_empty::<Note>().await;
    assert!(link.expires_latest());
    let mut reader = store.subscribe();
    link.ingest_unplaced(IncomingEntry::new(payload(7).as_bytes()).with_age(Duration::from_secs(4)));
    pass(5_999).await;
    assert_eq!(received(&mut reader), ["1 member 7.0"]);
    pass(1).await;
    assert_eq!(received(&mut reader), ["2 expired member 7.0"]);
    link.ingest_unplaced(IncomingEntry::new(payload(8).as_bytes()).with_age(Duration::from_secs(11)));
    assert_eq!(received(&mut reader), ["4 expired member 8.0"]);
    assert!(link.forget(None, r#"{"room":1}"#).is_empty(), "the values are forgotten everywhere");

    // One that does: all offsets are the engine's.
    let (store, link) = open_empty::<Note>().await;
    let mut reader = store.subscribe();
    link.ingest(at(1), IncomingEntry::new(payload(7).as_bytes()));
    assert_eq!(received(&mut reader), ["1 member 7.0"]);
    pass(10_000).await;
    assert!(store.latest(&room(1)).is_none());
    link.ingest(at(2), IncomingEntry::new(payload(8).as_bytes()));
    assert_eq!(received(&mut reader), ["2 member 8.0"]);
}

#[tornadose_test::test]
async fn a_store_obeys_its_engine() {
    let (store, link) = open_empty::<Note>().await;
    let mut reader = store.subscribe();
    let value = |number, user| {
        let payload = payload(user);
        link.ingest(at(number), IncomingEntry::new(payload.as_bytes()));
    };
    let expire = |number, value, user| link.expire(at(number), at(value), payload(user).as_bytes());
    value(1, 7);
    value(2, 8);
    value(3, 7);
    expire(4, 1, 7);
    assert_eq!(received(&mut reader), ["2 member 8.0", "3 member 7.0"], "a newer value is in its place");
    // The engine has kept it under another offset, because it was appended twice.
    expire(5, 4, 7);
    expire(6, 2, 8);
    expire(7, 2, 8);
    assert_eq!(received(&mut reader), ["5 expired member 7.0", "6 expired member 8.0"]);
    expire(8, 1, 9);
    assert!(received(&mut reader).is_empty(), "this log has seen that there is no such value");
    assert_eq!(minor(store.head()), 8);
    expire(8, 2, 8);
    assert_eq!(minor(store.head()), 8, "the log has been there");
}

/// The values that a page knows: the newest in each place, by the events that it gets.
struct Page {
    subscription: Subscription<Note>,
    values: BTreeMap<String, Note>,
}

/// Returns the place of a value.
fn place(note: &Note) -> Option<String> {
    match note {
        Note::Member { room, user, .. } => Some(format!("{room} member {user}")),
        Note::Owner { room, user } => Some(format!("{room} owner {user}")),
        Note::Topic { room, .. } => Some(format!("{room} topic")),
        Note::Said { .. } | Note::Left { .. } => None,
    }
}

impl Page {
    fn read(&mut self) {
        while let Some(Some(next)) = self.subscription.next().now_or_never() {
            match next {
                Received::Message { message, .. } => match (place(&message), &*message) {
                    (Some(place), note) => drop(self.values.insert(place, note.clone())),
                    (None, Note::Left { room, user }) => {
                        self.values.remove(&format!("{room} member {user}"));
                        self.values.remove(&format!("{room} owner {user}"));
                    }
                    (None, _) => {}
                },
                Received::Expired { message, .. } => {
                    self.values.remove(&place(&message).expect("a value expires"));
                }
                // All that are kept follow.
                Received::Gap { .. } => self.values.clear(),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The values that are kept, each with the time of its end.
type Kept = BTreeMap<String, (Note, Option<Instant>)>;

fn submit(store: &Store<Note>, kept: &mut Kept, note: Note) {
    if let Note::Left { room, user } = &note {
        kept.remove(&format!("{room} member {user}"));
        kept.remove(&format!("{room} owner {user}"));
    }
    let ttl = match &note {
        Note::Member { .. } => Some(10),
        Note::Topic { .. } => Some(25),
        _ => None,
    };
    if let Some(place) = place(&note) {
        let end = ttl.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        kept.insert(place, (note.clone(), end));
    }
    store.try_submit(note).unwrap();
}

// The clock runs for hours, at which `tornadose_test` would stop.
#[tokio::test(start_paused = true)]
async fn whatever_happens_every_page_has_the_values_that_have_not_expired() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (store, mut kept, mut pages) = (Store::new(), Kept::new(), Vec::<Page>::new());
        for number in 0..200 {
            let (room, user) = (random.u32(..2), random.u32(..3));
            match random.u32(..14) {
                0 if pages.len() < 5 => {
                    let subscription = store.subscribe();
                    pages.push(Page { subscription, values: BTreeMap::new() });
                }
                0..5 => submit(&store, &mut kept, Note::Member { room, user, number }),
                5 => submit(&store, &mut kept, Note::Topic { room, text: number.to_string() }),
                6 => submit(&store, &mut kept, Note::Owner { room, user }),
                7 => submit(&store, &mut kept, Note::Said { room, text: number.to_string() }),
                8 => submit(&store, &mut kept, Note::Left { room, user }),
                9 => sleep(Duration::from_millis(random.u64(..8000))).await,
                // Without a chance for the task that sweeps.
                10 => advance(Duration::from_millis(random.u64(..8000))).await,
                _ if pages.is_empty() => {}
                _ => {
                    let which = random.usize(..pages.len());
                    pages[which].read();
                }
            }
            kept.retain(|_, (_, end)| end.is_none_or(|end| end > Instant::now()));
            let of_member = kept.get(&format!("{room} member {user}")).map(|(note, _)| note.clone());
            assert_eq!(store.latest_in(&NoteKey { room }, &slot(user)).as_deref(), of_member.as_ref());
        }
        let expected: BTreeMap<String, Note> = kept.into_iter().map(|(place, (note, _))| (place, note)).collect();
        for page in &mut pages {
            page.read();
            assert_eq!(page.values, expected, "seed {seed}");
        }
    }
}
