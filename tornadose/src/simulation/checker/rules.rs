//! The promises, each as a search through what was recorded.

mod expiries;
mod ephemeral;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::id::{Epoch, Id, Offset};
use crate::simulation::checker::record::{Answer, Item, ItemKind, MessageRecord, ReaderRecord, Record};
use crate::store::gap::GapReason;

/// A promise that was not kept, and what it is about.
pub(super) struct Finding {
    pub(super) promise: &'static str,
    pub(super) messages: Vec<usize>,
    pub(super) readers: Vec<usize>,
}

const ONCE: &str = "a reader received a message twice, without a gap `restarted` in between";
const IN_ORDER: &str = "a reader received a message after one that is newer in the same epoch";
const ONE_ID: &str = "two readers received different messages under one id";
pub(super) const REJECTED: &str = "a message that was rejected was received";
const LAST: &str = "a reader received a message of a key that is finished, and no gap in between";
const ONE_FINISH: &str = "two readers were told different finishes of a key";
const EARLY: &str = "a reader was told that a value has expired before its time";
const RENEWED: &str = "a reader was told that a value has expired which had a newer one in its place";
const GONE: &str = "a reader received a value after it was told that it has expired, and no gap in between";
const KEPT: &str = "a reader was not told that a value has expired, nor sent a gap or another value in its place";
const CONTIGUOUS: &str = "a reader was not sent a message between two others, nor a gap";
const DELIVERED: &str = "a message that was taken did not reach a reader, and the reader was not sent a gap";

/// Returns a value that has expired sooner than it should by the clock of the simulated engine, whose offsets are times.
#[cfg(test)]
pub(crate) fn find_early_expiry(record: &Record) -> Option<String> {
    expiries::find_early(record)
}

pub(super) fn find_violation(record: &Record) -> Option<Finding> {
    let known = match Known::of(record) {
        Ok(known) => known,
        Err(finding) => return Some(finding),
    };
    if let Some(finding) = find_other_finish(record) {
        return Some(finding);
    }
    for (index, reader) in record.readers.iter().enumerate() {
        let found = find_repeated(record, reader)
            .or_else(|| find_disordered(record, reader))
            .or_else(|| find_after_finish(record, reader))
            .or_else(|| expiries::find_wrong(record, reader))
            .or_else(|| ephemeral::find_violation(record, reader))
            .or_else(|| find_skipped(record, &known, reader))
            .or_else(|| find_undelivered(record, &known, reader));
        if let Some((promise, messages)) = found {
            return Some(Finding { promise, messages, readers: vec![index] });
        }
    }
    None
}

