//! The ephemeral messages that a backend has read before the entries that they follow.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::incoming::IncomingEntry;
use crate::backend::link::BackendLink;
use crate::id::Offset;

/// How old a message may become while it waits. No reader gets an older one.
const AGE_MAX: Duration = Duration::from_secs(5);

/// How many messages wait at most. Beyond that the oldest are dropped.
const WAITING_MAX: usize = 1024;

/// An ephemeral message as the engine has it.
pub(crate) struct EphemeralEntry {
    /// The entry that it follows.
    pub(crate) follows: Offset,
    /// The sending process and the message's number there, if they are known.
    pub(crate) sender: Option<(String, u64)>,
    pub(crate) payload: Vec<u8>,
    /// How long ago the engine has taken it.
    pub(crate) age: Duration,
}

/// Ephemeral messages in the engine's order.
#[derive(Default)]
pub(crate) struct WaitingEphemerals(VecDeque<Waiting>);

struct Waiting {
    entry: EphemeralEntry,
    received_at: Instant,
}

impl WaitingEphemerals {
    /// Adds a message that was received now.
    pub(crate) fn push(&mut self, entry: EphemeralEntry) {
        if self.0.len() == WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Waiting { entry, received_at: Instant::now() });
    }

    /// Passes messages to the store, in order, as long as the entry that the next one follows was ingested: `last` is the
    /// newest that was. One that has become too old is dropped, so that none waits for an entry that never comes.
    pub(crate) fn pass_up_to(&mut self, last: Offset, link: &BackendLink) {
        while let Some(Waiting { entry, received_at }) = self.0.front() {
            let age = entry.age + received_at.elapsed();
            if age < AGE_MAX && entry.follows > last {
                return;
            }
            // The store drops one that is too old, and what it has kept of it.
            let sender = entry.sender.as_ref().map(|(sender_id, number)| (sender_id.as_str(), *number));
            link.ingest_ephemeral(IncomingEntry { payload: &entry.payload, sender, key: None, age });
            self.0.pop_front();
        }
    }

    /// Drops all messages: the entries that they follow are not of this log any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
