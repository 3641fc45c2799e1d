//! The counters that the feature `metrics` gives to the `metrics` facade. Without it, nothing is counted here and nothing is kept.
//!
//! What is delivered and filtered is added once per run, by handles that a reader takes when it opens: one atomic addition beside
//! the write of a whole piece, and up to date while a connection lives for days. All else is rare, and asks for its counter
//! each time, so that a recorder which is installed late still hears of it.

#![cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self, reason = "nothing is counted then"))]

/// A message was appended to a store.
#[inline]
pub(crate) fn submitted() {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_submitted_total").increment(1);
}

/// A backend told of an entry that is no message.
pub(crate) fn unfit(channel: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_unfit_total", "channel" => channel).increment(1);
}

/// A connection opens.
pub(crate) fn opened(transport: &'static str) {
    #[cfg(feature = "metrics")]
    {
        ::metrics::counter!("tornadose_connections_opened_total", "transport" => transport).increment(1);
        ::metrics::gauge!("tornadose_connections").increment(1.0);
    }
}

/// A connection is gone.
pub(crate) fn closed(transport: &'static str, why: &'static str) {
    #[cfg(feature = "metrics")]
    {
        ::metrics::counter!("tornadose_connections_closed_total", "transport" => transport, "why" => why).increment(1);
        ::metrics::gauge!("tornadose_connections").decrement(1.0);
    }
}

/// A reader comes with an id: `known`, `trimmed` or `restarted`.
pub(crate) fn resumed(known: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_resumes_total", "known" => known).increment(1);
}

/// A reader is told of a loss.
pub(crate) fn gap(reason: &'static str, missed: u64) {
    #[cfg(feature = "metrics")]
    {
        ::metrics::counter!("tornadose_gaps_total", "reason" => reason).increment(1);
        ::metrics::counter!("tornadose_missed_total").increment(missed);
    }
}

/// A reader ends, which is when it is known how much was conflated for it.
pub(crate) fn conflated(messages: u64) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!("tornadose_conflated_total").increment(messages);
}

/// What one reader has delivered and filtered, on its way to the counters.
pub(crate) struct Deliveries {
    #[cfg(feature = "metrics")]
    delivered: Meter,
    #[cfg(feature = "metrics")]
    filtered: Meter,
}

impl Deliveries {
    pub(crate) fn open() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            delivered: Meter { counter: ::metrics::counter!("tornadose_delivered_total"), reported: 0 },
            #[cfg(feature = "metrics")]
            filtered: Meter { counter: ::metrics::counter!("tornadose_filtered_total"), reported: 0 },
        }
    }

    /// Adds what is new of these sums.
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
struct Meter {
    counter: ::metrics::Counter,
    reported: u64,
}

#[cfg(feature = "metrics")]
impl Meter {
    fn report(&mut self, sum: u64) {
        if sum > self.reported {
            self.counter.increment(sum - self.reported);
            self.reported = sum;
        }
    }
}
