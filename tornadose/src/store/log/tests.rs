//! The bounds of what a log remembers of its keys.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{AppendError, Log};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Id, Offset};
use crate::message::{Message, Retention};
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::limits::{ENTRY_OVERHEAD, Limits};
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::key::KeySelection;

struct Note(u64);

impl Message for Note {
    type Key = u64;
    const MEMORY: usize = 64 << 10;
    const CHANNEL: &'static str = "notes";
    fn key(&self) -> u64 {
        self.0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("x"))
    }
}

fn new_log() -> Log<Note> {
    Log::new(Limits::of::<Note>(), false)
}

fn append(log: &mut Log<Note>, key: u64) -> Id {
    let offset = log.next();
    log.append(offset, key, Arc::new(Note(key)), Event::text("x"), &KeptAs::Queue(QueueRole::Other), 1)
        .map(|appended| appended.entry.id)
        .unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "takes an hour when interpreted")]
fn a_flood_of_keys_is_remembered_up_to_a_bound() {
    let mut log = new_log();
    for key in 0..200_000 {
        append(&mut log, key);
        assert!(log.bytes() <= Note::MEMORY);
    }
    // The newest keys have six digits. Idle ones take a quarter, and messages of one byte with their keys the rest.
    let key = ENTRY_OVERHEAD + 6;
    let idle = Note::MEMORY / 4 / key;
    let kept = (Note::MEMORY - idle * key) / (key + ENTRY_OVERHEAD + 1);
    assert_eq!(log.queue.len(), kept);
    assert_eq!(log.keys.len(), idle + kept);
    assert_eq!(log.keys.idle_count(), idle);
    assert_eq!(log.keys.trimmed_floor(), Offset::new(0, (200_000 - kept - idle) as u64));
}

#[test]
fn a_key_that_was_only_subscribed_to_leaves_nothing() {
    let mut log = new_log();
    for key in 0..1000 {
        let key_index = log.acquire(key).unwrap();
        log.release(key_index);
    }
    assert_eq!((log.keys.len(), log.keys.idle_count()), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "takes an hour when interpreted")]
fn an_evicted_key_has_no_known_id_below_the_floor() {
    let mut log = new_log();
    let first = append(&mut log, 0);
    for key in 1..200_000 {
        append(&mut log, key);
    }
    let evicted = KeySelection::One(log.acquire(0).unwrap());
    assert!(matches!(log.resume_outcome(&evicted, first), ResumeOutcome::Trimmed));
    let key = 200_000 - log.queue.len() as u64 - 10;
    let idle = KeySelection::One(log.acquire(key).unwrap());
    assert!(log.keys[log.keys.index_of(&key).unwrap()].is_empty());
    let id = log.id(Offset::new(0, key + 1));
    assert!(matches!(log.resume_outcome(&idle, id), ResumeOutcome::Known));
}

/// A message whose key is a number, repeated.
struct Long {
    number: usize,
    times: usize,
    retention: Retention,
}

impl Message for Long {
    type Key = String;
    const MEMORY: usize = 64 << 10;
    const CHANNEL: &'static str = "long";
    fn key(&self) -> String {
        self.number.to_string().repeat(self.times)
    }
    fn retention(&self) -> Retention {
        self.retention
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("x"))
    }
}

fn append_long(log: &mut Log<Long>, message: Long) -> Result<(), AppendError> {
    let (offset, key, kept_as) = (log.next(), message.key(), KeptAs::of(&message).unwrap());
    log.append(offset, key, Arc::new(message), Event::text("x"), &kept_as, 1).map(drop)
}

