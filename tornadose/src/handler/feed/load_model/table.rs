//! A table in place of a database, whose rows are committed, and submitted later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::Chance;
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::message::{Message, Retention};
use crate::store::Store;

/// A row, whole. A row that is gone has its version too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) key: u64,
    pub(super) id: u64,
    pub(super) version: u64,
    pub(super) is_gone: bool,
}

impl Message for Row {
    type Key = u64;
    const CAPACITY: usize = 3;
    const CHANNEL: &'static str = "rows";
    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        // Of some rows the newest version alone is kept.
        if self.id == 0 { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

/// The rows of all keys. A clone shares them.
#[derive(Clone, Default)]
pub(super) struct Table(Arc<Mutex<BTreeMap<(u64, u64), Row>>>);

impl Table {
    /// Returns the rows of the keys that pass this test.
    pub(super) fn rows_of(&self, has: impl Fn(u64) -> bool) -> Vec<Row> {
        let rows = self.0.lock().unwrap();
        rows.values().filter(|row| !row.is_gone && has(row.key)).copied().collect()
    }

    fn commit(&self, row: Row) {
        self.0.lock().unwrap().insert((row.key, row.id), row);
    }

    fn version(&self, key: u64, id: u64) -> u64 {
        self.0.lock().unwrap().get(&(key, id)).map_or(0, |row| row.version)
    }
}

/// A program that changes a table.
pub(super) struct Changes {
    pub(super) store: Store<Row>,
    pub(super) table: Table,
    /// Rows that are committed and not yet submitted, or, with the fault, the reverse.
    pub(super) later: VecDeque<Row>,
    /// A fault: rows are submitted before they are committed.
    submits_first: bool,
}

impl Changes {
    pub(super) fn new(submits_first: bool) -> Self {
        Self { store: Store::new(), table: Table::default(), later: VecDeque::new(), submits_first }
    }

    /// Begins to change a row of one of so many keys.
    pub(super) fn begin(&mut self, chance: &mut Chance, keys: u64) {
        let (key, id) = (chance.below(keys), chance.below(3));
        let newest = self.later.iter().filter(|row| (row.key, row.id) == (key, id)).map(|row| row.version).max();
        let version = newest.unwrap_or(0).max(self.table.version(key, id)) + 1;
        let row = Row { key, id, version, is_gone: chance.below(5) == 0 };
        if self.submits_first {
            self.store.try_submit(row).unwrap();
        } else {
            self.table.commit(row);
        }
        self.later.push_back(row);
    }

    /// Completes the oldest change that was begun, if there is one.
    pub(super) fn complete(&mut self) -> bool {
        let Some(row) = self.later.pop_front() else { return false };
        if self.submits_first {
            self.table.commit(row);
        } else {
            self.store.try_submit(row).unwrap();
        }
        true
    }
}
