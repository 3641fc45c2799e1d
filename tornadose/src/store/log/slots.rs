//! The `latest` values of each key by their slots, for types whose messages have slots. A key may have thousands.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::Offset;

#[derive(Default)]
pub(super) struct SlotIndex {
    /// By the index of the key.
    keys: HashMap<usize, SlotsOfKey>,
    /// The slots of all values that have one.
    slots: HashMap<Offset, Arc<str>>,
}

#[derive(Default)]
struct SlotsOfKey {
    by_slot: HashMap<Arc<str>, Offset>,
    /// The values without a slot: one of each variant.
    others: Vec<Offset>,
}

impl SlotIndex {
    pub(super) fn insert(&mut self, key_index: usize, slot: Option<&Arc<str>>, offset: Offset) {
        let of_key = self.keys.entry(key_index).or_default();
        match slot {
            Some(slot) => {
                of_key.by_slot.insert(Arc::clone(slot), offset);
                self.slots.insert(offset, Arc::clone(slot));
            }
            None => of_key.others.push(offset),
        }
    }

    pub(super) fn remove(&mut self, key_index: usize, offset: Offset) {
        let Some(of_key) = self.keys.get_mut(&key_index) else { return };
        match self.slots.remove(&offset) {
            Some(slot) => drop(of_key.by_slot.remove(&slot)),
            None => of_key.others.retain(|other| *other != offset),
        }
        if of_key.by_slot.is_empty() && of_key.others.is_empty() {
            self.keys.remove(&key_index);
        }
    }

    /// Returns the offset of the value in a slot of a key.
    pub(super) fn find(&self, key_index: usize, slot: &str) -> Option<Offset> {
        self.keys.get(&key_index)?.by_slot.get(slot).copied()
    }

    /// Returns the slot of the value at an offset.
    pub(super) fn slot_of(&self, offset: Offset) -> Option<Arc<str>> {
        self.slots.get(&offset).cloned()
    }

    /// Returns the offsets of a key's values without a slot.
    pub(super) fn others(&self, key_index: usize) -> &[Offset] {
        self.keys.get(&key_index).map_or(&[], |of_key| &of_key.others)
    }

    pub(super) fn clear(&mut self) {
        (self.keys, self.slots) = (HashMap::new(), HashMap::new());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let of_keys = self.keys.values().map(|of_key| of_key.by_slot.len()).sum::<usize>();
        assert_eq!(of_keys, self.slots.len());
        of_keys + self.keys.values().map(|of_key| of_key.others.len()).sum::<usize>()
    }
}
