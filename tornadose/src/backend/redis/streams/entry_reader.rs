//! Reads the entries of the stream: several small ones at once, or large ones by a script, in pages and parts that adapt
//! to the speed of the connection.

use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, Value};

use crate::backend::link::BackendLink;
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::entry::{Entry, Part};
use crate::backend::redis::streams::expiry::EngineClock;
use crate::backend::redis::streams::page::{Page, PageRequest};
use crate::backend::redis::streams::protocol::{Keys, format_id, parse_bytes, parse_id, parse_list, value_size};
use crate::backend::redis::streams::script::Scripts;
use crate::id::Offset;

/// How long one blocking read waits for the next entry, in milliseconds. The stream is polled afterwards in any case.
const BLOCK_MILLIS: u64 = 1000;

/// How long a blocking read may be silent.
const BLOCK_SILENCE: Duration = Duration::from_millis(BLOCK_MILLIS).saturating_add(REPLY_TIMEOUT);

/// How often the stream is polled while blocking reads do not work, and for how many polls.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const POLLS_WITHOUT_WAITING: u32 = 100;

/// Entries of up to this size are read without a script, which costs Redis three times as much.
const SMALL_ENTRY_BYTES: usize = 4 << 10;

/// How many small entries are read at once. The new ones may be much larger than those before, and Redis puts all of
/// them into one reply.
const SMALL_ENTRIES_MAX: usize = 200;

/// How many bytes more than expected such a reply may have.
const UNEXPECTED_BYTES_MAX: usize = 1 << 20;

/// With each page, the remembered size of the largest entry shrinks by this part.
const LARGEST_DECAY: usize = 64;

/// How many bytes an entry has beside its payload, on the connection.
const ENTRY_OVERHEAD: usize = 128;

/// The most entries in a page of the script. It blocks every other client.
const PAGE_ENTRIES_MAX: usize = 1000;

pub(super) struct EntryReader<'a> {
    pub(super) connection: ReaderConnection<'a>,
    clock: &'a EngineClock,
    link: &'a BackendLink,
    /// How many entries a script tries first, by the size of those read last.
    page_step: usize,
    /// About how many bytes the largest of the entries read last has.
    largest: usize,
    /// How many polls follow without a blocking read, because the last one has broken the connection.
    polls_without_waiting: u32,
    /// Whether blocking reads are not permitted.
    is_polling: bool,
    /// The ephemeral messages, of a type that has them.
    ephemerals: Option<EphemeralTail>,
}

/// How far the stream of ephemeral messages was read.
#[derive(Default)]
struct EphemeralTail {
    last: Offset,
    /// The entries that were read and not taken.
    read: Vec<Entry>,
}

impl<'a> EntryReader<'a> {
    pub(super) fn new(
        server: &'a Server,
        keys: &'a Keys,
        scripts: &'a Scripts,
        clock: &'a EngineClock,
        link: &'a BackendLink,
    ) -> Self {
        Self {
            connection: ReaderConnection::new(server, keys, scripts),
            clock,
            link,
            page_step: 1,
            largest: 0,
            polls_without_waiting: 0,
            is_polling: false,
            ephemerals: link.has_ephemeral().then(EphemeralTail::default),
        }
    }

    /// Goes on with the ephemeral messages that are appended from now on, of a type that has them.
    pub(super) async fn skip_ephemerals(&mut self) -> Result<(), Fault> {
        let Some(tail) = &mut self.ephemerals else { return Ok(()) };
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREVRANGE").arg(&self.connection.keys.ephemeral).arg("+").arg("-").arg("COUNT").arg(1);
        let reply = self.connection.query(&pipeline).await?.next_reply()?;
        let newest = parse_list(&reply).map(|entries| entries.first().and_then(parse_list));
        let newest = newest.ok_or_else(|| Fault::Protocol("unexpected reply to XREVRANGE".into()))?;
        let last = newest.and_then(|entry| parse_id(parse_bytes(entry.first()?)?)).unwrap_or_default();
        *tail = EphemeralTail { last, read: Vec::new() };
        Ok(())
    }

    /// Takes the ephemeral messages that were read.
    pub(super) fn take_ephemerals(&mut self) -> Vec<Entry> {
        self.ephemerals.as_mut().map(|tail| std::mem::take(&mut tail.read)).unwrap_or_default()
    }

