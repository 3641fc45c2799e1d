//! A client that watches keys, as `docs/protocol.md` tells it to behave, and what it must have received.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::Item;
use super::{Fault, Tried, count};
use crate::id::Id;

/// The messages of a key that a client has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    pub(super) last: Option<u64>,
    pub(super) value: u64,
    /// Whether a gap was reported since the last number.
    pub(super) has_gap: bool,
    pub(super) is_finished: bool,
    /// Whether a key was removed since, so that the finish may be gone.
    may_be_open: bool,
}

/// A key that a client has: what it has received, and what of it stays after a cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tracked {
    pub(super) now: Track,
    placed: Track,
    /// The highest number that may come first.
    pub(super) first_max: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Text {
    Watch(Vec<u64>, Option<String>),
    Unwatch(u64),
}

#[derive(Default)]
pub(super) struct Page {
    pub(super) fields: BTreeSet<u64>,
    /// Whether the server withholds every fourth message from it.
    pub(super) is_filtered: bool,
    pub(super) wanted: BTreeSet<u64>,
    pub(super) confirmed: BTreeSet<u64>,
    /// The state of each key that is not confirmed.
    since: BTreeMap<u64, Option<String>>,
    /// How many texts that end the watching of a key are not confirmed.
    pub(super) unwatching: BTreeMap<u64, u32>,
    pub(super) id: Option<String>,
    /// Whether the ids may begin again, because it was told so.
    may_go_back: bool,
    pub(super) tracks: BTreeMap<u64, Tracked>,
}

impl Page {
    pub(super) fn new(fields: BTreeSet<u64>, is_filtered: bool) -> Self {
        Self { fields, is_filtered, ..Self::default() }
    }

    /// Returns the first of these numbers, which ascend, that the server does not withhold.
    pub(super) fn first_visible(&self, mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
        numbers.find(|number| is_visible(self.is_filtered, *number))
    }

    fn is_unwatching(&self, key: u64) -> bool {
        self.unwatching.get(&key).is_some_and(|count| *count > 0)
    }

    /// Returns the keys that a position covers.
    fn covered(&self) -> Vec<u64> {
        self.fields.union(&self.confirmed).copied().collect()
    }

    pub(super) fn read(&mut self, frame: &Value, fault: Fault) {
        let (id, at) = (frame["id"].as_str(), frame["at"].as_str());
        assert!(id.is_none() || at.is_none());
        assert_eq!(at.is_some(), frame.get("key").is_some());
        let data = &frame["data"];
        match frame["event"].as_str() {
            None if data.is_null() => assert!(id.is_some()),
            None => self.read_item(serde_json::from_value(data.clone()).unwrap(), id.is_some(), at, fault),
            Some("tornadose:gap") => self.read_gap(data),
            Some("tornadose:finished") => self.read_finish(data["key"].as_u64().unwrap(), at, fault),
            Some("tornadose:watching") => {
                for key in keys_of(data) {
                    if !self.is_unwatching(key) && self.wanted.contains(&key) {
                        self.since.remove(&key);
                        self.confirmed.insert(key);
                        // The position stands before the confirmation.
                        self.place(key);
                    }
                }
            }
            Some("tornadose:unwatched") => {
                for key in keys_of(data) {
                    *self.unwatching.get_mut(&key).unwrap() -= 1;
                }
            }
            other => panic!("unexpected {other:?}"),
        }
        if let Some(id) = id {
            self.read_id(id, fault);
        }
    }

    fn read_id(&mut self, id: &str, fault: Fault) {
        let parsed = |id: &str| id.parse::<Id>().unwrap();
        let is_later = self.id.as_deref().is_none_or(|before| parsed(before) <= parsed(id));
        assert!(is_later || self.may_go_back || fault == Fault::AtIsId, "{:?}, then {id}", self.id);
        self.may_go_back = false;
        self.id = Some(id.to_owned());
        self.covered().into_iter().for_each(|key| self.place(key));
    }

    fn place(&mut self, key: u64) {
        let tracked = self.tracks.entry(key).or_default();
        tracked.placed = tracked.now;
    }

