//! The connection that tails the stream: it loads the history, passes new entries to the store, and notices when the
//! stream was rolled back.

use std::collections::{HashMap, VecDeque};

use redis::Pipeline;

use crate::backend::backoff::Backoff;
use crate::backend::checkpoints::TrimPoint;
use crate::backend::ephemeral::{EphemeralEntry, WaitingEphemerals};
use crate::backend::incoming::{IncomingEntry, Ingested};
use crate::backend::link::BackendLink;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::entry::{Entry, Notice, Part};
use crate::backend::redis::streams::entry_reader::EntryReader;
use crate::backend::redis::streams::expiry::EngineClock;
use crate::backend::redis::streams::finishes::{Reopening, UnreadFinishes};
use crate::backend::redis::streams::latest::{LatestIndex, LatestScripts, LatestValue, LatestWrite, UnreadValues};
use crate::backend::redis::streams::load::{LoadedStream, Occasion, load, read_trim_point};
use crate::backend::redis::streams::page::Page;
use crate::backend::redis::streams::protocol::{EPHEMERAL_HISTORY, Keys, parse_number};
use crate::backend::redis::streams::refusal::Refusal;
use crate::backend::redis::streams::script::Scripts;
use crate::backend::redis::streams::shared::StreamShared;
use crate::backend::redis::streams::snapshot_search::SnapshotSearch;
use crate::backend::redis::streams::snapshots::{SnapshotDrop, UnreadSnapshots, add_drops};
use crate::backend::redis::streams::tail::{PollSummary, Progress, Tail};
use crate::backend::redis::streams::trimming::Trimming;
use crate::id::{Epoch, Offset};

/// How often in a row the connection may fail while the history is loaded.
const START_FAILURES_MAX: u32 = 10;

/// After how many entries of other programs the stream is trimmed on their behalf.
const TRIM_AFTER_FOREIGN: usize = 100;

/// How many epochs are remembered that the stream has left.
const FORMER_EPOCHS_MAX: usize = 64;

