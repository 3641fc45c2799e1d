//! Reads a stream into a store: first what is kept, then each new entry. Notices entries that were trimmed unread, and
//! a stream that was rolled back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use crate::backend::checkpoints::{Checkpoints, TrimPoint};
use crate::backend::engine::OpenError;
use crate::backend::ephemeral::{EphemeralEntry, WaitingEphemerals};
use crate::backend::incoming::{IncomingEntry, Ingested};
use crate::backend::link::BackendLink;
use crate::backend::snapshots::{KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp};
use crate::id::{Epoch, Offset};
use crate::simulation::connection::{Connection, Fault, REPLY_TIMEOUT};
use crate::simulation::link::ProcessLink;
use crate::simulation::mistakes::Mistakes;
use crate::simulation::settlement::Settlement;
use crate::simulation::state::State;
use crate::simulation::stream::{
    Body, Entry, Ephemeral, Finishes, LatestValues, LoadedStream, Place, StreamPoll, TableWrite,
};

/// How many entries one poll returns. It is small, so that a poll is often incomplete.
const PAGE_ENTRIES: usize = 8;

/// How many lost snapshots are looked for at once.
const SEARCHED_MAX: usize = 4;

/// How many entries are delivered again at most.
const REDELIVERED_ENTRIES: usize = 4;

pub(super) struct StreamReader<'a> {
    process: &'a ProcessLink,
    link: &'a BackendLink,
    settlement: &'a Settlement,
    checkpoints: &'a Checkpoints,
    mistakes: Mistakes,
    /// The epoch of the loaded stream; `None` when the stream must be loaded again.
    epoch: Option<Epoch>,
    /// The epoch that was loaded last.
    loaded_epoch: Option<Epoch>,
    /// Earlier epochs. An engine that shows one of them was restored together with its epoch.
    past_epochs: HashSet<Epoch>,
    last: Place,
    /// The run of the engine in which `last` was read.
    run: u64,
    /// Changes of what is beside the stream that the engine has not confirmed.
    table_writes: Vec<TableWrite>,
    /// The newest entries that were read, to be delivered again.
    recent: VecDeque<Entry>,
    redeliveries: u64,
    /// The number of the newest ephemeral message that was read.
    last_ephemeral: u64,
    /// Ephemeral messages whose entries are not ingested yet.
    ephemerals: WaitingEphemerals,
    /// How often a snapshot had been kept when lost ones were looked for.
    snapshot_changes: u64,
    /// The trim point of the stream when it was loaded, or entries were found missing.
    trimmed: TrimPoint,
}

/// A stream compared with what was read of it.
enum Progress {
    /// It has advanced. `missing` entries in between were never read.
    Advanced { missing: u64 },
    /// It is not the stream that was read before.
    RolledBack,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(
        process: &'a ProcessLink,
        link: &'a BackendLink,
        settlement: &'a Settlement,
        checkpoints: &'a Checkpoints,
        mistakes: Mistakes,
    ) -> Self {
        Self {
            process,
            link,
            settlement,
            checkpoints,
            mistakes,
            epoch: None,
            loaded_epoch: None,
            past_epochs: HashSet::new(),
            last: Place::default(),
            run: 0,
            table_writes: Vec::new(),
            recent: VecDeque::new(),
            redeliveries: process.read(|link| link.redeliveries),
            last_ephemeral: 0,
            ephemerals: WaitingEphemerals::default(),
            snapshot_changes: 0,
            trimmed: TrimPoint::default(),
        }
    }

    /// Loads the stream for the first time.
    pub(super) async fn start(&mut self, connection: &Connection<'_>) -> Result<(), OpenError> {
        let (channel, name) = (self.link.channel(), self.link.type_name());
        let has_snapshots = self.link.snapshot_version().is_some();
        let check_type = |state: &mut State| {
            let stream = state.stream(channel);
            stream.has_snapshots |= has_snapshots;
            Ok(stream.type_name.get_or_insert_with(|| name.to_owned()).clone())
        };
        let open_error = |fault: Fault| OpenError::new(format!("the simulated engine: {fault}"));
        let found = connection.call(REPLY_TIMEOUT, check_type).await.map_err(open_error)?;
        if found != name {
            let error = format!("the channel `{channel}` holds messages of the type `{found}`, not `{name}`");
            return Err(OpenError::new(error));
        }
        self.load(connection).await.map_err(open_error)
    }

