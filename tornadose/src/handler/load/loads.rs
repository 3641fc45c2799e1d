//! What is known of the loads of one connection: whether one is due, how far it is, and when the next may start.

use std::time::Duration;
use std::vec;

use tokio::time::Instant;

use crate::id::Id;
use crate::message::Message;
use crate::store::reader::Reader;
use crate::store::reader::loading::Placement;

/// The longest time between the starts of two loads, of which the first was in vain.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How far a load is.
pub(crate) enum LoadPhase<M> {
    /// Whether one is due is not decided: the reader may still go on after its client's id.
    Undecided,
    /// None is due: messages are read from the log.
    Done,
    /// One is due, and has not started.
    Due,
    /// The hook runs, or waits for its turn.
    Running,
    /// The hook has returned. What it loaded is dropped if a message was trimmed that was submitted after it started.
    Loaded(Loaded<M>),
    /// The rest of these messages is to be written.
    Writing(vec::IntoIter<M>),
}

/// The messages that a hook has returned.
pub(crate) struct Loaded<M> {
    pub(crate) messages: Vec<M>,
    /// When it started, and the head of the log then. A program that first commits and then submits has committed whatever
    /// the log had, so the hook has loaded it.
    pub(crate) started_at: Instant,
    pub(crate) head_at_start: Id,
}

/// The state of the loads of one connection.
pub(crate) struct Loads<M> {
    pub(crate) phase: LoadPhase<M>,
    /// When the hook last started.
    last_start: Option<Instant>,
    /// How many loads have started since the reader was last at the head.
    starts: u32,
    /// Whether the client may have an id.
    has_id: bool,
    /// Whether the client was sent an id that no log knows, for the load that is due.
    pub(crate) has_unknown_id: bool,
    /// How many queue messages follow what is loaded.
    pub(crate) replay: usize,
    /// A text that the client sent while the hook runs.
    held_text: Option<String>,
}

impl<M: Message> Loads<M> {
    /// Returns what a connection begins with.
    pub(crate) fn new(reader: &Reader<M>, replay: usize) -> Self {
        let phase = match reader.placement() {
            Placement::AfterId => LoadPhase::Done,
            Placement::WithKeptState => LoadPhase::Due,
            Placement::Waits | Placement::Ended(_) => LoadPhase::Undecided,
        };
        let has_id = reader.resume_outcome().is_some();
        Self { phase, last_start: None, starts: 0, has_id, has_unknown_id: false, replay, held_text: None }
    }
}

impl<M> Loads<M> {
    /// Records that the connection begins without a key, so that nothing is loaded yet.
    pub(crate) fn begin_without_keys(&mut self) {
        (self.phase, self.has_id) = (LoadPhase::Done, true);
    }

    /// Returns whether messages of the log have to wait.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.phase, LoadPhase::Done)
    }

    /// Records that the hook starts.
    pub(crate) fn record_start(&mut self, at: Instant) {
        self.last_start = Some(at);
        self.starts = self.starts.saturating_add(1);
    }

    /// Records that the reader has read everything, so that the last load was not in vain.
    pub(crate) fn record_at_head(&mut self) {
        self.starts = 0;
    }

    /// Records that the client has asked for keys, whose first load does not wait.
    pub(crate) fn record_request(&mut self) {
        self.starts = 0;
    }

    /// Returns when the next load may start: the first and the second at once, each further one later than the one before
    /// it.
    pub(crate) fn next_start(&self) -> Option<Instant> {
        let wait = Duration::from_secs(1 << self.starts.checked_sub(2)?.min(5)).min(MAX_WAIT);
        Some(self.last_start? + wait)
    }

    /// Records that what was loaded is written. Returns whether the client may have an id from before.
    pub(crate) fn record_reset(&mut self) -> bool {
        std::mem::replace(&mut self.has_id, true)
    }

    /// Keeps a text of the client until messages are read from the log again. A text that need not wait is returned.
    pub(crate) fn hold_text(&mut self, text: String) -> Option<String> {
        if !self.is_open() {
            return Some(text);
        }
        self.held_text = Some(text);
        None
    }

    /// Returns whether a text waits, before which no other is received.
    pub(crate) fn holds_text(&self) -> bool {
        self.held_text.is_some()
    }

    /// Takes the text that waits, once it need not.
    pub(crate) fn take_text(&mut self) -> Option<String> {
        if self.is_open() { None } else { self.held_text.take() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_in_vain_are_spread_over_longer_and_longer_times() {
        let mut loads = Loads::<()> {
            phase: LoadPhase::Due,
            last_start: None,
            starts: 0,
            has_id: false,
            has_unknown_id: false,
            replay: 0,
            held_text: None,
        };
        let started = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(loads.next_start().map_or(0, |at| (at - started).as_secs()));
            loads.record_start(started);
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        loads.record_at_head();
        assert_eq!(loads.next_start(), None);
    }
}