    /// Adds the streams to a `XREAD`.
    fn add_streams(&self, read: &mut Cmd, last: Offset) {
        let Keys { stream, ephemeral, .. } = self.connection.keys;
        match &self.ephemerals {
            None => read.arg("STREAMS").arg(stream).arg(format_id(last)),
            Some(tail) => read.arg("STREAMS").arg(stream).arg(ephemeral).arg(format_id(last)).arg(format_id(tail.last)),
        };
    }

    /// Adds the command that reads the server's clock, by which ephemeral messages grow old.
    fn add_time(&self, pipeline: &mut Pipeline) {
        if self.ephemerals.is_some() {
            pipeline.cmd("TIME");
        }
    }

    /// Sets the clock by the next reply.
    fn set_clock(&self, replies: &mut Replies) {
        if self.ephemerals.is_none() {
            return;
        }
        // A user may have lost the right to it. The clock then goes on from the start.
        if let Ok(reply) = replies.next_reply()
            && let Some(milliseconds) = parse_time(&reply)
        {
            self.clock.set(milliseconds);
        }
    }

    /// Parses the reply to a `XREAD`. Returns the entries of the stream, and keeps the ephemeral messages.
    fn parse_read(&mut self, reply: Value) -> Result<Vec<Entry>, Fault> {
        let read = Entry::parse_read(reply, &self.connection.keys.stream, self.link.memory())?;
        self.keep_ephemerals(read.ephemerals);
        Ok(read.entries)
    }

    fn keep_ephemerals(&mut self, read: Vec<Entry>) {
        if let (Some(tail), Some(newest)) = (&mut self.ephemerals, read.last()) {
            tail.last = newest.offset;
            let largest = read.iter().map(|entry| entry.length).max().unwrap_or(0);
            self.largest = largest.max(self.largest - self.largest.div_ceil(LARGEST_DECAY));
            tail.read.extend(read);
        }
    }

    /// Reads ephemeral messages without waiting.
    pub(super) async fn poll_ephemerals(&mut self) -> Result<(), Fault> {
        let Some(tail) = &self.ephemerals else { return Ok(()) };
        let count = self.connection.size.bytes() / (self.largest + ENTRY_OVERHEAD);
        let mut pipeline = redis::pipe();
        let range =
            pipeline.cmd("XRANGE").arg(&self.connection.keys.ephemeral).arg(format!("({}", format_id(tail.last)));
        range.arg("+").arg("COUNT").arg(count.clamp(1, SMALL_ENTRIES_MAX));
        self.add_time(&mut pipeline);
        let mut replies = self.connection.query(&pipeline).await?;
        let read = Entry::parse_range(replies.next_reply()?, self.link.memory())?;
        self.set_clock(&mut replies);
        self.keep_ephemerals(read);
        Ok(())
    }

    /// Returns whether several entries may be read at once, without a script.
    pub(super) fn expects_small_entries(&self) -> bool {
        self.largest <= SMALL_ENTRY_BYTES && self.polls_without_waiting == 0
    }

    /// Waits until an entry arrives, which may be large. Another may precede it; the next poll shows that.
    pub(super) async fn wait(&mut self, last: Offset) -> Result<Option<Entry>, Fault> {
        if self.polls_without_waiting > 0 {
            self.polls_without_waiting -= 1;
            tokio::time::sleep(POLL_INTERVAL).await;
            self.poll_ephemerals().await?;
            return Ok(None);
        }
        let mut pipeline = redis::pipe();
        let mut wait = redis::cmd("XREAD");
        wait.arg("BLOCK").arg(BLOCK_MILLIS).arg("COUNT").arg(1);
        self.add_streams(&mut wait, last);
        pipeline.add_command(wait);
        self.add_time(&mut pipeline);
        let reply = match self.connection.query_within(&pipeline, BLOCK_SILENCE).await {
            Ok(mut replies) => {
                let reply = replies.next_reply();
                self.set_clock(&mut replies);
                reply
            }
            Err(fault) => {
                self.suspend_waiting(&fault);
                return Err(fault);
            }
        };
        match reply {
            Ok(reply) => {
                self.is_polling = false;
                Ok(self.parse_read(reply)?.into_iter().next())
            }
            Err(refusal) => self.continue_without_waiting(refusal).map(|()| None),
        }
    }