    /// Returns the run of the engine in which the stream was read last.
    pub(super) fn engine_run(&self) -> u64 {
        self.run
    }

    /// Reads for ever, and connects again when the connection is lost.
    pub(super) async fn run(mut self) {
        loop {
            let connection = Connection::open(self.process).await;
            let Err(fault) = self.follow(&connection).await else { continue };
            self.link.report_disconnected(&fault.to_string());
        }
    }

    /// Reads everything there is, and waits for more.
    async fn follow(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        while !self.poll_once(connection).await? {}
        let (process, channel) = (self.process, self.link.channel());
        let (epoch, last, redeliveries) = (self.epoch, self.last, self.redeliveries);
        let (last_ephemeral, snapshot_changes) = (self.last_ephemeral, self.snapshot_changes);
        let news = process.engine.wait_for(|state| {
            let stream = state.stream(channel);
            let is_news = Some(stream.epoch) != epoch
                || stream.newest() != last
                || stream.newest_ephemeral != last_ephemeral
                || stream.snapshots.changes != snapshot_changes
                || self.settlement.has_acknowledged();
            let redeliveries = Some(state.links[process.index].redeliveries).filter(|now| *now != redeliveries);
            (is_news || redeliveries.is_some()).then_some(redeliveries)
        });
        let redeliveries = tokio::select! {
            biased;
            fault = connection.lost() => return Err(fault),
            redeliveries = news => redeliveries,
        };
        if let Some(redeliveries) = redeliveries {
            self.redeliveries = redeliveries;
            for entry in self.recent.clone() {
                self.apply(&entry);
            }
        }
        Ok(())
    }

    /// Ingests the entries since the last poll, or loads the stream if it is another one. Returns whether the poll was
    /// complete.
    async fn poll_once(&mut self, connection: &Connection<'_>) -> Result<bool, Fault> {
        let (channel, last) = (self.link.channel(), self.last);
        let acknowledged = self.settlement.acknowledged();
        let repeated = if self.mistakes.repeats_ephemerals() { 2 } else { 0 };
        let last_ephemeral = self.last_ephemeral.saturating_sub(repeated);
        let (ttl, now) = (self.link.queue_ttl(), self.process.engine.now());
        let request = |state: &mut State| {
            let stream = state.stream(channel);
            if let Some(ttl) = ttl {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                stream.trim_older(now, ttl_ms);
            }
            let poll = stream.poll(last, PAGE_ENTRIES, last_ephemeral);
            Ok((state.runs, poll))
        };
        let (run, poll) = connection.call(REPLY_TIMEOUT, request).await?;
        if self.epoch != Some(poll.epoch) {
            // An epoch that is older than the newest restore does not tell of what was lost by it.
            let is_older = self.loaded_epoch.is_some() && poll.epoch_run != run && run != self.run;
            let is_rolled_back = matches!(self.progress(run, &poll, &acknowledged), Progress::RolledBack);
            self.record_past_epoch(poll.epoch);
            if self.is_past(poll.epoch) || (is_older && is_rolled_back) {
                self.change_epoch(connection, poll.epoch, &acknowledged).await?;
            } else {
                self.load(connection).await?;
            }
            return Ok(false);
        }
        let missing = match self.progress(run, &poll, &acknowledged) {
            Progress::Advanced { missing } => missing,
            Progress::RolledBack => {
                self.change_epoch(connection, poll.epoch, &acknowledged).await?;
                return Ok(false);
            }
        };
        self.run = run;
        // Values of a stream that was rolled back are not written.
        self.write_tables(connection).await?;
        self.receive_ephemerals(&poll);
        if missing > 0 {
            self.trimmed = poll.trimmed.clone();
            self.report_trimmed(missing, &poll);
        }
        for entry in &poll.entries {
            self.pass_ephemerals();
            self.apply(entry);
            self.last = entry.place;
            self.record_checkpoint(entry);
            self.recent.push_back(entry.clone());
        }
        self.recent.drain(..self.recent.len().saturating_sub(REDELIVERED_ENTRIES));
        self.pass_ephemerals();
        let is_complete = self.last.offset >= poll.newest.offset;
        if is_complete {
            self.write_tables(connection).await?;
            self.link.caught_up();
            self.snapshot_changes = poll.snapshot_changes;
            self.recover_snapshots(connection).await?;
        }
        Ok(is_complete)
    }

