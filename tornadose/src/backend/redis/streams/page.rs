//! One poll of the stream: its state, and a page of its entries.

use redis::{Cmd, Value};

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::entry::Entry;
use crate::backend::redis::streams::protocol::{format_id, parse_bytes, parse_state};
use crate::backend::redis::streams::tail::StreamInfo;
use crate::id::{Epoch, Offset};

/// The arguments of the script `page`.
pub(super) struct PageRequest {
    /// The last entry that was read.
    pub(super) last: Offset,
    /// The entry after which the page begins.
    pub(super) after: Offset,
    /// How many bytes and entries the page has at most.
    pub(super) bytes: usize,
    pub(super) entries: usize,
    /// The longest payload that is of interest.
    pub(super) longest: usize,
    /// An entry of which a part was read, and the length of that part.
    pub(super) part: Offset,
    pub(super) known: usize,
    /// How many entries to try first.
    pub(super) step: usize,
}

impl PageRequest {
    /// Asks for the state of the stream alone.
    pub(super) fn state_only(last: Offset) -> Self {
        Self { last, after: last, bytes: 0, entries: 0, longest: 0, part: Offset::START, known: 0, step: 1 }
    }

    pub(super) fn add_to(&self, command: &mut Cmd) {
        command.arg(format_id(self.last)).arg(format_id(self.after)).arg(self.bytes).arg(self.entries);
        command.arg(self.longest).arg(format_id(self.part)).arg(self.known).arg(self.step);
    }
}

/// The result of the script `page`.
#[derive(Debug)]
pub(super) struct Page {
    /// The epoch, if there is a valid one.
    pub(super) epoch: Option<Epoch>,
    pub(super) info: StreamInfo,
    /// Whether the last entry that was read is still in the stream.
    pub(super) last_exists: bool,
    /// Whether the entry after which the page begins is.
    pub(super) after_exists: bool,
    /// Whether there are no further entries.
    pub(super) is_complete: bool,
    pub(super) entries: Vec<Entry>,
}

impl Page {
    pub(super) fn parse(reply: Value) -> Result<Self, Fault> {
        let unexpected = || Fault::Protocol("unexpected reply to a script".into());
        let Value::Array(parts) = reply else { return Err(unexpected()) };
        let mut parts = parts.into_iter();
        let (Some(epoch), Some(state)) = (parts.next(), parts.next()) else { return Err(unexpected()) };
        let epoch = parse_bytes(&epoch).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
        let info = parse_state(&state)?;
        let mut flag = || parts.next().map(|flag| flag == Value::Int(1));
        let Some(last_exists) = flag() else {
            // There is no stream.
            return Ok(Self {
                epoch,
                info,
                last_exists: false,
                after_exists: false,
                is_complete: true,
                entries: Vec::new(),
            });
        };
        let (Some(after_exists), Some(is_complete)) = (flag(), flag()) else { return Err(unexpected()) };
        let Some(Value::Array(entries)) = parts.next() else { return Err(unexpected()) };
        let entries = Entry::parse_page(entries).ok_or_else(unexpected)?;
        Ok(Self { epoch, info, last_exists, after_exists, is_complete, entries })
    }

    /// Returns how many of the entries are no longer in the stream. A page that was read in one step has none.
    pub(super) fn trimmed_entries(&self) -> usize {
        if self.info.length == 0 {
            return self.entries.len();
        }
        self.entries.iter().take_while(|entry| entry.offset < self.info.first).count()
    }

    /// Returns how many bytes the largest entry has.
    pub(super) fn largest(&self) -> usize {
        self.entries.iter().map(|entry| entry.length.max(entry.size())).max().unwrap_or(0)
    }

    /// Returns how many bytes of payload arrived.
    pub(super) fn size(&self) -> usize {
        self.entries.iter().map(Entry::size).sum()
    }
}