    fn read_item(&mut self, item: Item, has_id: bool, at: Option<&str>, fault: Fault) {
        let Item { key, number, is_value } = item;
        if self.is_unwatching(key) {
            return;
        }
        let (is_field, is_filtered) = (self.fields.contains(&key), self.is_filtered);
        assert!(is_field || self.wanted.contains(&key), "the key {key} is not watched");
        assert!(!has_id || is_field || self.confirmed.contains(&key), "an id before the confirmation of {key}");
        assert!(is_value || is_visible(is_filtered, number), "{number} of {key} is withheld");
        let tracked = self.tracks.entry(key).or_default();
        let track = &mut tracked.now;
        let may_follow = !track.is_finished || track.may_be_open || track.has_gap;
        assert!(may_follow, "{number} of {key} after its finish: {track:?}");
        if track.may_be_open || track.has_gap {
            (track.is_finished, track.may_be_open) = (false, false);
        }
        if is_value {
            assert!(number > track.value, "the value {number} of {key} after {track:?}");
            track.value = number;
        } else {
            let is_first_of = |from: u64| (from..=from + 1).find(|number| is_visible(is_filtered, *number));
            match track.last {
                Some(last) if track.has_gap => assert!(number > last, "{number} of {key} after {track:?}"),
                Some(last) => assert_eq!(Some(number), is_first_of(last + 1), "of {key} after {track:?}"),
                None if track.has_gap => {}
                None => {
                    let is_in_time = tracked.first_max.is_none_or(|max| Some(number) <= is_first_of(max));
                    assert!(is_in_time, "{number} of {key}: {tracked:?}");
                }
            }
            (track.last, track.has_gap) = (Some(number), false);
        }
        self.read_at(key, at, fault);
    }

    fn read_finish(&mut self, key: u64, at: Option<&str>, fault: Fault) {
        if self.is_unwatching(key) {
            return;
        }
        assert!(self.fields.contains(&key) || self.wanted.contains(&key), "the key {key} is not watched");
        count(Tried::Finish);
        let track = &mut self.tracks.entry(key).or_default().now;
        (track.is_finished, track.may_be_open) = (true, false);
        self.read_at(key, at, fault);
    }

    fn read_at(&mut self, key: u64, at: Option<&str>, fault: Fault) {
        let Some(at) = at else { return };
        assert!(!self.confirmed.contains(&key), "the past of {key} after its confirmation");
        count(Tried::Past);
        self.since.insert(key, Some(at.to_owned()));
        self.place(key);
        if fault == Fault::AtIsId {
            self.id = Some(at.to_owned());
        }
    }

    fn read_gap(&mut self, data: &Value) {
        let of_key = data["key"].as_u64();
        if of_key.is_some_and(|key| self.is_unwatching(key)) {
            return;
        }
        count(if of_key.is_some() { Tried::GapOfKey } else { Tried::Gap });
        let keys = of_key.map_or_else(|| self.covered(), |key| vec![key]);
        let reason = data["reason"].as_str().unwrap();
        self.may_go_back |= reason == "restarted" && data["key"].is_null();
        for key in keys {
            let Tracked { now: track, first_max, .. } = self.tracks.entry(key).or_default();
            if reason == "restarted" {
                // The page drops what it has, and gets all that is kept.
                (*track, *first_max) = (Track::default(), Some(1));
            }
            track.has_gap = true;
            track.may_be_open |= reason == "removed";
        }
    }

    pub(super) fn watch(&mut self, key: u64) -> Option<Text> {
        if self.fields.contains(&key) || !self.wanted.insert(key) {
            return None;
        }
        self.since.insert(key, None);
        self.tracks.insert(key, Tracked::default());
        Some(Text::Watch(vec![key], None))
    }

    pub(super) fn unwatch(&mut self, key: u64) -> Option<Text> {
        if !self.wanted.remove(&key) {
            return None;
        }
        self.since.remove(&key);
        self.confirmed.remove(&key);
        *self.unwatching.entry(key).or_default() += 1;
        Some(Text::Unwatch(key))
    }

    /// Returns the texts of a new connection.
    pub(super) fn open(&mut self, fault: Fault) -> Vec<Text> {
        for key in std::mem::take(&mut self.confirmed) {
            self.since.insert(key, self.id.clone());
        }
        if fault == Fault::SinceIsId && self.id.is_some() {
            self.since.values_mut().for_each(|since| *since = self.id.clone());
        }
        if fault == Fault::SinceForgotten {
            self.since.values_mut().for_each(|since| *since = None);
        }
        self.unwatching.clear();
        let mut groups: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        for (key, since) in &self.since {
            groups.entry(since.clone()).or_default().push(*key);
        }
        groups.into_iter().map(|(since, keys)| Text::Watch(keys, since)).collect()
    }

    /// Forgets what may come again after a cut.
    pub(super) fn lose(&mut self) {
        self.may_go_back = true;
        for tracked in self.tracks.values_mut() {
            tracked.now = tracked.placed;
            tracked.first_max = None;
        }
    }
}

pub(super) fn is_visible(is_filtered: bool, number: u64) -> bool {
    !is_filtered || !number.is_multiple_of(4)
}

fn keys_of(data: &Value) -> Vec<u64> {
    serde_json::from_value(data["keys"].clone()).unwrap()
}
