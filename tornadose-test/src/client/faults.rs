//! Faults of a connection. The [`CutScanner`](cut_scanner::CutScanner) makes cuts; the pipe applies chunks and read
//! rates.

pub(crate) mod cut;
pub(crate) mod chunks;
pub(crate) mod read_rate;
pub(crate) mod armed_cuts;
pub(crate) mod cut_scanner;

use std::fmt;

use crate::client::faults::chunks::Chunks;
use crate::client::faults::cut::Cut;
use crate::client::faults::read_rate::ReadRate;

/// A fault of a connection, for [`Client::fault`](crate::Client::fault) and
/// [`ClientBuilder::fault`](crate::ClientBuilder::fault): a [`Cut`], [`Chunks`], or a [`ReadRate`].
///
/// Each fault is a line in the transcript. A fault without any effect fails the test at its end.
///
/// ```
/// use tornadose_test::{Chunks, Cut, Fault, ReadRate};
///
/// let faults: [Fault; 3] = [Cut::at_byte(113).into(), Chunks::of(1).into(), ReadRate::bytes_per_second(100).into()];
/// assert_eq!(faults.map(|fault| fault.to_string()).join(", "), "cut at byte 113, chunks of 1 byte, 100 bytes a second");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(crate) FaultKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Cut(Cut),
    Chunks(Chunks),
    ReadRate(ReadRate),
}

impl From<Cut> for Fault {
    fn from(cut: Cut) -> Self {
        Self(FaultKind::Cut(cut))
    }
}

impl From<Chunks> for Fault {
    fn from(chunks: Chunks) -> Self {
        Self(FaultKind::Chunks(chunks))
    }
}

impl From<ReadRate> for Fault {
    fn from(rate: ReadRate) -> Self {
        Self(FaultKind::ReadRate(rate))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            FaultKind::Cut(cut) => cut.fmt(f),
            FaultKind::Chunks(chunks) => chunks.fmt(f),
            FaultKind::ReadRate(rate) => rate.fmt(f),
        }
    }
}
