//! What a reader is promised about the values that have expired.

use std::collections::HashMap;
#[cfg(test)]
use std::time::Duration;

use crate::id::Id;
use crate::simulation::checker::record::{ItemKind, ReaderRecord, Record};
use crate::simulation::checker::rules::{EARLY, Found, GONE, KEPT, RENEWED};

/// The place of a value: its key, and the name of its event.
type Place = (String, Option<String>);

/// Finds the end of a value that came too early, or for a value that was not the newest in its place; a value that
/// came after its end; and a value that never ended.
pub(super) fn find_wrong(record: &Record, reader: &ReaderRecord) -> Option<Found> {
    // The value and the id that the reader holds in each place, and the values that have ended.
    let (mut held, mut ended): (HashMap<Place, (usize, Id)>, HashMap<usize, Id>) = (HashMap::new(), HashMap::new());
    for item in &reader.items {
        match item.kind {
            ItemKind::Message { message, id, .. } => {
                let description = &record.messages[message].description;
                if !description.is_latest {
                    continue;
                }
                // A message that was appended twice has two ids.
                if ended.get(&message).is_some_and(|end| id < *end && id.epoch == end.epoch) {
                    return Some((GONE, vec![message]));
                }
                held.insert(place_of(record, message), (message, id));
            }
            ItemKind::Expired { message, value, id, .. } => {
                let description = &record.messages[message].description;
                let age = record.messages[message].submitted.map(|at| record.time_of(item.at) - record.time_of(at));
                if age.zip(description.ttl).is_some_and(|(age, ttl)| age < ttl) {
                    return Some((EARLY, vec![message]));
                }
                let newer = held.get(&place_of(record, message)).filter(|(other, _)| *other != message);
                if let Some((other, _)) = newer.filter(|(_, newer)| is_between(*newer, value, id)) {
                    return Some((RENEWED, vec![message, *other]));
                }
                held.remove(&place_of(record, message));
                ended.insert(message, id);
            }
            ItemKind::Gap(_) => {
                held.clear();
                ended.clear();
            }
            // Messages without ids may come again.
            ItemKind::Resumed => ended.clear(),
            ItemKind::Position(_) | ItemKind::Finished { .. } | ItemKind::Ephemeral { .. } => {}
        }
    }
    find_kept(record, reader, &held)
}

/// Returns the first value whose end is sooner after its own id than its ttl says.
#[cfg(test)]
pub(super) fn find_early(record: &Record) -> Option<String> {
    for item in record.readers.iter().flat_map(|reader| &reader.items) {
        let ItemKind::Expired { message, value, id, .. } = item.kind else { continue };
        let age = id.offset.major().saturating_sub(value.offset.major());
        let is_early = |ttl: Duration| value.epoch == id.epoch && u128::from(age) < ttl.as_millis();
        if record.messages[message].description.ttl.is_some_and(is_early) {
            return Some(record.transcript(&[message], &[]));
        }
    }
    None
}

/// Finds a value that the reader holds, although it has expired for another reader.
fn find_kept(record: &Record, reader: &ReaderRecord, held: &HashMap<Place, (usize, Id)>) -> Option<Found> {
    if reader.is_ended || reader.finish.is_some() {
        return None;
    }
    let mut kept: Vec<usize> = held.values().map(|(message, _)| *message).collect();
    kept.sort_unstable();
    let has_expired = |message: &usize| {
        let told = |other: &ReaderRecord| {
            other
                .items
                .iter()
                .any(|item| matches!(item.kind, ItemKind::Expired { message: told, .. } if told == *message))
        };
        let description = &record.messages[*message].description;
        let is_dropped = record.forgotten.contains(&description.key) || record.removed.contains(&description.key);
        let is_finished = record.finished.contains(&description.key);
        !record.messages[*message].is_excused && !is_dropped && !is_finished && record.readers.iter().any(told)
    };
    kept.into_iter().find(has_expired).map(|message| (KEPT, vec![message]))
}

/// Returns whether a value was appended after another, and before that one ended.
fn is_between(newer: Id, ended: Id, end: Id) -> bool {
    newer.epoch == ended.epoch && newer.epoch == end.epoch && ended < newer && newer < end
}

fn place_of(record: &Record, message: usize) -> Place {
    let description = &record.messages[message].description;
    (description.key.clone(), description.event_name.clone())
}
