//! The counters of the feature `metrics`, written through the facade of that name. Without the feature nothing is
//! counted.
//!
//! Delivered and filtered messages are added once per batch, to counters that a reader takes when it opens: one
//! atomic addition beside the write of a whole batch, and up to date while a connection lives for days. Everything
//! else is rare and looks its counter up each time, so that a recorder which is installed late counts it.

#![cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self, reason = "nothing is counted then"))]

/// Counts a submit that this process accepted.
#[inline]
pub(crate) fn submitted() {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_submitted_total").increment(1);
}

/// Counts a key that is finished in this process.
pub(crate) fn finished() {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_finished_total").increment(1);
}

/// Counts a key of which everything was removed in this process.
pub(crate) fn removed() {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_removed_total").increment(1);
}

/// Counts a message that a backend's engine has accepted.
#[inline]
pub(crate) fn accepted(channel: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_backend_accepted_total", "channel" => channel).increment(1);
}

/// Counts messages that a backend's engine has refused.
pub(crate) fn refused(channel: &'static str, messages: u64) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_backend_refused_total", "channel" => channel).increment(messages);
}

/// Counts a message that was dropped on its way to a backend, and for whose outcome nobody waits.
pub(crate) fn dropped(channel: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_backend_dropped_total", "channel" => channel).increment(1);
}

/// Counts an entry of a backend that is not a message of the store.
pub(crate) fn unreadable(channel: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_unreadable_total", "channel" => channel).increment(1);
}

/// Counts a message of a backend that came after the finish of its key.
pub(crate) fn late(channel: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_late_total", "channel" => channel).increment(1);
}

/// Counts a ticket that was issued, accepted or refused.
pub(crate) fn ticket(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_tickets_total", "outcome" => outcome).increment(1);
}

/// Counts a connection that opens.
pub(crate) fn opened(transport: &'static str) {
    #[cfg(feature = "metrics")]
    {
        ::metrics::counter!("tornadose_connections_opened_total", "transport" => transport).increment(1);
        ::metrics::gauge!("tornadose_connections", "detached" => "false").increment(1.0);
    }
}

/// Moves an open connection to those that are detached.
pub(crate) fn detached() {
    #[cfg(feature = "metrics")]
    {
        ::metrics::gauge!("tornadose_connections", "detached" => "false").decrement(1.0);
        ::metrics::gauge!("tornadose_connections", "detached" => "true").increment(1.0);
    }
}

/// Counts a connection that is gone.
pub(crate) fn closed(transport: &'static str, reason: &'static str, is_detached: bool) {
    #[cfg(feature = "metrics")]
    {
        let detached = if is_detached { "true" } else { "false" };
        let labels = [("transport", transport), ("reason", reason), ("detached", detached)];
        ::metrics::counter!("tornadose_connections_closed_total", &labels).increment(1);
        ::metrics::gauge!("tornadose_connections", "detached" => detached).decrement(1.0);
    }
}

/// Counts a result of a hook `load`: it is `delivered`, or `dropped` because messages were trimmed meanwhile.
pub(crate) fn loaded(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_loads_total", "outcome" => outcome).increment(1);
}

/// Counts messages of a hook `load` that were written.
pub(crate) fn loaded_messages(messages: u32) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_loaded_total").increment(messages.into());
}

/// Counts keys that a client has asked to watch, by whether they are `allowed` or `refused`.
pub(crate) fn watched(outcome: &'static str, keys: usize) {
    #[cfg(feature = "metrics")]
    if keys > 0 {
        ::metrics::counter!("tornadose_watches_total", "outcome" => outcome).increment(keys as u64);
    }
}

/// Counts a hook `load`, `opened` or `closed` that refused its connection, timed out or panicked.
pub(crate) fn hook_failed(hook: &'static str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_hooks_failed_total", "hook" => hook, "outcome" => outcome).increment(1);
}

/// Counts a resume, by what became of its id: `known`, `trimmed`, `restarted` or `pending`.
pub(crate) fn resumed(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_resumes_total", "outcome" => outcome).increment(1);
}

/// Counts a gap that is reported to a reader, and its missing messages.
pub(crate) fn gap(reason: &'static str, missed: u64) {
    #[cfg(feature = "metrics")]
    {
        ::metrics::counter!("tornadose_gaps_total", "reason" => reason).increment(1);
        ::metrics::counter!("tornadose_missed_total").increment(missed);
    }
}

/// Counts a snapshot that is written to a connection.
pub(crate) fn snapshot() {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_snapshots_total").increment(1);
}

/// Counts the messages that a reader got snapshots instead of. Their number is known when the reader ends.
pub(crate) fn summed(messages: u64) {
    #[cfg(feature = "metrics")]
    if messages > 0 {
        ::metrics::counter!("tornadose_summed_total").increment(messages);
    }
}

/// Counts `latest` values that have expired.
pub(crate) fn expired(values: u64) {
    #[cfg(feature = "metrics")]
    if values > 0 {
        ::metrics::counter!("tornadose_expired_total").increment(values);
    }
}

/// Counts the messages that were conflated for a reader. Their number is known when the reader ends.
pub(crate) fn conflated(messages: u64) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_conflated_total").increment(messages);
}

/// Counts the ephemeral messages that a reader was too slow for. Their number is known when the reader ends.
pub(crate) fn ephemeral_missed(messages: u64) {
    #[cfg(feature = "metrics")]
    if messages > 0 {
        ::metrics::counter!("tornadose_ephemeral_missed_total").increment(messages);
    }
}

/// The counters of the messages that one reader has delivered and filtered.
pub(crate) struct DeliveryCounters {
    #[cfg(feature = "metrics")]
    delivered: SumCounter,
    #[cfg(feature = "metrics")]
    filtered: SumCounter,
}

impl DeliveryCounters {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            delivered: SumCounter { counter: ::metrics::counter!("tornadose_delivered_total"), reported: 0 },
            #[cfg(feature = "metrics")]
            filtered: SumCounter { counter: ::metrics::counter!("tornadose_filtered_total"), reported: 0 },
        }
    }

    /// Adds the part of these sums that was not reported before.
    #[inline]
    pub(crate) fn report(&mut self, delivered: u64, filtered: u64) {
        #[cfg(feature = "metrics")]
        {
            self.delivered.report(delivered);
            self.filtered.report(filtered);
        }
    }
}

#[cfg(feature = "metrics")]
struct SumCounter {
    counter: ::metrics::Counter,
    reported: u64,
}

#[cfg(feature = "metrics")]
impl SumCounter {
    fn report(&mut self, sum: u64) {
        if sum > self.reported {
            self.counter.increment(sum - self.reported);
            self.reported = sum;
        }
    }
}
