//! The bounds of what a log remembers of its keys.

use std::sync::Arc;

use super::{ENTRY_OVERHEAD, Log};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Id, Offset};
use crate::message::{Message, Retention};
use crate::store::limits::Limits;
use crate::store::log::cursor::ResumeOutcome;
use crate::store::log::key::KeySelection;
use crate::store::log::key_table::MAX_IDLE_KEYS;

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
    Log::new(Limits::of::<Note>())
}

fn append(log: &mut Log<Note>, key: u64) -> Id {
    let offset = log.next();
    log.append(offset, key, Arc::new(Note(key)), Event::text("x"), Retention::Queue, 1)
        .map(|appended| appended.entry.id)
        .unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "takes an hour when interpreted")]
fn a_flood_of_keys_is_remembered_up_to_a_bound() {
    let mut log = new_log();
    for key in 0..200_000 {
        append(&mut log, key);
        assert!(log.kept_bytes <= Note::MEMORY);
    }
    let kept = log.queue.len();
    assert_eq!(kept, Note::MEMORY / (2 * ENTRY_OVERHEAD + 1));
    assert_eq!(log.keys.len(), MAX_IDLE_KEYS + kept);
    assert_eq!(log.keys.idle_count(), MAX_IDLE_KEYS);
    assert_eq!(log.keys.trimmed_floor(), Offset::new(0, (200_000 - kept - MAX_IDLE_KEYS) as u64));
}

#[test]
fn a_key_that_was_only_subscribed_to_leaves_nothing() {
    let mut log = new_log();
    for key in 0..1000 {
        let key_index = log.acquire(&key);
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
    let evicted = KeySelection::One(log.acquire(&0));
    assert!(matches!(log.resume_outcome(&evicted, first), ResumeOutcome::Trimmed));
    let idle = KeySelection::One(log.acquire(&(200_000 - 1000)));
    let id = log.id(Offset::new(0, 200_000 - 999));
    assert!(matches!(log.resume_outcome(&idle, id), ResumeOutcome::Known));
}