    /// Takes the ephemeral messages of a poll.
    fn receive_ephemerals(&mut self, poll: &StreamPoll) {
        self.last_ephemeral = poll.newest_ephemeral;
        if !self.link.has_ephemeral() {
            return;
        }
        let now = self.process.engine.now();
        for Ephemeral { follows, sender, payload, at, .. } in &poll.ephemerals {
            let follows = if self.mistakes.overlooks_what_is_followed() { Offset::START } else { *follows };
            let loses_sender = self.mistakes.loses_the_sender() || self.mistakes.repeats_ephemerals();
            let sender = Some(sender.clone()).filter(|_| !loses_sender);
            let age = Duration::from_millis(now.saturating_sub(*at));
            self.ephemerals.push(EphemeralEntry { follows, sender, payload: payload.clone(), age });
        }
    }

    /// Passes the ephemeral messages to the store whose entries are ingested.
    fn pass_ephemerals(&mut self) {
        self.ephemerals.pass_up_to(self.last.offset, self.link);
    }

    /// Records that the loaded epoch is past if the engine shows another one.
    fn record_past_epoch(&mut self, shown: Epoch) {
        self.past_epochs.extend(self.loaded_epoch.filter(|loaded| *loaded != shown));
    }

    /// Returns whether the engine has shown a later epoch than this one: it was restored together with its epoch.
    fn is_past(&self, epoch: Epoch) -> bool {
        self.past_epochs.contains(&epoch)
    }

    /// Begins a new epoch, unless another process has. The stream is loaded again afterwards.
    async fn change_epoch(
        &mut self,
        connection: &Connection<'_>,
        old: Epoch,
        acknowledged: &BTreeSet<Offset>,
    ) -> Result<(), Fault> {
        let channel = self.link.channel();
        let request = |state: &mut State| {
            state.change_epoch(channel, old);
            Ok(())
        };
        connection.call(REPLY_TIMEOUT, request).await?;
        self.settlement.record_lost(acknowledged);
        self.past_epochs.insert(old);
        self.epoch = None;
        Ok(())
    }

    fn progress(&self, run: u64, poll: &StreamPoll, acknowledged: &BTreeSet<Offset>) -> Progress {
        let (last, first) = (self.last, poll.first);
        let is_trimmed = first.is_none_or(|first| first.offset > last.offset);
        // After a restart it cannot be known whether an entry that is trimmed had been there.
        let is_replaced = last.offset > Offset::START && !poll.last_exists && (!is_trimmed || run != self.run);
        if poll.newest.offset < last.offset || is_replaced {
            return Progress::RolledBack;
        }
        let trimmed = first.map_or(poll.newest.added, |first| first.added - 1);
        let missing = if is_trimmed {
            let Some(missing) = trimmed.checked_sub(last.added) else { return Progress::RolledBack };
            missing
        } else {
            0
        };
        // The poll shows all entries up to here.
        let up_to = poll.entries.last().map_or(poll.newest.offset, |entry| entry.place.offset);
        let is_lost = |offset: &Offset| {
            let is_read = poll.entries.iter().any(|entry| entry.place.offset == *offset);
            let is_passed = *offset <= up_to || *offset > poll.newest.offset;
            is_passed && !is_read
        };
        if acknowledged.iter().any(is_lost) && !self.mistakes.overlooks_the_rollback() {
            return Progress::RolledBack;
        }
        Progress::Advanced { missing }
    }