type Found = (&'static str, Vec<usize>);

/// The ids under which messages were received, by any reader.
struct Known {
    by_id: HashMap<Epoch, BTreeMap<Offset, usize>>,
    ids: HashMap<usize, Id>,
}

impl Known {
    fn of(record: &Record) -> Result<Self, Finding> {
        let mut known = Self { by_id: HashMap::new(), ids: HashMap::new() };
        for (index, reader) in record.readers.iter().enumerate() {
            for item in &reader.items {
                let ItemKind::Message { message, id, .. } = item.kind else { continue };
                if matches!(record.messages[message].answer, Some(Answer::Rejected(_))) {
                    return Err(Finding { promise: REJECTED, messages: vec![message], readers: vec![index] });
                }
                known.ids.entry(message).or_insert(id);
                let other = *known.by_id.entry(id.epoch).or_default().entry(id.offset).or_insert(message);
                if other != message {
                    return Err(Finding { promise: ONE_ID, messages: vec![message, other], readers: vec![index] });
                }
            }
        }
        Ok(known)
    }
}

fn find_repeated(record: &Record, reader: &ReaderRecord) -> Option<Found> {
    // The id of each message, and whether entries were trimmed since.
    let (mut seen, mut without_id) = (HashMap::new(), Vec::new());
    for item in &reader.items {
        match item.kind {
            ItemKind::Message { message, id, with_id } => {
                // Where the first of two copies was trimmed unread, the second is new.
                let is_copy = |(first, is_trimmed): (Id, bool)| is_trimmed && first != id;
                if seen.insert(message, (id, false)).is_some_and(|first| !is_copy(first)) {
                    return Some((ONCE, vec![message]));
                }
                if with_id {
                    without_id.clear();
                } else {
                    without_id.push(message);
                }
            }
            ItemKind::Position(_)
            | ItemKind::Finished { with_id: true, .. }
            | ItemKind::Expired { with_id: true, .. } => without_id.clear(),
            ItemKind::Finished { .. } | ItemKind::Expired { .. } | ItemKind::Ephemeral { .. } => {}
            ItemKind::Gap(GapReason::Restarted) => seen.clear(),
            ItemKind::Gap(reason) => {
                // A gap is followed by the newest values.
                seen.retain(|message, _| !record.messages[*message].description.is_latest);
                for (_, is_trimmed) in seen.values_mut() {
                    *is_trimmed |= reason == GapReason::Trimmed;
                }
            }
            // Messages without ids may come again.
            ItemKind::Resumed => {
                for message in without_id.drain(..) {
                    seen.remove(&message);
                }
            }
        }
    }
    None
}

fn find_disordered(record: &Record, reader: &ReaderRecord) -> Option<Found> {
    let (mut last, mut position): (Option<Id>, Option<Id>) = (None, None);
    // A gap may be followed by all values that are kept, without ids.
    let mut is_after_gap = false;
    for item in &reader.items {
        match item.kind {
            ItemKind::Message { message, with_id: false, .. }
                if is_after_gap && record.messages[message].description.is_latest => {}
            ItemKind::Message { message, id, with_id } => {
                is_after_gap &= !with_id;
                if last.is_some_and(|last| id <= last) {
                    return Some((IN_ORDER, vec![message]));
                }
                last = Some(id);
                if with_id {
                    position = Some(id);
                }
            }
            ItemKind::Position(id)
            | ItemKind::Finished { id, with_id: true, .. }
            | ItemKind::Expired { id, with_id: true, .. } => position = Some(id),
            ItemKind::Gap(GapReason::Restarted) => last = None,
            ItemKind::Gap(_) => is_after_gap = true,
            ItemKind::Finished { .. } | ItemKind::Expired { .. } | ItemKind::Ephemeral { .. } => {}
            ItemKind::Resumed => last = position,
        }
    }
    None
}

/// Finds a message of a key that the reader was told is finished. A gap may stand for the removal of the key.
fn find_after_finish(record: &Record, reader: &ReaderRecord) -> Option<Found> {
    let mut finished = HashSet::new();
    for item in &reader.items {
        match item.kind {
            ItemKind::Message { message, .. } | ItemKind::Ephemeral { message, .. } => {
                if finished.contains(&record.messages[message].description.key) {
                    return Some((LAST, vec![message]));
                }
            }
            ItemKind::Finished { key, .. } => drop(finished.insert(record.finished[key].clone())),
            // Messages without ids may come again.
            ItemKind::Gap(_) | ItemKind::Resumed => finished.clear(),
            ItemKind::Position(_) | ItemKind::Expired { .. } => {}
        }
    }
    None
}

/// Finds two finishes of a key that was not removed, in one epoch.
fn find_other_finish(record: &Record) -> Option<Finding> {
    let mut finishes = HashMap::new();
    for (index, reader) in record.readers.iter().enumerate() {
        for item in &reader.items {
            let ItemKind::Finished { key, id, .. } = item.kind else { continue };
            let (first, other) = *finishes.entry((key, id.epoch)).or_insert((id, index));
            if first != id && !record.removed.contains(&record.finished[key]) {
                return Some(Finding { promise: ONE_FINISH, messages: Vec::new(), readers: vec![index, other] });
            }
        }
    }
    None
}

/// Finds a queue message of the reader's keys that another reader received, between two ids of this reader.
fn find_skipped(record: &Record, known: &Known, reader: &ReaderRecord) -> Option<Found> {
    // The id up to which everything was received. Nothing is known after a gap, until a message has come: the position
    // that follows a gap may lie before it, so that a resume from there is told of the gap again.
    let (mut complete, mut is_after_gap): (Option<Id>, bool) = (None, false);
    let mut received = HashSet::new();
    for item in &reader.items {
        let (id, next) = match item.kind {
            ItemKind::Message { message, id, with_id } => {
                received.insert(message);
                is_after_gap &= !with_id;
                (id, with_id.then_some(id))
            }
            ItemKind::Position(id) => (id, (!is_after_gap).then_some(id)),
            ItemKind::Finished { id, with_id, .. } | ItemKind::Expired { id, with_id, .. } => {
                (id, (with_id && !is_after_gap).then_some(id))
            }
            ItemKind::Gap(_) => {
                (complete, is_after_gap) = (None, true);
                continue;
            }
            ItemKind::Resumed | ItemKind::Ephemeral { .. } => continue,
        };
        if let (Some(complete), Some(by_offset)) = (complete, known.by_id.get(&id.epoch))
            && complete.epoch == id.epoch
            && complete.offset < id.offset
        {
            let between = by_offset.range(complete.offset.next()..id.offset).map(|(_, message)| *message);
            let is_skipped = |message: &usize| {
                let MessageRecord { description, submitted, is_excused, .. } = &record.messages[*message];
                // A message that was appended twice has two ids. The first may have been before the reader was there.
                let is_later = submitted.is_none_or(|submitted| submitted > reader.opened);
                is_later
                    && !is_excused
                    && !description.is_latest
                    && !record.removed.contains(&description.key)
                    && reader.reads(description)
                    && !received.contains(message)
            };
            // A rollback that is noticed later is reported later.
            if let Some(message) = between.into_iter().find(is_skipped).filter(|_| !reader.has_restart_after(item.at)) {
                return Some((CONTIGUOUS, vec![message]));
            }
        }
        complete = next.or(complete);
    }
    None
}

/// Finds a message that was taken while the reader was there, and neither reached it nor was reported.
fn find_undelivered(record: &Record, known: &Known, reader: &ReaderRecord) -> Option<Found> {
    if reader.is_ended {
        return None;
    }
    let received: HashSet<usize> = reader.items.iter().filter_map(|item| message_of(item.kind)).collect();
    for (index, message) in record.messages.iter().enumerate() {
        let Some(submitted) = message.submitted.filter(|submitted| *submitted > reader.opened) else { continue };
        let is_removed = record.removed.contains(&message.description.key);
        let is_owed = !message.description.is_ephemeral && !message.is_excused;
        if !is_owed || is_removed || received.contains(&index) || !reader.reads(&message.description) {
            continue;
        }
        let id = match &message.answer {
            Some(Answer::Acknowledged(id)) => Some(*id),
            Some(Answer::HandedOff(is_open)) if is_open() => known.ids.get(&index).copied(),
            _ => continue,
        };
        if reader.finish.is_some_and(|finish| id.is_none_or(|id| id > finish || id.epoch != finish.epoch)) {
            continue;
        }
        // The end of a value may stand behind the finish, where the reader has ended.
        let ends_before = message.description.ttl.is_some() && reader.finish.is_some();
        let is_reported = if message.description.is_latest {
            ends_before || is_superseded(record, reader, message, submitted) || reader.has_gap_after(submitted)
        } else {
            // The processes that were there have lost the first copy.
            reader.is_told(submitted, id)
                || message.first_copy.is_some_and(|first| reader.is_told(submitted, Some(first)))
        };
        if !is_reported {
            return Some((DELIVERED, vec![index]));
        }
    }
    None
}

fn message_of(kind: ItemKind) -> Option<usize> {
    match kind {
        ItemKind::Message { message, .. } => Some(message),
        ItemKind::Ephemeral { .. }
        | ItemKind::Gap(_)
        | ItemKind::Position(_)
        | ItemKind::Finished { .. }
        | ItemKind::Expired { .. }
        | ItemKind::Resumed => None,
    }
}

/// Returns whether the reader has received another value in the place of this one since it was submitted, or the key was
/// forgotten. A value that was appended twice may be older than its second id says.
fn is_superseded(record: &Record, reader: &ReaderRecord, message: &MessageRecord, submitted: usize) -> bool {
    let slot = |message: &MessageRecord| (message.description.key.clone(), message.description.event_name.clone());
    // The end of a value stands for those before it.
    let value_of = |kind| match kind {
        ItemKind::Expired { message, .. } => Some(message),
        _ => message_of(kind),
    };
    let is_in_its_place = |item: &Item| {
        item.at > submitted
            && value_of(item.kind)
                .map(|other| &record.messages[other])
                .is_some_and(|other| other.description.is_latest && slot(other) == slot(message))
    };
    record.forgotten.contains(&message.description.key) || reader.items.iter().any(is_in_its_place)
}

impl ReaderRecord {
    fn has_gap_after(&self, moment: usize) -> bool {
        self.items.iter().any(|item| item.at > moment && matches!(item.kind, ItemKind::Gap(_)))
    }

    fn has_restart_after(&self, moment: usize) -> bool {
        self.items.iter().any(|item| item.at > moment && item.kind == ItemKind::Gap(GapReason::Restarted))
    }

    /// Returns whether a gap stands in the place of a message that was submitted at this moment.
    fn is_told(&self, submitted: usize, id: Option<Id>) -> bool {
        if self.has_restart_after(submitted) {
            return true;
        }
        let Some(id) = id else { return self.has_gap_after(submitted) };
        // Whether there was a gap since the newest message below the id.
        let mut is_reported = false;
        for item in &self.items {
            match item.kind {
                ItemKind::Message { id: other, with_id: true, .. }
                | ItemKind::Finished { id: other, with_id: true, .. }
                | ItemKind::Expired { id: other, with_id: true, .. }
                | ItemKind::Position(other)
                    if other.epoch == id.epoch && other.offset >= id.offset =>
                {
                    return is_reported;
                }
                // What follows a gap without an id is what was kept, of both sides of the loss.
                ItemKind::Message { id: other, with_id: true, .. } if other.epoch == id.epoch => is_reported = false,
                ItemKind::Gap(_) => is_reported = true,
                ItemKind::Message { .. }
                | ItemKind::Ephemeral { .. }
                | ItemKind::Finished { .. }
                | ItemKind::Expired { .. }
                | ItemKind::Position(_)
                | ItemKind::Resumed => {}
            }
        }
        is_reported
    }
}
