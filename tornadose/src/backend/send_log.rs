//! Logs and counts what becomes of sent messages. An outage is two log events, whatever the number of its messages.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// The reasons of the refusals since the engine last accepted a message.
    reasons: Vec<String>,
    refused: u64,
    /// The messages without a waiting submit that were dropped since then.
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
        state.refused += messages;
        let is_new = state.reasons.len() < REASONS_MAX && !state.reasons.iter().any(|known| known == reason);
        if is_new {
            state.reasons.push(reason.to_owned());
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
        state.dropped += 1;
        let is_first = state.dropped == 1;
        drop(state);
        if is_first {
            tracing::warn!(target: "tornadose", channel = self.channel, reason, "messages dropped");
        }
    }

    /// Records that the engine has accepted a message.
    pub(crate) fn record_accepted(&self) {
        metrics::accepted(self.channel);
        let mut state = self.lock();
        if state.reasons.is_empty() && state.dropped == 0 {
            return;
        }
        let State { refused, dropped, .. } = std::mem::take(&mut *state);
        drop(state);
        tracing::info!(target: "tornadose", channel = self.channel, refused, dropped, "messages accepted again");
    }

    /// Records that the store has ended, and that no message will be accepted.
    pub(crate) fn record_end(&self) {
        let State { dropped, .. } = std::mem::take(&mut *self.lock());
        if dropped > 0 {
            tracing::warn!(target: "tornadose", channel = self.channel, dropped, "messages dropped at close");
        }
    }
}
