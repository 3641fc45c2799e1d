//! A model of the log: what was submitted, and what a store keeps of it.

use std::collections::{BTreeMap, BTreeSet};

use tornadose::{ENTRY_OVERHEAD, Store};

use super::{Note, ROOMS};

/// The room and the retention of a submitted note.
#[derive(Clone, Copy)]
pub(crate) struct Submitted {
    pub(crate) room: u8,
    pub(crate) latest: bool,
}

/// All submitted notes, by offset from 1.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) notes: Vec<Submitted>,
    /// The queue notes that the store keeps. `None` if reads and submits are concurrent.
    pub(crate) kept: Option<BTreeSet<u64>>,
}

impl History {
    pub(crate) fn at(&self, number: u64) -> Submitted {
        self.notes[usize::try_from(number).unwrap() - 1]
    }

    pub(crate) fn submit<const CAPACITY: usize, const MEMORY: usize>(
        &mut self,
        store: &Store<Note<CAPACITY, MEMORY>>,
        submitted: Submitted,
    ) {
        self.notes.push(submitted);
        let number = self.notes.len() as u64;
        store.try_submit(Note { number, submitted }).unwrap();
        let mut kept = self.kept.take().unwrap_or_default();
        if !submitted.latest {
            kept.insert(number);
        }
        let of_room = |number: &&u64| self.at(**number).room == submitted.room;
        if kept.iter().filter(of_room).count() > CAPACITY {
            let oldest = *kept.iter().find(of_room).unwrap();
            kept.remove(&oldest);
        }
        while self.bytes(&kept) > MEMORY {
            kept.pop_first();
        }
        self.kept = Some(kept);
    }

    /// Returns the bytes that the store counts: the event of each note, once more for each transport,
    /// each room with a note, and the digit of each room.
    fn bytes(&self, kept: &BTreeSet<u64>) -> usize {
        let held: BTreeSet<u64> = kept.iter().chain(self.topics().values()).copied().collect();
        let rooms: BTreeSet<u8> = held.iter().map(|number| self.at(*number).room).collect();
        let cost = |number: &u64| {
            let name = if self.at(*number).latest { "topic" } else { "said" };
            ENTRY_OVERHEAD + 3 * (name.len() + number.to_string().len())
        };
        usize::from(ROOMS) + rooms.len() * ENTRY_OVERHEAD + held.iter().map(cost).sum::<usize>()
    }

    /// Returns the newest topic of each room.
    pub(crate) fn topics(&self) -> BTreeMap<u8, u64> {
        (1..)
            .zip(&self.notes)
            .filter(|(_, submitted)| submitted.latest)
            .map(|(number, submitted)| (submitted.room, number))
            .collect()
    }

    pub(crate) fn is_kept(&self, number: u64) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.contains(&number))
    }

    pub(crate) fn head(&self) -> u64 {
        self.notes.len() as u64
    }
}

/// Returns the first numbers and their count.
pub(crate) fn summary(numbers: &[u64]) -> String {
    let few = &numbers[..numbers.len().min(8)];
    format!("{few:?}, {} in all", numbers.len())
}
