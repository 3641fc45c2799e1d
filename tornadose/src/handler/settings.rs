//! How a handler serves: the subscriber's options, and what was set on the handler over them.

use std::borrow::Cow;
use std::time::Duration;

use crate::handler::origin::Admitted;
use crate::subscriber::Options;

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Clone)]
pub(crate) struct Settings {
    /// `origins` and `protocols` of these are read once, into the fields below.
    pub(crate) options: Options,
    pub(crate) origins: Admitted,
    pub(crate) protocols: Vec<Cow<'static, str>>,
}

impl Settings {
    /// Times are taken between a millisecond and a year: no time at all would spin, and the end of time overflows.
    pub(crate) fn of(options: Options) -> Self {
        Self {
            options: Options {
                keep_alive: options.keep_alive.map(bounded),
                retry: options.retry.min(A_YEAR),
                max_age: options.max_age.map(bounded),
                ..options
            },
            origins: Admitted::from(options.origins),
            protocols: options.protocols.iter().copied().map(Cow::Borrowed).collect(),
        }
    }

    /// When a reader that is owed something and takes no byte is aborted.
    pub(crate) fn patience(&self) -> Duration {
        self.options.keep_alive.map_or(Duration::from_secs(30), |keep_alive| keep_alive * 2)
    }

    /// When the `number`th connection is to come back after an end: spread over three times `retry`, without chance.
    pub(crate) fn return_after(&self, number: u64) -> Duration {
        spread(self.options.retry, number, 1_000_000, 2_000_000)
    }

    /// How long the `number`th connection lasts.
    pub(crate) fn lasts(&self, number: u64) -> Option<Duration> {
        self.options.max_age.map(|age| spread(age, number, 900_000, 200_000))
    }
}

const MILLION: u128 = 1_000_000;

pub(crate) fn bounded(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), A_YEAR)
}

/// `duration × (from + width · frac(number · 0.618034))` in whole milliseconds, `from` and `width` in millionths: the golden
/// ratio puts neighbours far apart.
fn spread(duration: Duration, number: u64, from: u128, width: u128) -> Duration {
    let place = u128::from(number) * 618_034 % MILLION;
    let millis = duration.as_millis() * (from * MILLION + width * place) / (MILLION * MILLION);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_spread_without_chance() {
        let settings = Settings::of(Options { max_age: Some(Duration::from_secs(600)), ..Options::DEFAULT });
        let returns = [1, 2, 3].map(|number| settings.return_after(number).as_millis());
        assert_eq!(returns, [6708, 4416, 8124]);
        assert_eq!(settings.lasts(1), Some(Duration::from_millis(614_164)));
    }
}