    /// Polls without waiting for some time after a connection has broken: the server may have refused to hold entries
    /// of this size. Polls read them in parts.
    fn suspend_waiting(&mut self, fault: &Fault) {
        if fault.is_broken_connection() {
            self.polls_without_waiting = POLLS_WITHOUT_WAITING;
            self.connection.size.failed();
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

    /// Reads entries after the last, as many as are expected to fit, and then the state of the stream. Returns `None` if
    /// the script has to read instead: they did not fit, Redis refuses it or does not know the script, or the newest entry
    /// is not among them.
    ///
    /// The state is of a moment after the entries were read.
    pub(super) async fn read_several(&mut self, last: Offset, waits: bool) -> Result<Option<Page>, Fault> {
        let bytes = self.connection.size.bytes();
        let silence = if waits { BLOCK_SILENCE } else { REPLY_TIMEOUT };
        let pipeline = self.read_commands(last, waits);
        let bytes_max = bytes + UNEXPECTED_BYTES_MAX;
        let queried = self.connection.query_limited(&pipeline, silence, bytes_max).await;
        let Some((mut replies, took)) = queried.inspect_err(|fault| self.suspend_waiting(fault))? else {
            self.largest = bytes_max;
            return Ok(None);
        };
        let entries = match replies.next_reply() {
            Ok(reply) => {
                if !waits {
                    self.connection.size.completed(value_size(&reply), took);
                }
                self.is_polling = false;
                self.parse_read(reply)?
            }
            Err(refusal) => {
                self.continue_without_waiting(refusal)?;
                return Ok(None);
            }
        };
        let mut page = match replies.next_reply() {
            // The script is sent by its text, and reads.
            Err(error) if error.code() == Some("NOSCRIPT") => return Ok(None),
            state => Page::parse(state?)?,
        };
        self.set_clock(&mut replies);
        if entries.is_empty() && page.info.newest != last {
            // The newest entry was deleted, or was appended after the read. The script tells which.
            return Ok(None);
        }
        page.is_complete = entries.last().map_or(last, |entry| entry.offset) == page.info.newest;
        page.entries = entries;
        self.record_sizes(&page);
        Ok(Some(page))
    }

    /// Returns the commands that read several entries and the state of the stream.
    fn read_commands(&self, last: Offset, waits: bool) -> Pipeline {
        let Keys { stream, epoch, .. } = self.connection.keys;
        let count = self.connection.size.bytes() / (self.largest + ENTRY_OVERHEAD);
        let mut pipeline = redis::pipe();
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(count.clamp(1, SMALL_ENTRIES_MAX));
        if waits {
            read.arg("BLOCK").arg(BLOCK_MILLIS);
        }
        self.add_streams(&mut read, last);
        pipeline.add_command(read);
        let mut state = self.connection.scripts.page.by_digest(&[stream, epoch]);
        PageRequest::state_only(last).add_to(&mut state);
        pipeline.add_command(state);
        self.add_time(&mut pipeline);
        pipeline
    }

    /// Reads the state of the stream and a page of entries, in one step: those after the held one, if there is one. The
    /// first may be a part of an entry, of which another part is known.
    pub(super) async fn read_page(&mut self, last: Offset, held: Option<&Entry>, part: &Part) -> Result<Page, Fault> {
        let Keys { stream, epoch, .. } = self.connection.keys;
        let request = PageRequest {
            last,
            after: held.map_or(last, |held| held.offset),
            bytes: self.connection.size.bytes(),
            entries: PAGE_ENTRIES_MAX,
            longest: self.link.memory(),
            part: part.offset,
            known: part.bytes.len(),
            step: self.page_step,
        };
        let script = &self.connection.scripts.page;
        let add_arguments = |command: &mut Cmd| request.add_to(command);
        let page = Page::parse(self.connection.transfer(script, &[stream, epoch], add_arguments).await?)?;
        if let Some(average) = page.size().checked_div(page.entries.len()) {
            self.page_step = (self.connection.size.bytes() / (average + ENTRY_OVERHEAD)).clamp(1, 100);
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

/// Parses the reply to `TIME`, in milliseconds.
fn parse_time(reply: &Value) -> Option<u64> {
    let [seconds, micros] = parse_list(reply)? else { return None };
    let number = |value| str::from_utf8(parse_bytes(value)?).ok()?.parse::<u64>().ok();
    Some(number(seconds)? * 1000 + number(micros)? / 1000)
}