pub(super) struct StreamReader<'a> {
    entries: EntryReader<'a>,
    link: &'a BackendLink,
    shared: &'a StreamShared,
    clock: &'a EngineClock,
    occasion: Occasion,
    /// The epoch of the loaded stream; `None` when the stream must be loaded again.
    epoch: Option<Epoch>,
    /// The epochs that were read before. A stream that returns in one of them is an older copy.
    former_epochs: VecDeque<Epoch>,
    tail: Tail,
    /// An entry that a blocking read has brought. It is ingested when a poll has shown that nothing precedes it.
    held: Option<Entry>,
    /// The part that was read of an entry after the tail, which is larger than a transfer.
    part: Part,
    /// Whether everything in the stream was ingested at the last poll.
    is_complete: bool,
    /// Latest values that precede the entries after the tail.
    values: UnreadValues,
    /// The offsets of the latest values when the stream was loaded, until everything is read.
    loaded_offsets: HashMap<String, Offset>,
    /// Finishes that precede the entries after the tail.
    finishes: UnreadFinishes,
    reopening: Reopening,
    /// Whether entries were trimmed unread, and the latest values not read since.
    has_missed: bool,
    /// Whether the last poll did not find what was acknowledged to this process.
    misses_acknowledged: bool,
    /// How many entries of other programs were read since the stream was last trimmed on their behalf.
    foreign: usize,
    /// As `foreign`, of the stream of ephemeral messages.
    foreign_ephemerals: usize,
    /// Ephemeral messages whose entries are not ingested yet.
    ephemerals: WaitingEphemerals,
    backoff: Backoff,
    latest_scripts: LatestScripts,
    latest_writes: Vec<LatestWrite>,
    latest_refusal: Refusal,
    finishes_refusal: Refusal,
    /// Snapshots that precede the entries after the tail.
    snapshots: UnreadSnapshots,
    snapshot_drops: Vec<SnapshotDrop>,
    snapshots_refusal: Refusal,
    trimming: Trimming,
    /// The trim point of the stream when it was loaded, or entries were found missing.
    trimmed: TrimPoint,
    search: SnapshotSearch,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(
        server: &'a Server,
        keys: &'a Keys,
        scripts: &'a Scripts,
        shared: &'a StreamShared,
        clock: &'a EngineClock,
        link: &'a BackendLink,
    ) -> Self {
        Self {
            entries: EntryReader::new(server, keys, scripts, clock, link),
            link,
            shared,
            clock,
            occasion: Occasion::Start,
            epoch: None,
            former_epochs: VecDeque::new(),
            tail: Tail::default(),
            held: None,
            part: Part::default(),
            is_complete: false,
            values: UnreadValues::default(),
            loaded_offsets: HashMap::new(),
            finishes: UnreadFinishes::default(),
            reopening: Reopening::default(),
            has_missed: false,
            misses_acknowledged: false,
            foreign: 0,
            foreign_ephemerals: 0,
            ephemerals: WaitingEphemerals::default(),
            backoff: Backoff::new(link.sender_id()),
            latest_scripts: LatestScripts::new(),
            latest_writes: Vec::new(),
            latest_refusal: Refusal::default(),
            finishes_refusal: Refusal::default(),
            snapshots: UnreadSnapshots::default(),
            snapshot_drops: Vec::new(),
            trimmed: TrimPoint::default(),
            snapshots_refusal: Refusal::default(),
            trimming: Trimming::default(),
            search: SnapshotSearch::new(),
        }
    }

    /// Connects and loads the stream.
    pub(super) async fn start(&mut self) -> Result<(), Fault> {
        let mut failures = 0;
        loop {
            match self.poll_once(false).await {
                Ok(true) => return Ok(()),
                Ok(false) => failures = 0,
                // What was read is kept, and the next transfer is smaller.
                Err(fault) if self.epoch.is_some() && !fault.is_reply() && failures < START_FAILURES_MAX => {
                    failures += 1;
                    self.entries.connection.disconnect();
                    self.link.recheck_snapshots();
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Tails the stream for ever.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(fault) = self.follow().await {
                self.entries.connection.disconnect();
                self.link.report_disconnected(&fault.to_string());
                // The next connection may be to a server that lacks snapshots.
                self.link.recheck_snapshots();
                tokio::time::sleep(self.backoff.next_delay()).await;
            }
        }
    }

    /// Polls once. Waits for the next entry if the last poll has left none.
    async fn follow(&mut self) -> Result<(), Fault> {
        let waits = std::mem::take(&mut self.is_complete);
        if waits && !self.reads_several() {
            self.held = self.entries.wait(self.tail.last).await?;
        }
        self.is_complete = self.poll_once(waits).await?;
        Ok(())
    }

    /// Returns whether several entries are read at once, without a script.
    fn reads_several(&self) -> bool {
        self.held.is_none() && self.part.bytes.is_empty() && self.entries.expects_small_entries()
    }

    /// Ingests the entries since the last poll, or loads the stream if it is another one. Returns whether everything
    /// in the stream is ingested. A poll that `waits` does so until there is an entry, if the entries are small.
    async fn poll_once(&mut self, waits: bool) -> Result<bool, Fault> {
        let Some(epoch) = self.epoch else {
            self.load().await?;
            return Ok(false);
        };
        if self.snapshots.has_unread() {
            let left_out = Box::pin(self.snapshots.load(&mut self.entries.connection, self.link)).await?;
            self.search.record_left_out(left_out, self.link);
        }
        self.ingest_values(self.tail.last).await?;
        let newest_acknowledged = self.shared.acknowledged.newest_unread();
        let last = self.tail.last;
        let several = if self.reads_several() { self.entries.read_several(last, waits).await? } else { None };
        let page = if let Some(page) = several {
            page
        } else {
            // A page has none of them.
            self.entries.poll_ephemerals().await?;
            self.entries.read_page(last, self.held.as_ref(), &self.part).await?
        };
        if page.epoch != Some(epoch) {
            self.unload(epoch);
            return Ok(false);
        }
        let held_exists = self.held.is_some() && page.after_exists;
        let is_partial = page.entries.last().is_some_and(|entry| self.is_partial(entry));
        let is_complete = page.is_complete && !is_partial;
        let trimmed = page.trimmed_entries();
        let summary = PollSummary {
            info: page.info,
            last_exists: page.last_exists,
            read: (page.entries.len() - trimmed) as u64 + u64::from(held_exists) - u64::from(is_partial),
            gone: trimmed as u64 + u64::from(self.held.is_some() && !held_exists),
            is_complete,
        };
        let progress = self.tail.progress(&summary);
        let Progress::Advanced { missing } =
            self.check_acknowledged(progress, &page, is_complete, newest_acknowledged)?
        else {
            self.entries.connection.change_epoch(epoch, self.link.channel()).await?;
            self.unload(epoch);
            return Ok(false);
        };
        if missing > 0 && self.link.snapshot_version().is_some() {
            self.trimmed = read_trim_point(&mut self.entries.connection, self.link, epoch).await?;
            let first = self.held.as_ref().filter(|_| held_exists).or(page.entries.first());
            if first.is_some_and(|first| first.offset <= self.trimmed.offset) {
                // More is trimmed by now, and the senders are those up to there.
                return Ok(false);
            }
        }
        if missing > 0 {
            self.link.report_trimmed(Some(missing));
            self.shared.acknowledged.record_trimmed(missing, page.info.newest);
            self.tail.added += missing;
            self.has_missed = true;
        }
        let newest = page.info.newest;
        self.trimming.record_state(page.info);
        self.receive_ephemerals();
        self.ingest_page(page, is_partial).await?;
        self.backoff.reset();
        if is_complete {
            self.ingest_values(newest).await?;
            if newest > self.tail.last {
                // The newest entries are missing.
                self.tail.last = newest;
                self.link.advance_to(newest);
                self.record_checkpoint(None);
            }
            self.shared.acknowledged.forget_through(newest);
            self.loaded_offsets = HashMap::new();
            self.pass_ephemerals();
            self.write().await?;
            self.link.caught_up();
            Box::pin(self.find_lost_snapshots(epoch)).await?;
        } else {
            self.pass_ephemerals();
        }
        Ok(is_complete)
    }

    /// Looks whether other processes have kept snapshots that are lost in this one. They are read before the next poll.
    async fn find_lost_snapshots(&mut self, epoch: Epoch) -> Result<(), Fault> {
        if !self.snapshots.has_unread() && self.link.snapshot_version().is_some() {
            self.snapshots = self.search.find(&mut self.entries.connection, self.link, epoch).await?;
        }
        Ok(())
    }

    /// Takes the ephemeral messages that were read.
    fn receive_ephemerals(&mut self) {
        for mut entry in self.entries.take_ephemerals() {
            self.foreign_ephemerals += usize::from(entry.sender().is_none());
            let sender = entry.sender().map(|(sender_id, number)| (sender_id.to_owned(), number));
            let (follows, age) = (entry.follows.unwrap_or_default(), self.clock.age_of(entry.offset));
            let payload = entry.data.take().unwrap_or_default();
            self.ephemerals.push(EphemeralEntry { follows, sender, payload, age });
        }
    }

    /// Passes the ephemeral messages to the store whose entries are ingested.
    fn pass_ephemerals(&mut self) {
        self.ephemerals.pass_up_to(self.tail.last, self.link);
    }

    /// Returns whether more of this entry must be read.
    fn is_partial(&self, entry: &Entry) -> bool {
        let known = self.part.known(entry.offset) + entry.data.as_ref().map_or(0, Vec::len);
        entry.length <= self.link.memory() && known < entry.length
    }

    /// Compares the stream with what was acknowledged to this process; `newest_acknowledged` is the newest offset that was
    /// unread before the poll. A stream that lacks some of it was rolled back; but a connection to another server, which
    /// lacks it for now, is replaced first.
    fn check_acknowledged(
        &mut self,
        progress: Progress,
        page: &Page,
        is_complete: bool,
        newest_acknowledged: Offset,
    ) -> Result<Progress, Fault> {
        let Progress::Advanced { missing } = progress else {
            self.misses_acknowledged = false;
            return Ok(progress);
        };
        let newest = page.info.newest;
        let is_read = |offset| self.is_read(page, offset);
        if newest >= newest_acknowledged
            && !(is_complete && self.shared.acknowledged.has_lost(newest, missing, is_read))
        {
            self.misses_acknowledged &= !is_complete;
            return Ok(progress);
        }
        if !std::mem::replace(&mut self.misses_acknowledged, true) {
            return Err(Fault::Protocol("the stream lacks entries that were acknowledged".into()));
        }
        self.misses_acknowledged = false;
        Ok(Progress::RolledBack)
    }

    /// Returns whether the page, or the held entry, is the entry of this process at this offset.
    fn is_read(&self, page: &Page, offset: Offset) -> bool {
        let found = page.entries.binary_search_by_key(&offset, |entry| entry.offset).ok();
        let entry = found.map(|index| &page.entries[index]).or(self.held.as_ref());
        entry.is_some_and(|entry| entry.offset == offset && self.is_ours(entry))
    }

    /// Records that the stream is read up to an entry of this sender.
    fn record_checkpoint(&self, sender: Option<(&str, u64)>) {
        if self.link.snapshot_version().is_some() {
            self.shared.checkpoints.record(self.tail.last, self.tail.added, sender);
        }
    }

    /// Returns whether this process has sent the entry.
    fn is_ours(&self, entry: &Entry) -> bool {
        entry.sender().is_some_and(|(sender_id, _)| sender_id == self.link.sender_id())
    }

    /// Passes the entries of a page to the store, with the latest values that precede them.
    async fn ingest_page(&mut self, page: Page, is_partial: bool) -> Result<(), Fault> {
        let mut entries = page.entries;
        let partial = if is_partial { entries.pop() } else { None };
        if self.has_missed {
            self.read_missed_values().await?;
            let first = self.held.as_ref().or(entries.first()).map(|entry| entry.offset.previous());
            self.link.mark_trimmed_through(first.unwrap_or(page.info.newest));
        }
        for mut entry in self.held.take().into_iter().chain(entries) {
            let field = self.values.remove(entry.offset);
            self.ingest_values(entry.offset).await?;
            self.pass_ephemerals();
            if let Some(data) = entry.data.take() {
                entry.data = Some(self.part.take_with(entry.offset, data));
            }
            self.apply(&entry, field);
            if self.is_ours(&entry) {
                self.shared.acknowledged.record_read(entry.offset);
            }
            self.tail = Tail { last: entry.offset, added: self.tail.added + 1 };
            self.record_checkpoint(entry.sender());
        }
        if let Some(Entry { offset, data: Some(data), .. }) = partial {
            let bytes = self.part.take_with(offset, data);
            self.part = Part { offset, bytes };
        }
        self.write().await
    }

    /// Passes one entry to the store, and notes the change that it makes to the latest values. `loaded_field` has its
    /// value in the hash that was loaded.
    fn apply(&mut self, entry: &Entry, loaded_field: Option<String>) {
        let (link, offset, sender) = (self.link, entry.offset, entry.sender());
        if sender.is_none() {
            self.foreign += 1;
        }
        if loaded_field.is_none() && self.trimmed.is_repeated(offset, sender) {
            // Its first copy is in the snapshots.
            return link.advance_to(offset);
        }
        let drops = entry.forget.is_some() || matches!(entry.notice, Some(Notice::Remove(_)));
        if drops && sender.is_some_and(|sender| !link.record_request(sender)) {
            // It was sent again after a lost reply. What followed the first stays.
            link.advance_to(offset);
            return;
        }
        match &entry.notice {
            Some(Notice::Finish(key)) => return link.finish(offset, key),
            Some(Notice::Reopen(key)) => return link.reopen(offset, key),
            Some(Notice::Remove(key)) => {
                let fields = link.remove(offset, key);
                if !fields.is_empty() {
                    self.latest_writes.push(LatestWrite::Forget { offset, fields });
                }
                if link.snapshot_version().is_some() {
                    // A process may have written it after the removal, which it had not read yet.
                    self.snapshot_drops.push(SnapshotDrop { key: key.clone(), offset, epoch: None });
                }
                return;
            }
            Some(Notice::Expire { value, field }) => {
                link.expire(offset, *value, entry.data.as_deref().unwrap_or_default());
                // A reading process may have kept it once more, for another program that has appended it.
                self.latest_writes.push(LatestWrite::Forget { offset: *value, fields: vec![field.clone()] });
                return;
            }
            None => {}
        }
        if let Some(key) = &entry.forget {
            let fields = link.forget(Some(offset), key);
            if !fields.is_empty() {
                self.latest_writes.push(LatestWrite::Forget { offset, fields });
            }
            return;
        }
        let Some(payload) = &entry.data else {
            link.skip_unreadable(offset, "no field `data`");
            return;
        };
        if payload.len() < entry.length {
            link.skip_unreadable(offset, "longer than the memory of the store");
            return;
        }
        let age = self.clock.age_of(offset);
        let incoming = IncomingEntry { payload, sender, key: entry.key.as_deref(), age };
        let slot = match link.ingest(offset, incoming) {
            Ingested::Latest { slot } => slot,
            Ingested::Tombstone { slots } if !slots.is_empty() => {
                self.latest_writes.push(LatestWrite::Forget { offset, fields: slots });
                return;
            }
            _ => return,
        };
        // An earlier version has named the field in another way.
        let renamed = loaded_field.filter(|field| *field != slot);
        let is_renamed = renamed.is_some();
        if let Some(field) = renamed {
            self.latest_writes.push(LatestWrite::Forget { offset, fields: vec![field] });
        }
        // Processes of ours keep the value when they append it.
        if (sender.is_none() || is_renamed) && self.loaded_offsets.get(&slot).is_none_or(|newest| *newest < offset) {
            self.latest_writes.push(LatestWrite::Upsert { field: slot, offset, payload: payload.clone() });
        }
    }

    /// Ingests the latest values up to an offset whose entries are not in the stream.
    async fn ingest_values(&mut self, up_to: Offset) -> Result<(), Fault> {
        while self.values.has_up_to(up_to) {
            for value in self.values.read_some(&mut self.entries.connection, up_to).await? {
                let LatestValue { field, offset, payload } = value;
                self.finishes.pass_up_to(offset, self.link);
                let incoming = IncomingEntry::new(&payload).with_age(self.clock.age_of(offset));
                if let Ingested::Latest { slot } = self.link.ingest(offset, incoming)
                    && slot != field
                {
                    // An earlier version has named the field in another way.
                    self.latest_writes.push(LatestWrite::Forget { offset, fields: vec![field] });
                    self.latest_writes.push(LatestWrite::Upsert { field: slot, offset, payload });
                }
            }
        }
        self.finishes.pass_up_to(up_to, self.link);
        Ok(())
    }

    /// Reads the latest values again after entries were trimmed unread: what those have set, and what they have
    /// forgotten.
    async fn read_missed_values(&mut self) -> Result<(), Fault> {
        let index = LatestIndex::read(&mut self.entries.connection).await?;
        self.values = UnreadValues::newer_than(&index, self.tail.last);
        self.link.retain_latest(&|slot| index.offsets.contains_key(slot));
        if self.link.can_finish() {
            self.finishes = UnreadFinishes::read(&mut self.entries.connection, self.tail.last).await?;
            self.link.retain_finishes(&|offset, key| self.finishes.contains(offset, key));
        }
        self.has_missed = false;
        Ok(())
    }

    /// Writes latest values, forgets old finishes, and trims the stream on behalf of other programs.
    async fn write(&mut self) -> Result<(), Fault> {
        let keys = self.entries.connection.keys;
        let mut pipeline = redis::pipe();
        self.latest_scripts.add_writes(&mut pipeline, keys, std::mem::take(&mut self.latest_writes));
        if self.foreign >= TRIM_AFTER_FOREIGN {
            self.foreign = 0;
            pipeline.cmd("XTRIM").arg(&keys.stream).arg("MAXLEN").arg("~").arg(self.shared.history_max);
        }
        if self.foreign_ephemerals >= TRIM_AFTER_FOREIGN {
            self.foreign_ephemerals = 0;
            pipeline.cmd("XTRIM").arg(&keys.ephemeral).arg("MAXLEN").arg("~").arg(EPHEMERAL_HISTORY);
        }
        if !pipeline.is_empty() {
            let refusal = self.find_refusal(&pipeline).await?;
            if let Some(error) = self.latest_refusal.replace(refusal) {
                tracing::warn!(target: "tornadose", channel = self.link.channel(), error, "latest values not kept");
            }
        }
        if let Some(pipeline) = self.trimming.pipeline_if_due(keys, self.shared, self.clock, self.link) {
            let refusal = self.find_refusal(&pipeline).await?;
            if let Some(error) = self.trimming.record(refusal) {
                tracing::warn!(target: "tornadose", channel = self.link.channel(), error, "stream not trimmed");
            }
        }
        if !self.snapshot_drops.is_empty() {
            let mut pipeline = redis::pipe();
            add_drops(&mut pipeline, keys, std::mem::take(&mut self.snapshot_drops));
            let refusal = self.find_refusal(&pipeline).await?;
            if let Some(error) = self.snapshots_refusal.replace(refusal) {
                tracing::warn!(target: "tornadose", channel = self.link.channel(), error, "snapshots not dropped");
            }
        }
        if self.link.can_finish() { self.forget_finishes(keys).await } else { Ok(()) }
    }

    /// Forgets finishes that are old, and those of earlier epochs.
    async fn forget_finishes(&mut self, keys: &Keys) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        self.finishes.add_drop_of_stale(&mut pipeline, keys);
        self.reopening.add_if_due(&mut pipeline, keys, self.shared.history_max, self.link);
        if !pipeline.is_empty() {
            let refusal = self.find_refusal(&pipeline).await?;
            if let Some(error) = self.finishes_refusal.replace(refusal) {
                tracing::warn!(target: "tornadose", channel = self.link.channel(), error, "finishes not forgotten");
            }
        }
        Ok(())
    }

    /// Runs commands. Returns why Redis refuses one of them: it may be a read-only replica, or out of memory, or the user may
    /// lack a permission. Reading goes on.
    async fn find_refusal(&mut self, pipeline: &Pipeline) -> Result<Option<String>, Fault> {
        let error = self.entries.connection.query(pipeline).await?.find_error();
        Ok(error.map(|error| Fault::from(error).to_string()))
    }

    /// Looks at the stream, and begins to read it from its history on.
    async fn load(&mut self) -> Result<(), Fault> {
        let LoadedStream { mut epoch, tail, largest, latest, mut place, trimmed } =
            load(&mut self.entries.connection, self.link, self.shared, self.occasion).await?;
        self.occasion = Occasion::Reload;
        if self.link.queue_ttl().is_some() || self.link.expires_latest() || self.link.has_ephemeral() {
            self.read_clock().await?;
        }
        self.ephemerals.clear();
        self.entries.skip_ephemerals().await?;
        if self.former_epochs.contains(&epoch) {
            epoch = self.entries.connection.change_epoch(epoch, self.link.channel()).await?;
            place = None;
        }
        self.finishes = UnreadFinishes::default();
        if self.link.can_finish() {
            self.finishes = UnreadFinishes::read(&mut self.entries.connection, Offset::START).await?;
        }
        self.snapshots = UnreadSnapshots::default();
        self.search.restart();
        if self.link.snapshot_version().is_some() {
            let connection = &mut self.entries.connection;
            let unread = UnreadSnapshots::read(connection, self.link, epoch, &self.finishes, place);
            let (unread, stale) = Box::pin(unread).await?;
            (self.snapshots, self.snapshot_drops) = (unread, stale);
        }
        // Readers are told of everything before the reset.
        self.shared.acknowledged.start_after(tail.last);
        self.shared.checkpoints.restart(epoch, tail.last, tail.added, trimmed.senders.clone());
        self.trimmed = trimmed;
        self.link.reset(epoch, tail.last);
        self.snapshots.retain_trusted(self.link);
        self.values = UnreadValues::newer_than(&latest, Offset::START);
        (self.tail, self.epoch) = (tail, Some(epoch));
        self.entries.expect(largest);
        if !latest.stale_fields.is_empty() {
            let offset = Offset::new(u64::MAX, u64::MAX);
            self.latest_writes.push(LatestWrite::Forget { offset, fields: latest.stale_fields });
        }
        self.loaded_offsets = latest.offsets;
        Ok(())
    }

    /// Reads the server's clock, so that the age of what is loaded is known.
    async fn read_clock(&mut self) -> Result<(), Fault> {
        let connection = &mut self.entries.connection;
        let time = connection.run(&connection.scripts.time, &[&connection.keys.stream], |_| {}).await?;
        let time = parse_number(&time).ok_or_else(|| Fault::Protocol("unexpected reply to a script".into()))?;
        self.clock.set(time);
        Ok(())
    }

    /// Forgets what was read in this epoch, because the stream is another one.
    fn unload(&mut self, epoch: Epoch) {
        if self.former_epochs.len() == FORMER_EPOCHS_MAX {
            self.former_epochs.pop_front();
        }
        self.former_epochs.push_back(epoch);
        (self.epoch, self.held, self.part, self.has_missed) = (None, None, Part::default(), false);
        self.latest_writes.clear();
    }
}