    /// Reports entries that were trimmed unread. Latest values among them are still known.
    ///
    /// Other entries may be missing before and after such a value, and another process may have sent its id to a
    /// client without a gap. So there is a gap on either side of each.
    fn report_trimmed(&mut self, missing: u64, poll: &StreamPoll) {
        let report = |missed| {
            if !self.mistakes.forgets_the_gap() {
                self.link.report_trimmed(missed);
            }
        };
        report(Some(missing));
        let up_to = poll.first.map_or(poll.newest.offset, |first| first.offset.previous());
        if let Some((latest, finishes)) = &poll.table {
            self.link.retain_latest(&|slot| latest.contains_key(slot));
            // Before the newer ones are passed: of two finishes of a key the first counts.
            let is_kept = |offset, key: &str| finishes.get(key).is_some_and(|finish| finish.offset == offset);
            self.link.retain_finishes(&is_kept);
            let mut unread = by_offset(latest, finishes);
            unread.retain(|offset, _| *offset > self.last.offset && *offset <= up_to);
            for (offset, known) in unread {
                known.pass(offset, self.age_of(offset), self.link);
                report(None);
            }
        }
        self.link.mark_trimmed_through(up_to);
        if poll.first.is_none() {
            // Nothing is kept: the missing entries were the newest ones.
            self.last = poll.newest;
            self.link.advance_to(self.last.offset);
        }
    }

    /// Returns how long ago an entry was appended, by the engine's clock.
    fn age_of(&self, offset: Offset) -> Duration {
        Duration::from_millis(self.process.engine.now().saturating_sub(offset.major()))
    }

    fn age_of_entry(&self, entry: &Entry) -> Duration {
        let slot = |entry: &Entry| match &entry.body {
            Body::Message { slot, .. } => slot.clone(),
            _ => None,
        };
        let is_renewed = || slot(entry).is_some() && self.recent.iter().any(|other| slot(other) == slot(entry));
        if self.mistakes.expires_the_renewed() && is_renewed() {
            return Duration::from_secs(60);
        }
        self.age_of(entry.place.offset)
    }

