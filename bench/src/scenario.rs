//! What is measured: how many readers, how many messages at once. How it is measured is `measure`'s affair.

use clap::ValueEnum;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    Sse,
    Ws,
}

impl Transport {
    pub(crate) const ALL: [Self; 2] = [Self::Sse, Self::Ws];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ws => "ws",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// 1000 readers, one message at a time.
    Broadcast,
    /// 1000 readers, 100 messages at once.
    Burst,
    /// 1000 readers, 2000 messages at once, as fast as they are taken.
    Saturate,
    /// 100 readers, one message at a time.
    Readers100,
    /// 10,000 readers, one message at a time.
    Readers10000,
    /// 10,000 keys of one reader each, one message to each.
    Keys,
    /// 999 readers and one that reads nothing, one message at a time.
    Stalled,
    /// 10,000 readers and no message.
    Idle,
}

/// What a scenario asks of the servers and the readers.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) readers: u64,
    pub(crate) stalled: u64,
    /// Each reader reads a key of its own.
    pub(crate) keyed: bool,
    /// How many messages are submitted at once, and how often.
    pub(crate) burst: u64,
    pub(crate) times: u64,
}

impl Scenario {
    pub(crate) const ALL: [Self; 8] = [
        Self::Broadcast,
        Self::Burst,
        Self::Saturate,
        Self::Readers100,
        Self::Readers10000,
        Self::Keys,
        Self::Stalled,
        Self::Idle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Burst => "burst of 100",
            Self::Saturate => "saturate",
            Self::Readers100 => "100 readers",
            Self::Readers10000 => "10,000 readers",
            Self::Keys => "10,000 keys",
            Self::Stalled => "one stalled",
            Self::Idle => "idle",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        let all = |readers, burst, times| Shape { readers, stalled: 0, keyed: false, burst, times };
        match self {
            Self::Broadcast => all(1000, 1, 400),
            Self::Burst => all(1000, 100, 60),
            Self::Saturate => all(1000, 2000, 8),
            Self::Readers100 => all(100, 1, 4000),
            Self::Readers10000 => all(10_000, 1, 40),
            Self::Keys => Shape { keyed: true, ..all(10_000, 10_000, 20) },
            Self::Stalled => Shape { stalled: 1, ..all(999, 1, 400) },
            Self::Idle => all(10_000, 0, 0),
        }
    }
}

impl Shape {
    /// How many deliveries one burst makes.
    pub(crate) fn deliveries(self) -> u64 {
        if self.keyed { self.burst } else { self.burst * self.readers }
    }
}
