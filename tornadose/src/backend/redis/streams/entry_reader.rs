//! Reads the entries of the stream: several small ones at once, or large ones by a script, in pages and parts that adapt
//! to the speed of the connection.

use std::time::Duration;

use redis::{Cmd, RedisError};
use tokio::time::Instant;

use crate::backend::link::BackendLink;
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::entry::{Entry, Part};
use crate::backend::redis::streams::page::Page;
use crate::backend::redis::streams::protocol::{Keys, format_id, value_size};
use crate::backend::redis::streams::script::Scripts;
use crate::id::Offset;

/// How long one blocking read waits for the next entry. The stream is polled afterwards in any case.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the stream is polled while blocking reads do not work, and for how many polls.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const POLLS_WITHOUT_WAITING: u32 = 100;

/// Entries of up to this size are read without a script, which costs Redis three times as much, several at once.
const SMALL_ENTRY_BYTES: usize = 4 << 10;

/// How many bytes more than expected such a read may bring: the entries that are new may be larger than those before.
const UNEXPECTED_BYTES_MAX: usize = 1 << 20;

/// The largest of the entries read last is forgotten by this part with each page.
const LARGEST_DECAY: usize = 64;

/// How many bytes an entry has beside its payload, on the connection.
const ENTRY_OVERHEAD: usize = 128;

/// The most entries in a page. A script blocks every other client.
const PAGE_ENTRIES_MAX: usize = 1000;

pub(super) struct EntryReader<'a> {
    pub(super) connection: ReaderConnection<'a>,
    link: &'a BackendLink,
    /// How many entries a script tries first, by the size of those read last.
    page_step: usize,
    /// About how many bytes the largest of the entries read last has.
    largest: usize,
    /// How many polls follow without a blocking read, because the last one has broken the connection.
    polls_without_waiting: u32,
    /// Whether blocking reads are not permitted.
    is_polling: bool,
}

impl<'a> EntryReader<'a> {
    pub(super) fn new(server: &'a Server, keys: &'a Keys, scripts: &'a Scripts, link: &'a BackendLink) -> Self {
        Self {
            connection: ReaderConnection::new(server, keys, scripts),
            link,
            page_step: 1,
            largest: 0,
            polls_without_waiting: 0,
            is_polling: false,
        }
    }

    /// Returns whether several entries may be read at once, without a script.
    pub(super) fn are_small(&self) -> bool {
        self.largest <= SMALL_ENTRY_BYTES && self.polls_without_waiting == 0
    }

    /// Waits for the next entry, which may be large. It may not be the next: a poll shows whether another precedes it.
    pub(super) async fn wait(&mut self, last: Offset) -> Result<Option<Entry>, Fault> {
        if self.polls_without_waiting > 0 {
            self.polls_without_waiting -= 1;
            tokio::time::sleep(POLL_INTERVAL).await;
            return Ok(None);
        }
        let mut pipeline = redis::pipe();
        let block = u64::try_from(BLOCK_TIMEOUT.as_millis()).unwrap_or(1000);
        let wait = pipeline.cmd("XREAD").arg("BLOCK").arg(block).arg("COUNT").arg(1);
        wait.arg("STREAMS").arg(&self.connection.keys.stream).arg(format_id(last));
        let reply = match self.connection.query_within(&pipeline, BLOCK_TIMEOUT + REPLY_TIMEOUT).await {
            Ok(mut replies) => replies.next_reply(),
            Err(fault) => {
                // The server may have refused to hold an entry of this size. Polls read it in parts.
                self.polls_without_waiting = POLLS_WITHOUT_WAITING;
                return Err(fault);
            }
        };
        match reply {
            Ok(reply) => {
                self.is_polling = false;
                Ok(Entry::parse_read(reply, self.link.memory())?.into_iter().next())
            }
            Err(refusal) => self.continue_without_waiting(refusal).map(|()| None),
        }
    }

    /// Goes on after a blocking read that was refused, if a poll can do without.
    fn continue_without_waiting(&mut self, refusal: RedisError) -> Result<(), Fault> {
        match refusal.code() {
            // The stream was deleted. The poll finds out.
            Some("UNBLOCKED") => Ok(()),
            // Reading works without it.
            Some("NOPERM") => {
                self.polls_without_waiting = POLLS_WITHOUT_WAITING;
                let reason = Fault::from(refusal).to_string();
                if !std::mem::replace(&mut self.is_polling, true) {
                    tracing::warn!(target: "tornadose", channel = self.link.channel(), reason, "blocking read refused");
                }
                Ok(())
            }
            _ => Err(refusal.into()),
        }
    }