    /// Passes one entry to the store.
    fn apply(&mut self, entry: &Entry) {
        let (link, offset) = (self.link, entry.place.offset);
        let sender = entry.sender.as_ref().map(|(sender_id, number)| (sender_id.as_str(), *number));
        // A value is the newest in its slot whether or not it was sent again.
        let is_value = matches!(entry.body, Body::Message { slot: Some(_), .. });
        if !is_value && self.trimmed.is_repeated(offset, sender) && !self.mistakes.loses_the_sender() {
            // Its first copy is in the snapshots.
            if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                self.settlement.record_read(offset);
            }
            return link.advance_to(offset);
        }
        let drops = matches!(entry.body, Body::Forget { .. } | Body::Remove { .. } | Body::Expire { .. });
        let is_repeated = drops && sender.is_some_and(|sender| !link.record_request(sender));
        match &entry.body {
            Body::Message { payload, key, .. } => {
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                let read: &[u8] = payload;
                #[cfg(test)]
                let read = self.mistakes.payload_as_read(read);
                let incoming = IncomingEntry::new(read).with_age(self.age_of_entry(entry));
                let incoming = match sender.filter(|_| !self.mistakes.loses_the_sender()) {
                    Some((sender_id, number)) => incoming.with_sender(sender_id, number),
                    None => incoming,
                };
                let is_mixed_up = self.mistakes.mixes_up_keys() && sender.is_some_and(|(_, number)| number % 2 == 0);
                let key = if is_mixed_up { Some("null") } else { key.as_deref() };
                let incoming = key.map_or(incoming, |key| incoming.with_key(key));
                match link.ingest(offset, incoming) {
                    // The engine does not know the slot of another program's message.
                    Ingested::Latest { slot } if sender.is_none() => {
                        self.table_writes.push(TableWrite::Upsert { slot, offset, payload: payload.clone() });
                    }
                    Ingested::Tombstone { slots } if !slots.is_empty() => {
                        self.table_writes.push(TableWrite::Forget { slots, offset });
                    }
                    _ => {}
                }
            }
            // It was sent again after a lost reply. What followed the first stays.
            Body::Forget { .. } | Body::Remove { .. } | Body::Expire { .. } if is_repeated => {
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                link.advance_to(offset);
            }
            Body::Forget { key } => {
                let slots = link.forget(Some(offset), key);
                if !slots.is_empty() {
                    self.table_writes.push(TableWrite::Forget { slots, offset });
                }
            }
            Body::Finish { key } => {
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                if self.mistakes.swallows_finishes() {
                    return;
                }
                link.finish(offset, key);
            }
            Body::Remove { key } => {
                if self.link.snapshot_version().is_some() && !self.mistakes.keeps_removed_snapshots() {
                    self.table_writes.push(TableWrite::DropSnapshot { key: key.clone(), offset });
                }
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                let slots = link.remove(offset, key);
                if !slots.is_empty() {
                    self.table_writes.push(TableWrite::Forget { slots, offset });
                }
            }
            Body::Expire { slot, value, payload, .. } => {
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                if self.mistakes.swallows_expiries() {
                    return link.advance_to(offset);
                }
                link.expire(offset, *value, payload);
                // A reading process may have kept it once more, for another program that has appended it.
                self.table_writes.push(TableWrite::Forget { slots: vec![slot.clone()], offset: *value });
            }
            Body::Unreadable if self.mistakes.covers_the_skipped() => link.advance_to(offset),
            Body::Unreadable => link.skip_unreadable(offset, "no field `data`"),
        }
    }

    /// Records that the stream is read up to this entry.
    fn record_checkpoint(&self, entry: &Entry) {
        let sender = entry.sender.as_ref().map(|(sender_id, number)| (sender_id.as_str(), *number));
        self.checkpoints.record(entry.place.offset, entry.place.added, sender);
    }

    async fn write_tables(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        if self.table_writes.is_empty() {
            return Ok(());
        }
        let (channel, writes) = (self.link.channel(), self.table_writes.clone());
        let request = |state: &mut State| {
            let stream = state.stream(channel);
            for write in writes {
                stream.write(write);
            }
            Ok(())
        };
        connection.call(REPLY_TIMEOUT, request).await?;
        self.table_writes.clear();
        Ok(())
    }

    /// Loads the stream, and ingests its latest values and its history in order.
    async fn load(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        let (link, channel) = (self.link, self.link.channel());
        let acknowledged = self.settlement.acknowledged();
        self.epoch = None;
        let request = |state: &mut State| Ok((state.runs, state.stream(channel).load()));
        let (run, loaded) = connection.call(REPLY_TIMEOUT, request).await?;
        let LoadedStream { epoch, newest, newest_ephemeral, entries, latest, mut finishes, snapshots, place, trimmed } =
            loaded;
        if self.mistakes.forgets_finishes() {
            finishes.clear();
        }
        let floor = match entries.first() {
            Some(first) if first.place.added == 1 => Offset::START,
            Some(first) => first.place.offset.previous(),
            None => newest.offset,
        };
        let is_kept = |offset: &Offset| entries.iter().any(|entry| entry.place.offset == *offset);
        // An entry that is not kept was appended in this epoch, while this process had an earlier one loaded.
        let is_lost = !acknowledged.iter().all(is_kept);
        self.record_past_epoch(epoch);
        if self.is_past(epoch) || is_lost {
            return self.change_epoch(connection, epoch, &acknowledged).await;
        }
        link.reset(epoch, floor);
        self.settlement.record_loaded();
        self.table_writes.clear();
        self.recent.clear();
        self.ephemerals.clear();
        self.last_ephemeral = newest_ephemeral;
        let floor_added = entries.first().map_or(newest.added, |first| first.place.added - 1);
        self.checkpoints.restart(epoch, floor, floor_added, trimmed.senders.clone());
        self.trimmed = trimmed;
        self.load_snapshots(snapshots, place, &finishes);
        let mut values = by_offset(&latest, &finishes);
        for entry in &entries {
            let newer = values.split_off(&entry.place.offset);
            self.ingest_values(&std::mem::replace(&mut values, newer));
            values.remove(&entry.place.offset);
            self.apply(entry);
            self.record_checkpoint(entry);
        }
        self.ingest_values(&values);
        link.advance_to(newest.offset);
        (self.epoch, self.loaded_epoch, self.last, self.run) = (Some(epoch), Some(epoch), newest, run);
        link.caught_up();
        Ok(())
    }

    /// Loads the snapshots that the store can use: those of open keys first, then the newest.
    fn load_snapshots(&self, mut snapshots: Vec<KeptSnapshot>, place: Option<SnapshotPlace>, finishes: &Finishes) {
        let finish_of = |snapshot: &KeptSnapshot| finishes.get(&snapshot.key).map(|finish| finish.offset);
        let place = place.filter(|place| Some(place.version) == self.link.snapshot_version());
        let mut place = place.map(|place| place.offset);
        let trusts = |snapshot: &KeptSnapshot, place: Option<Offset>| {
            // Up to the place its key has no other messages.
            let offset = snapshot.stamp.offset.max(place.unwrap_or_default());
            self.link.trusts_snapshot(SnapshotStamp { offset, ..snapshot.stamp }, finish_of(snapshot))
        };
        if !snapshots.iter().all(|snapshot| trusts(snapshot, place)) {
            place = None;
        }
        snapshots.retain(|snapshot| trusts(snapshot, place));
        snapshots.sort_by_key(|snapshot| (finish_of(snapshot).is_some(), Reverse(snapshot.stamp.offset)));
        for snapshot in snapshots {
            match self.link.load_snapshot(&snapshot) {
                LoadedSnapshot::Known => {}
                LoadedSnapshot::Unknown => place = None,
                LoadedSnapshot::NoRoom => {
                    place = None;
                    break;
                }
            }
        }
        if let Some(place) = place {
            self.link.record_all_loaded(place);
        }
    }

    /// Looks whether the engine keeps snapshots that are lost in this process.
    async fn recover_snapshots(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        if self.link.snapshot_version().is_none() || self.recover_all_snapshots(connection).await? {
            return Ok(());
        }
        let (channel, lost) = (self.link.channel(), self.link.lost_snapshots(SEARCHED_MAX));
        let request = |state: &mut State| {
            let snapshots = &state.stream(channel).snapshots;
            Ok(lost.iter().filter_map(|key| snapshots.get(key).cloned()).collect::<Vec<_>>())
        };
        for snapshot in connection.call(REPLY_TIMEOUT, request).await? {
            if self.link.trusts_snapshot(snapshot.stamp, None) {
                self.link.recover_snapshot(&snapshot);
            }
        }
        Ok(())
    }

    /// Takes all snapshots that this process lacks, if those of all keys are kept up to where it has lost messages. Returns
    /// whether it has all then.
    async fn recover_all_snapshots(&mut self, connection: &Connection<'_>) -> Result<bool, Fault> {
        let Some((lost_through, epoch)) = self.link.messages_lost_through().zip(self.epoch) else { return Ok(false) };
        let channel = self.link.channel();
        let request = |state: &mut State| Ok(state.stream(channel).kept_snapshots(epoch));
        let (mut snapshots, place) = connection.call(REPLY_TIMEOUT, request).await?;
        let place = place.filter(|place| Some(place.version) == self.link.snapshot_version());
        let mut place = place.map(|place| place.offset).unwrap_or_default();
        if self.mistakes.believes_an_older_place() {
            place = place.max(lost_through);
        }
        if place < lost_through {
            return Ok(false);
        }
        snapshots.retain(|snapshot| self.link.lacks_snapshot(&snapshot.key));
        let mut has_all = true;
        for snapshot in snapshots {
            let offset = snapshot.stamp.offset.max(place);
            let is_trusted = self.link.trusts_snapshot(SnapshotStamp { offset, ..snapshot.stamp }, None);
            has_all &= is_trusted && self.link.recover_snapshot(&snapshot) == LoadedSnapshot::Known;
        }
        if has_all {
            self.link.record_all_loaded(place);
        }
        Ok(has_all)
    }

    fn ingest_values(&self, values: &BTreeMap<Offset, Known<'_>>) {
        for (offset, known) in values {
            known.pass(*offset, self.age_of(*offset), self.link);
        }
    }
}

/// What the engine knows of an entry that may not be kept.
enum Known<'a> {
    Latest(&'a [u8]),
    /// The finish of this key.
    Finish(&'a str),
}

impl Known<'_> {
    fn pass(&self, offset: Offset, age: Duration, link: &BackendLink) {
        match self {
            Self::Latest(payload) => drop(link.ingest(offset, IncomingEntry::new(payload).with_age(age))),
            Self::Finish(key) => link.finish(offset, key),
        }
    }
}

fn by_offset<'a>(latest: &'a LatestValues, finishes: &'a Finishes) -> BTreeMap<Offset, Known<'a>> {
    let latest = latest.values().map(|(offset, payload)| (*offset, Known::Latest(payload)));
    let finishes = finishes.iter().map(|(key, finish)| (finish.offset, Known::Finish(key)));
    latest.chain(finishes).collect()
}
