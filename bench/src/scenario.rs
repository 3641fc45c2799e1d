//! The scenarios: how many readers there are, and how many messages are submitted at once.

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
    /// 1000 readers, 2000 messages at once: the server is never idle.
    Saturate,
    /// 100 readers, one message at a time.
    Readers100,
    /// 10,000 readers, one message at a time.
    Readers10000,
    /// 10,000 keys with one reader each, one message to each.
    Keys,
    /// 999 readers and one that reads nothing, one message at a time.
    Stalled,
    /// 10,000 readers and no message.
    Idle,
}

/// The load that a scenario puts on a server.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) readers: u64,
    /// Further readers that read nothing.
    pub(crate) stalled: u64,
    /// Each reader reads a key of its own.
    pub(crate) keyed: bool,
    /// How many messages are submitted at once.
    pub(crate) burst: u64,
    /// How many bursts there are.
    pub(crate) bursts: u64,
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

    pub(crate) fn workload(self) -> Workload {
        let broadcast = |readers, burst, bursts| Workload { readers, stalled: 0, keyed: false, burst, bursts };
        match self {
            Self::Broadcast => broadcast(1000, 1, 400),
            Self::Burst => broadcast(1000, 100, 60),
            Self::Saturate => broadcast(1000, 2000, 8),
            Self::Readers100 => broadcast(100, 1, 4000),
            Self::Readers10000 => broadcast(10_000, 1, 40),
            Self::Keys => Workload { keyed: true, ..broadcast(10_000, 10_000, 20) },
            Self::Stalled => Workload { stalled: 1, ..broadcast(999, 1, 400) },
            Self::Idle => broadcast(10_000, 0, 0),
        }
    }
}

impl Workload {
    /// The deliveries that one burst makes.
    pub(crate) fn deliveries(self) -> u64 {
        if self.keyed { self.burst } else { self.burst * self.readers }
    }
}
