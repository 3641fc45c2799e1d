//! What a handler does with its options: times within bounds, and those that differ from connection to connection.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use crate::handler::connection::timers::Timeouts;
use crate::handler::origin::OriginPolicy;
use crate::subscriber::options::Options;

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Clone)]
pub(crate) struct Settings {
    /// Of these, `origins` and `protocols` are only read once, into the fields below.
    pub(crate) options: Options,
    pub(crate) origins: OriginPolicy,
    pub(crate) protocols: Vec<Cow<'static, str>>,
}

impl Settings {
    /// Clamps the options' times to between a millisecond and a year: a time of zero would spin, and the longest
    /// would overflow.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options: Options {
                keep_alive: options.keep_alive.map(clamp_timeout),
                retry: options.retry.min(A_YEAR),
                max_age: options.max_age.map(clamp_timeout),
                throttle: options.throttle.map(clamp_timeout),
                ..options
            },
            origins: OriginPolicy::from(options.origins),
            protocols: options.protocols.iter().copied().map(Cow::Borrowed).collect(),
        }
    }

    /// Returns after how long a client that takes no bytes is aborted.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.options.keep_alive.map_or(Duration::from_secs(30), |keep_alive| keep_alive * 2)
    }

    /// Returns the reconnection delay of the `number`th connection. The delays are spread over one to three times
    /// `retry`, and are not random.
    pub(crate) fn retry_after(&self, number: u64) -> Duration {
        spread(self.options.retry, number, 1_000_000, 2_000_000)
    }

    /// Returns the timeouts of the `number`th connection, which opens now.
    pub(crate) fn timeouts(&self, number: u64) -> Timeouts {
        Timeouts {
            keep_alive: self.options.keep_alive,
            stall: self.stall_timeout(),
            expires_at: self.max_age(number).map(|age| Instant::now() + age),
        }
    }

    /// Returns the maximum age of the `number`th connection.
    fn max_age(&self, number: u64) -> Option<Duration> {
        self.options.max_age.map(|age| spread(age, number, 900_000, 200_000))
    }
}

const MILLION: u128 = 1_000_000;

pub(crate) fn clamp_timeout(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), A_YEAR)
}

/// `duration × (from + width · frac(number · 0.618034))` in whole milliseconds, `from` and `width` in millionths. The
/// golden ratio puts consecutive numbers far apart.
fn spread(duration: Duration, number: u64, from: u128, width: u128) -> Duration {
    let fraction = u128::from(number) * 618_034 % MILLION;
    let millis = duration.as_millis() * (from * MILLION + width * fraction) / (MILLION * MILLION);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnections_are_spread_and_not_random() {
        let settings = Settings::new(Options::new().max_age(Duration::from_secs(600)));
        let delays = [1, 2, 3].map(|number| settings.retry_after(number).as_millis());
        assert_eq!(delays, [6708, 4416, 8124]);
        assert_eq!(settings.max_age(1), Some(Duration::from_millis(614_164)));
    }
}
