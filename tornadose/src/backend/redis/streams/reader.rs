//! The connection that tails the stream: it loads the history, passes new entries to the store, and notices when the
//! stream was rolled back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::backoff::Backoff;
use crate::backend::incoming::{IncomingEntry, Ingested};
use crate::backend::link::BackendLink;
use crate::backend::redis::connect::{REPLY_TIMEOUT, Server};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::{READ_PAGE_ENTRIES, ReaderConnection};
use crate::backend::redis::streams::latest::{LatestScripts, LatestWrite};
use crate::backend::redis::streams::load::{LoadedStream, load};
use crate::backend::redis::streams::protocol::{Entry, Keys, format_id, parse_epoch, parse_list, parse_stream_info};
use crate::backend::redis::streams::tail::{PollSummary, Progress, StreamInfo, Tail};
use crate::id::{Epoch, Offset};

/// How long one blocking read waits for the next entry. The stream is polled afterwards in any case.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// After how many entries of other programs the stream is trimmed on their behalf.
const TRIM_AFTER_FOREIGN: usize = 100;

pub(super) struct StreamReader<'a> {
    connection: ReaderConnection<'a>,
    link: &'a BackendLink,
    history: usize,
    /// The epoch of the loaded stream; `None` when the stream must be loaded again.
    epoch: Option<Epoch>,
    tail: Tail,
    /// How many entries of other programs were read since the stream was last trimmed on their behalf.
    foreign: usize,
    backoff: Backoff,
    scripts: LatestScripts,
}

/// The result of one poll.
struct StreamPoll {
    epoch: Option<Epoch>,
    info: StreamInfo,
    /// Whether the last entry that was read is still in the stream.
    last_exists: bool,
    entries: Vec<Entry>,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(server: &'a Server, keys: &'a Keys, history: usize, link: &'a BackendLink) -> Self {
        Self {
            connection: ReaderConnection::new(server, keys),
            link,
            history,
            epoch: None,
            tail: Tail::default(),
            foreign: 0,
            backoff: Backoff::new(link.sender_id()),
            scripts: LatestScripts::new(),
        }
    }

    /// Connects and loads the stream.
    pub(super) async fn start(&mut self) -> Result<(), Fault> {
        self.poll_once().await.map(drop)
    }

