//! Logs and counts what becomes of sent messages, and remembers the newest that was appended. An outage is two log
//! events, whatever the number of its messages.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::Offset;
use crate::metrics;

/// How many different reasons of one outage are logged.
const REASONS_MAX: usize = 8;

/// The state of one store's messages on their way out.
pub(crate) struct SendLog {
    channel: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest_appended: Offset,
    refusals: Refusals,
}

/// The refusals since the engine last accepted a message.
#[derive(Default)]
struct Refusals {
    reasons: Vec<String>,
    refused: u64,
    /// The messages without a waiting submit that were dropped.
    dropped: u64,
}

impl SendLog {
    pub(crate) fn new(channel: &'static str) -> Self {
        Self { channel, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the engine refuses messages, so many of which fail for it.
    pub(crate) fn record_refused(&self, reason: &str, messages: u64) {
        metrics::refused(self.channel, messages);
        let mut state = self.lock();
        let Refusals { reasons, refused, .. } = &mut state.refusals;
        *refused += messages;
        let is_new = reasons.len() < REASONS_MAX && !reasons.iter().any(|known| known == reason);
        if is_new {
            reasons.push(reason.to_owned());
        }
        drop(state);
        if is_new {
            tracing::warn!(target: "tornadose", channel = self.channel, reason, "messages refused");
        }
    }

    /// Records that a message was dropped for whose outcome nobody waits.
    pub(crate) fn record_dropped(&self, reason: &str) {
        metrics::dropped(self.channel);
        let mut state = self.lock();
        state.refusals.dropped += 1;
        let is_first = state.refusals.dropped == 1;
        drop(state);
        if is_first {
            tracing::warn!(target: "tornadose", channel = self.channel, reason, "messages dropped");
        }
    }

    /// Records that the engine has accepted a message, at this offset if it has one.
    pub(crate) fn record_accepted(&self, offset: Option<Offset>) {
        metrics::accepted(self.channel);
        let mut state = self.lock();
        state.newest_appended = offset.map_or(state.newest_appended, |offset| offset.max(state.newest_appended));
        if state.refusals.reasons.is_empty() && state.refusals.dropped == 0 {
            return;
        }
        let Refusals { refused, dropped, .. } = std::mem::take(&mut state.refusals);
        drop(state);
        tracing::info!(target: "tornadose", channel = self.channel, refused, dropped, "messages accepted again");
    }

    /// Returns the newest offset at which the engine has appended a message of this store.
    pub(crate) fn newest_appended(&self) -> Offset {
        self.lock().newest_appended
    }

    /// Forgets that offset: it is of an epoch that has ended.
    pub(crate) fn forget_appended(&self) {
        self.lock().newest_appended = Offset::START;
    }

    /// Records that the store has ended, and that no message will be accepted.
    pub(crate) fn record_end(&self) {
        let Refusals { dropped, .. } = std::mem::take(&mut self.lock().refusals);
        if dropped > 0 {
            tracing::warn!(target: "tornadose", channel = self.channel, dropped, "messages dropped at close");
        }
    }
}