    /// Reads the state of the stream and the entries after the tail, as many as are expected to fit. Returns `None` if
    /// they did not, or if Redis refuses it.
    ///
    /// The state is of a moment after the entries were read.
    pub(super) async fn read_several(&mut self, last: Offset, waits: bool) -> Result<Option<Page>, Fault> {
        let Keys { stream, epoch, .. } = self.connection.keys;
        let (bytes, last_id) = (self.connection.size.bytes(), format_id(last));
        let count = (bytes / (self.largest + ENTRY_OVERHEAD)).clamp(1, PAGE_ENTRIES_MAX);
        let (mut pipeline, mut silence) = (redis::pipe(), REPLY_TIMEOUT);
        let read = pipeline.cmd("XREAD").arg("COUNT").arg(count);
        if waits {
            silence += BLOCK_TIMEOUT;
            read.arg("BLOCK").arg(u64::try_from(BLOCK_TIMEOUT.as_millis()).unwrap_or(1000));
        }
        read.arg("STREAMS").arg(stream).arg(&last_id);
        let script = &self.connection.scripts.page;
        let add_arguments = |command: &mut Cmd| {
            command.arg(&last_id).arg(&last_id).arg(0).arg(0).arg(0).arg("0-0").arg(0).arg(1);
        };
        let mut state = script.by_digest(&[stream, epoch]);
        add_arguments(&mut state);
        pipeline.add_command(state);
        let started = Instant::now();
        let Some(mut replies) =
            self.connection.query_limited(&pipeline, silence, bytes + UNEXPECTED_BYTES_MAX).await.inspect_err(
                |_| {
                    // The server may have refused to hold entries of this size.
                    self.polls_without_waiting = POLLS_WITHOUT_WAITING;
                },
            )?
        else {
            self.largest = bytes + UNEXPECTED_BYTES_MAX;
            return Ok(None);
        };
        let entries = match replies.next_reply() {
            Ok(reply) => {
                if !waits {
                    self.connection.size.completed(value_size(&reply), started.elapsed());
                }
                self.is_polling = false;
                Entry::parse_read(reply, self.link.memory())?
            }
            Err(refusal) => {
                self.continue_without_waiting(refusal)?;
                return Ok(None);
            }
        };
        let state = match replies.next_reply() {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.connection.run(script, &[stream, epoch], add_arguments).await?
            }
            state => state?,
        };
        let mut page = Page::parse(state)?;
        page.is_complete = entries.last().map_or(last, |entry| entry.offset) == page.info.newest;
        page.entries = entries;
        self.record_sizes(&page);
        Ok(Some(page))
    }

    /// Reads the state of the stream and a page of entries, in one step: those after the held one, if there is one. The
    /// first may be a part of an entry, of which another part is known.
    pub(super) async fn read_page(&mut self, last: Offset, held: Option<&Entry>, part: &Part) -> Result<Page, Fault> {
        let Keys { stream, epoch, .. } = self.connection.keys;
        let last = format_id(last);
        let after = held.map_or_else(|| last.clone(), |held| format_id(held.offset));
        let (bytes, longest, step) = (self.connection.size.bytes(), self.link.memory(), self.page_step);
        let (part, known) = (format_id(part.offset), part.bytes.len());
        let script = &self.connection.scripts.page;
        let add_arguments = |command: &mut Cmd| {
            command.arg(&last).arg(&after).arg(bytes).arg(PAGE_ENTRIES_MAX).arg(longest);
            command.arg(&part).arg(known).arg(step);
        };
        let page = Page::parse(self.connection.transfer(script, &[stream, epoch], add_arguments).await?)?;
        if let Some(average) = page.size().checked_div(page.entries.len()) {
            self.page_step = (self.connection.size.bytes() / (average + 64)).clamp(1, 100);
        }
        self.record_sizes(&page);
        Ok(page)
    }

    /// Expects that the entries to come have up to this size.
    pub(super) fn expect(&mut self, largest: usize) {
        self.largest = largest;
    }

    fn record_sizes(&mut self, page: &Page) {
        if !page.entries.is_empty() {
            self.largest = page.largest().max(self.largest - self.largest.div_ceil(LARGEST_DECAY));
        }
    }
}
