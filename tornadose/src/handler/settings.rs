//! How a handler serves: the subscriber's options, and what was set on the handler over them.

use std::borrow::Cow;
use std::time::Duration;

use crate::handler::origin::Admitted;
use crate::subscriber::Options;

#[derive(Clone)]
pub(crate) struct Settings {
    /// `origins` and `protocols` of these are read once, into the fields below.
    pub(crate) options: Options,
    pub(crate) origins: Admitted,
    pub(crate) protocols: Vec<Cow<'static, str>>,
}

impl Settings {
    pub(crate) fn of(options: Options) -> Self {
        Self {
            options,
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
        spread(self.options.retry, number, 1.0, 2.0)
    }

    /// How long the `number`th connection lasts.
    pub(crate) fn lasts(&self, number: u64) -> Option<Duration> {
        self.options.max_age.map(|age| spread(age, number, 0.9, 0.2))
    }
}

/// `duration × (from + width · frac(number · 0.618034))`, in whole milliseconds: the golden ratio puts neighbours far apart.
fn spread(duration: Duration, number: u64, from: f64, width: f64) -> Duration {
    let place = (number as f64 * 0.618_034).fract();
    // A duration written in a source file is far below the 285,000 years where this would not fit.
    Duration::from_millis((duration.as_millis() as f64 * (from + width * place)) as u64)
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
