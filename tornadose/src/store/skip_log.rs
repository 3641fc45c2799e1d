//! Logs the entries that are not messages, and messages after a finish. A flood of them is two log events a minute,
//! whatever their number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Offset;
use crate::metrics;

/// For how long further entries are only counted, after one was logged.
const COUNT_PERIOD: Duration = Duration::from_secs(60);

/// Why entries are skipped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// They are not messages.
    Unreadable,
    /// They are messages of keys that are finished.
    Late,
}

/// The entries of one store that were skipped.
pub(crate) struct SkipLog {
    channel: &'static str,
    kind: Skipped,
    period: Mutex<Option<Period>>,
    /// Whether there is a period, so that messages need not take the lock. It is changed under the lock.
    is_counting: AtomicBool,
}

struct Period {
    since: Instant,
    /// The entries that were skipped in it, but for the first, which was logged.
    entries: u64,
}

impl SkipLog {
    pub(crate) fn new(channel: &'static str, kind: Skipped) -> Self {
        Self { channel, kind, period: Mutex::new(None), is_counting: AtomicBool::new(false) }
    }

    /// Records an entry that was skipped. Each is counted, and the first of a period is logged.
    pub(crate) fn record(&self, entry: Offset, reason: &str) {
        match self.kind {
            Skipped::Unreadable => metrics::unreadable(self.channel),
            Skipped::Late => metrics::late(self.channel),
        }
        self.end_if_over();
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(period) = &mut *period {
            period.entries += 1;
            return;
        }
        *period = Some(Period { since: Instant::now(), entries: 0 });
        self.is_counting.store(true, Ordering::Relaxed);
        drop(period);
        let channel = self.channel;
        match self.kind {
            Skipped::Unreadable => {
                tracing::warn!(target: "tornadose", channel, %entry, reason, "entry skipped");
            }
            Skipped::Late => {
                tracing::warn!(target: "tornadose", channel, %entry, "message after a finish dropped");
            }
        }
    }

    /// Logs how many entries were counted, when their period is over. It is called whenever the backend reports
    /// something, so that no timer is needed.
    pub(crate) fn end_if_over(&self) {
        if self.is_counting.load(Ordering::Relaxed) {
            self.end_if(|period| period.since.elapsed() >= COUNT_PERIOD);
        }
    }

    /// Logs how many entries were counted, because the store ends.
    pub(crate) fn end(&self) {
        self.end_if(|_| true);
    }

    fn end_if(&self, is_over: impl FnOnce(&mut Period) -> bool) {
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Period { entries, .. }) = period.take_if(is_over) else { return };
        self.is_counting.store(false, Ordering::Relaxed);
        drop(period);
        let channel = self.channel;
        match self.kind {
            _ if entries == 0 => {}
            Skipped::Unreadable => {
                tracing::warn!(target: "tornadose", channel, entries, "more entries skipped");
            }
            Skipped::Late => {
                tracing::warn!(target: "tornadose", channel, entries, "more messages after a finish dropped");
            }
        }
    }
}
