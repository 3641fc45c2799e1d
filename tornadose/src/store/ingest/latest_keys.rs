//! The keys and slots with `latest` values, by the texts under which backends know them.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;

use serde::de::IgnoredAny;

use crate::store::key_json::split_slot;

pub(super) struct LatestKeys<K> {
    by_text: HashMap<String, LatestKey<K>>,
}

struct LatestKey<K> {
    key: K,
    /// The places of its values, each with the text of the key. In order, so that a forget has the same effect each time.
    places: BTreeSet<String>,
}

/// What a request to forget names.
pub(super) struct Forgotten<K> {
    pub(super) key: K,
    /// The slot, unless it is the whole key.
    pub(super) slot: Option<String>,
    /// The places that had values.
    pub(super) places: Vec<String>,
}

impl<K: Clone + Debug> LatestKeys<K> {
    pub(super) fn new() -> Self {
        Self { by_text: HashMap::new() }
    }

    /// Remembers the place of a value, so that it can be forgotten by the text of its key.
    pub(super) fn record(&mut self, key_text: String, place: &str, key: K) {
        let latest_key = self.by_text.entry(key_text).or_insert_with(|| LatestKey { key, places: BTreeSet::new() });
        if !latest_key.places.contains(place) {
            latest_key.places.insert(place.to_owned());
        }
    }

    /// Removes a key by its text, or the place of one value. Processes of an earlier version know keys by their `Debug`
    /// text, which is accepted when it is not JSON and only one key has it.
    pub(super) fn forget(&mut self, text: &str) -> Option<Forgotten<K>> {
        if let Some(known) = self.by_text.remove(text) {
            return Some(known.into());
        }
        if let Some((key_text, slot)) = split_slot(text) {
            let known = self.by_text.get_mut(key_text)?;
            let places = known.places.take(text).into_iter().collect();
            let forgotten = Forgotten { key: known.key.clone(), slot: Some(slot.to_owned()), places };
            if known.places.is_empty() {
                self.by_text.remove(key_text);
            }
            return Some(forgotten);
        }
        if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            return None;
        }
        let mut named = self.by_text.iter().filter(|(_, known)| format!("{:?}", known.key) == text);
        let (text, None) = (named.next()?.0.clone(), named.next()) else { return None };
        self.by_text.remove(&text).map(Forgotten::from)
    }

    /// Removes the place of one value. Returns its key if that has no other value.
    pub(super) fn forget_place(&mut self, place: &str) -> Option<K> {
        let key_text = split_slot(place).map_or(place, |(key_text, _)| key_text);
        let known = self.by_text.get_mut(key_text)?;
        known.places.remove(place);
        if known.places.is_empty() { self.by_text.remove(key_text).map(|known| known.key) } else { None }
    }

    /// Removes the places that are not kept. Returns each with its key and the text of that.
    pub(super) fn retain(&mut self, is_kept: &dyn Fn(&str) -> bool) -> Vec<(K, String, String)> {
        let mut dropped = Vec::new();
        self.by_text.retain(|text, LatestKey { key, places }| {
            places.retain(|place| {
                let is_kept = is_kept(place);
                if !is_kept {
                    dropped.push((key.clone(), text.clone(), place.clone()));
                }
                is_kept
            });
            !places.is_empty()
        });
        dropped
    }
}

impl<K> From<LatestKey<K>> for Forgotten<K> {
    fn from(LatestKey { key, places }: LatestKey<K>) -> Self {
        Self { key, slot: None, places: places.into_iter().collect() }
    }
}