    /// Tails the stream for ever.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(fault) = self.follow().await {
                self.connection.disconnect();
                self.link.report_disconnected(&fault.to_string());
                tokio::time::sleep(self.backoff.next_delay()).await;
            }
        }
    }

    /// Polls once, and waits for the next entry unless the poll has left some.
    async fn follow(&mut self) -> Result<(), Fault> {
        if !self.poll_once().await? {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        let wait = pipeline.cmd("XREAD");
        wait.arg("BLOCK").arg(u64::try_from(BLOCK_TIMEOUT.as_millis()).unwrap_or(1000)).arg("COUNT").arg(1);
        wait.arg("STREAMS").arg(&self.connection.keys.stream).arg(format_id(self.tail.last));
        let connection = self.connection.get().await?;
        // The entry is discarded: the next poll reads it together with the state of the stream.
        connection.query(&pipeline, BLOCK_TIMEOUT + REPLY_TIMEOUT).await?.next_reply()?;
        Ok(())
    }

    /// Ingests the entries since the last poll, or loads the stream if it is another one. Returns whether the poll
    /// was complete.
    async fn poll_once(&mut self) -> Result<bool, Fault> {
        let Some(epoch) = self.epoch else {
            self.reload().await?;
            return Ok(true);
        };
        let poll = self.poll().await?;
        if poll.epoch != Some(epoch) {
            self.epoch = None;
            return Ok(false);
        }
        let (read, is_complete) = (poll.entries.len() as u64, poll.entries.len() < self.connection.page_entries);
        let summary = PollSummary { info: poll.info, last_exists: poll.last_exists, read, is_complete };
        let missing = match self.tail.progress(&summary) {
            Progress::Advanced { missing } => missing,
            Progress::RolledBack => {
                self.connection.change_epoch(epoch, self.link.channel()).await?;
                self.epoch = None;
                return Ok(false);
            }
        };
        if missing > 0 {
            self.link.report_trimmed(Some(missing));
        }
        let mut latest_writes = Vec::new();
        for entry in &poll.entries {
            self.apply(entry, &mut latest_writes);
            self.tail.last = entry.offset;
        }
        self.tail.added += missing + read;
        if is_complete && missing > 0 && poll.info.newest > self.tail.last {
            // The missing entries were the newest ones.
            self.tail.last = poll.info.newest;
            self.link.advance_to(self.tail.last);
        }
        self.connection.adapt_page(&poll.entries);
        self.write(latest_writes).await?;
        if is_complete {
            self.link.caught_up();
            self.backoff.reset();
        }
        Ok(is_complete)
    }

    async fn poll(&mut self) -> Result<StreamPoll, Fault> {
        let (last, Keys { stream, epoch: epoch_key, .. }) = (format_id(self.tail.last), self.connection.keys);
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("GET").arg(epoch_key).cmd("XINFO").arg("STREAM").arg(stream);
        pipeline.cmd("XRANGE").arg(stream).arg(&last).arg(&last);
        let page_entries = self.connection.page_entries;
        pipeline.cmd("XRANGE").arg(stream).arg(format!("({last}")).arg("+").arg("COUNT").arg(page_entries);
        let mut replies = self.connection.query(&pipeline).await?;
        let epoch = replies.next_reply()?;
        let info = parse_stream_info(replies.next_reply())?;
        let last = replies.next_reply()?;
        Ok(StreamPoll {
            // Without a valid epoch the stream is loaded again.
            epoch: parse_epoch(&epoch, epoch_key).ok(),
            info,
            last_exists: parse_list(&last).is_some_and(|found| !found.is_empty()),
            entries: Entry::parse_range(replies.next_reply()?)?,
        })
    }

    /// Passes one entry to the store, and adds the change that it makes to the latest values.
    fn apply(&mut self, entry: &Entry, latest_writes: &mut Vec<LatestWrite>) {
        let (link, offset) = (self.link, entry.offset);
        let sender = entry.sender();
        if sender.is_none() {
            self.foreign += 1;
        }
        if let Some(key) = entry.field("forget") {
            let fields = link.forget(Some(offset), &String::from_utf8_lossy(key));
            if !fields.is_empty() {
                latest_writes.push(LatestWrite::Forget { offset, fields });
            }
            return;
        }
        let Some(payload) = entry.field("data") else {
            link.skip_unreadable(offset, "no field `data`");
            return;
        };
        if let Ingested::Latest { slot } = link.ingest(offset, IncomingEntry { payload, sender })
            && sender.is_none()
        {
            // Processes of ours keep the value when they append it.
            latest_writes.push(LatestWrite::Upsert { field: slot, offset, payload: payload.to_vec() });
        }
    }

    /// Writes latest values, and trims the stream on behalf of other programs.
    async fn write(&mut self, latest_writes: Vec<LatestWrite>) -> Result<(), Fault> {
        let keys = self.connection.keys;
        let mut pipeline = redis::pipe();
        self.scripts.add_writes(&mut pipeline, keys, latest_writes);
        if self.foreign >= TRIM_AFTER_FOREIGN {
            self.foreign = 0;
            pipeline.cmd("XTRIM").arg(&keys.stream).arg("MAXLEN").arg("~").arg(self.history);
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        if let Some(error) = self.connection.query(&pipeline).await?.find_error() {
            // Reading goes on: the server may be a read-only replica, or the user may lack the permission.
            tracing::warn!(target: "tornadose", channel = self.link.channel(), %error, "latest values not kept");
        }
        Ok(())
    }

    /// Loads the stream, and ingests its latest values and its history in order.
    async fn reload(&mut self) -> Result<(), Fault> {
        let link = self.link;
        let LoadedStream { epoch, info, floor, latest, stale_fields, history } =
            load(&mut self.connection, link, self.history).await?;
        link.reset(epoch, floor);
        let mut latest_writes = Vec::new();
        if !stale_fields.is_empty() {
            let offset = Offset::new(u64::MAX, u64::MAX);
            latest_writes.push(LatestWrite::Forget { offset, fields: stale_fields });
        }
        let mut values: BTreeMap<Offset, &[u8]> =
            latest.values().map(|(offset, payload)| (*offset, payload.as_slice())).collect();
        for (index, entry) in history.iter().enumerate() {
            let newer = values.split_off(&entry.offset);
            ingest_values(link, &std::mem::replace(&mut values, newer));
            values.remove(&entry.offset);
            self.apply(entry, &mut latest_writes);
            if index % READ_PAGE_ENTRIES == READ_PAGE_ENTRIES - 1 {
                tokio::task::yield_now().await;
            }
        }
        ingest_values(link, &values);
        link.advance_to(info.newest);
        latest_writes.retain(|write| match write {
            LatestWrite::Upsert { field, offset, .. } => latest.get(field).is_none_or(|(newest, _)| newest < offset),
            LatestWrite::Forget { .. } => true,
        });
        (self.tail, self.epoch) = (Tail { last: info.newest, added: info.added }, Some(epoch));
        self.write(latest_writes).await?;
        link.caught_up();
        self.backoff.reset();
        Ok(())
    }
}

fn ingest_values(link: &BackendLink, values: &BTreeMap<Offset, &[u8]>) {
    for (offset, payload) in values {
        link.ingest(*offset, IncomingEntry::new(payload));
    }
}
