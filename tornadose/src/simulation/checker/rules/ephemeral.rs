//! What is promised of ephemeral messages. They may be lost.

use std::collections::HashSet;
use std::time::Duration;

use crate::id::Id;
use crate::simulation::checker::record::{Answer, ItemKind, ReaderRecord, Record};
use crate::simulation::checker::rules::{Found, REJECTED};

/// How long after its submit an ephemeral message is received at the latest: 5 s on its way to the engine, the time-out of
/// a request, and 5 s from there on.
const AGE_MAX: Duration = Duration::from_secs(15);

const ONCE: &str = "a reader received an ephemeral message twice, and had not resumed in between";
const FOLLOWS: &str = "a reader received an ephemeral message before one that was acknowledged when it was submitted";
const IN_ORDER: &str = "a reader received an ephemeral message after one that was submitted when it was taken";
const OLD: &str = "a reader received an ephemeral message that was too old";

/// Finds an ephemeral message that a reader received and should not have, then.
pub(super) fn find_violation(record: &Record, reader: &ReaderRecord) -> Option<Found> {
    let (mut seen, mut last): (HashSet<usize>, Option<Id>) = (HashSet::new(), None);
    // When the newest of the received ones was submitted.
    let mut newest = 0;
    for item in &reader.items {
        let (message, id) = match item.kind {
            ItemKind::Ephemeral { message, id } => (message, id),
            ItemKind::Message { id, .. } => {
                last = Some(id);
                continue;
            }
            ItemKind::Resumed => {
                // Another process may receive it later than this one did.
                (last, newest) = (None, 0);
                seen.clear();
                continue;
            }
            _ => continue,
        };
        let of = &record.messages[message];
        if matches!(of.answer, Some(Answer::Rejected(_))) {
            return Some((REJECTED, vec![message]));
        }
        if !seen.insert(message) {
            return Some((ONCE, vec![message]));
        }
        let is_before = |other: Id| id.epoch == other.epoch && id.offset < other.offset;
        // One that was taken twice may come by its first copy, and its answer is that of the second.
        if acknowledged_before(record, of.submitted).chain(last).any(is_before) {
            return Some((FOLLOWS, vec![message]));
        }
        // One that was taken twice may come by its second copy.
        if matches!((&of.answer, of.answered), (Some(Answer::Acknowledged(_)), Some(answered)) if answered < newest) {
            return Some((IN_ORDER, vec![message]));
        }
        let Some(submitted) = of.submitted else { continue };
        newest = newest.max(submitted);
        if record.time_between(submitted, item.at) > AGE_MAX {
            return Some((OLD, vec![message]));
        }
    }
    None
}

/// Returns the ids of the messages of the log that were acknowledged before a time.
fn acknowledged_before(record: &Record, time: Option<usize>) -> impl Iterator<Item = Id> {
    let messages = record.messages.iter().filter(|message| !message.description.is_ephemeral);
    messages.filter_map(move |message| match (&message.answer, message.answered) {
        (Some(Answer::Acknowledged(id)), Some(answered)) if time.is_some_and(|time| answered < time) => Some(*id),
        _ => None,
    })
}