#[test]
fn a_key_counts_by_its_size_while_anything_is_remembered_of_it() {
    let mut log = Log::new(Limits::of::<Long>(), false);
    let message = |retention| Long { number: 7, times: 1000, retention };
    assert_eq!(log.bytes(), 0);
    // A reader alone.
    let key_index = log.acquire(message(Retention::Queue).key()).unwrap();
    assert_eq!(log.bytes(), 1002);
    // With messages, once.
    append_long(&mut log, message(Retention::Latest)).unwrap();
    append_long(&mut log, message(Retention::Queue)).unwrap();
    assert_eq!(log.bytes(), 1002 + 3 * ENTRY_OVERHEAD + 2);
    assert_eq!(log.kept_latest_bytes, 1002 + 2 * ENTRY_OVERHEAD + 1);
    log.forget(&message(Retention::Latest).key(), |_| true);
    assert_eq!((log.bytes(), log.kept_latest_bytes), (1002 + 2 * ENTRY_OVERHEAD + 1, 0));
    // Trimmed, without a reader.
    log.release(key_index);
    log.trim_oldest_of(key_index);
    log.keys.evict_if_idle(key_index, log.idle_bytes_max());
    assert_eq!((log.bytes(), log.keys.idle_count()), (1002 + ENTRY_OVERHEAD, 1));
    // A new epoch.
    log.reset(log.epoch, Offset::START);
    assert_eq!((log.bytes(), log.keys.idle_count(), log.keys.len()), (0, 0, 0));
}

#[test]
fn a_new_epoch_counts_the_keys_of_readers() {
    let mut log = Log::new(Limits::of::<Long>(), false);
    let message = |number| Long { number, times: 100, retention: Retention::Queue };
    let held = log.acquire(message(1).key()).unwrap();
    append_long(&mut log, message(1)).unwrap();
    append_long(&mut log, message(2)).unwrap();
    log.reset(log.epoch, Offset::START);
    assert_eq!((log.bytes(), log.keys.len()), (102, 1));
    log.release(held);
    assert_eq!((log.bytes(), log.keys.len()), (0, 0));
}

#[test]
fn a_key_that_is_too_long_is_not_remembered() {
    let mut log = Log::new(Limits::of::<Long>(), false);
    let message = |times| Long { number: 7, times, retention: Retention::Queue };
    assert!(matches!(append_long(&mut log, message(1023)), Err(AppendError::KeyTooLong { size: 1025 })));
    assert_eq!(log.acquire(message(1023).key()), None);
    assert_eq!(log.bytes(), 0);
    assert!(append_long(&mut log, message(1022)).is_ok());
}

#[test]
fn latest_values_leave_less_room_for_idle_keys_and_readers_trim_no_newest_message() {
    let mut log = Log::new(Limits::of::<Long>(), false);
    let message = |number, retention| Long { number, times: 200, retention };
    for number in 1000..1200 {
        append_long(&mut log, message(number, Retention::Queue)).unwrap();
    }
    let idle = log.keys.idle_count();
    assert!(idle > 10, "{idle}");
    let mut latest = 0;
    while append_long(&mut log, message(2000 + latest, Retention::Latest)).is_ok() {
        latest += 1;
        assert!(log.bytes() <= Long::MEMORY);
    }
    assert_eq!((log.keys.idle_count(), log.queue.len()), (0, 0));
    // A message that fits beside the `latest` values is kept, whatever readers hold.
    for _ in 0..4 {
        log.forget(&message(2000 + latest - 1, Retention::Latest).key(), |_| true);
        latest -= 1;
    }
    for number in 3000..3100 {
        log.acquire(message(number, Retention::Queue).key()).unwrap();
    }
    assert!(log.bytes() > Long::MEMORY);
    for number in 4000..4002 {
        append_long(&mut log, message(number, Retention::Queue)).unwrap();
        assert_eq!(log.queue.len(), 1);
    }
}

/// A key whose JSON does not tell it from others, although it must.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Redacted(u64);

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("redacted")
    }
}

struct Hidden(u64);

impl Message for Hidden {
    type Key = Redacted;
    const CHANNEL: &'static str = "hidden";
    fn key(&self) -> Redacted {
        Redacted(self.0)
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("x"))
    }
}

#[test]
fn where_two_keys_have_one_json_every_entry_is_decoded() {
    let mut log: Log<Hidden> = Log::new(Limits::of::<Hidden>(), true);
    let text = r#""redacted""#;
    let append = |log: &mut Log<Hidden>| log.append_undecoded(log.next(), text, b"1", 1).is_some();
    assert!(append(&mut log));
    let one = log.acquire(Redacted(1)).unwrap();
    assert!(!append(&mut log), "the key may be that of the reader");
    log.release(one);
    assert!(append(&mut log));
    let other = KeySelection::One(log.acquire(Redacted(2)).unwrap());
    assert_eq!(log.undecoded_of(&other, 9).len(), 2);
    assert!(!append(&mut log));
}
