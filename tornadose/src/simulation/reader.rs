//! Reads a stream into a store: first what is kept, then each new entry. Notices entries that were trimmed unread, and
//! a stream that was rolled back.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use crate::backend::engine::OpenError;
use crate::backend::ephemeral::{EphemeralEntry, WaitingEphemerals};
use crate::backend::incoming::{IncomingEntry, Ingested};
use crate::backend::link::BackendLink;
use crate::id::{Epoch, Offset};
use crate::simulation::connection::{Connection, Fault, REPLY_TIMEOUT};
use crate::simulation::link::ProcessLink;
use crate::simulation::mistakes::Mistakes;
use crate::simulation::settlement::Settlement;
use crate::simulation::state::State;
use crate::simulation::stream::{
    Body, Entry, Ephemeral, Finishes, LatestValues, LatestWrite, LoadedStream, Place, StreamPoll,
};

/// How many entries one poll returns. It is small, so that a poll is often incomplete.
const PAGE_ENTRIES: usize = 8;

/// How many entries are delivered again at most.
const REDELIVERED_ENTRIES: usize = 4;

pub(super) struct StreamReader<'a> {
    process: &'a ProcessLink,
    link: &'a BackendLink,
    settlement: &'a Settlement,
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
    /// Changes of the latest values that the engine has not confirmed.
    latest_writes: Vec<LatestWrite>,
    /// The newest entries that were read, to be delivered again.
    recent: VecDeque<Entry>,
    redeliveries: u64,
    /// The number of the newest ephemeral message that was read.
    last_ephemeral: u64,
    /// Ephemeral messages whose entries are not ingested yet.
    ephemerals: WaitingEphemerals,
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
        mistakes: Mistakes,
    ) -> Self {
        Self {
            process,
            link,
            settlement,
            mistakes,
            epoch: None,
            loaded_epoch: None,
            past_epochs: HashSet::new(),
            last: Place::default(),
            run: 0,
            latest_writes: Vec::new(),
            recent: VecDeque::new(),
            redeliveries: process.read(|link| link.redeliveries),
            last_ephemeral: 0,
            ephemerals: WaitingEphemerals::default(),
        }
    }

    /// Loads the stream for the first time.
    pub(super) async fn start(&mut self, connection: &Connection<'_>) -> Result<(), OpenError> {
        let (channel, name) = (self.link.channel(), self.link.type_name());
        let check_type =
            |state: &mut State| Ok(state.stream(channel).type_name.get_or_insert_with(|| name.to_owned()).clone());
        let open_error = |fault: Fault| OpenError::new(format!("the simulated engine: {fault}"));
        let found = connection.call(REPLY_TIMEOUT, check_type).await.map_err(open_error)?;
        if found != name {
            let error = format!("the channel `{channel}` holds messages of the type `{found}`, not `{name}`");
            return Err(OpenError::new(error));
        }
        self.load(connection).await.map_err(open_error)
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
        let last_ephemeral = self.last_ephemeral;
        let news = process.engine.wait_for(|state| {
            let stream = state.stream(channel);
            let is_news = Some(stream.epoch) != epoch
                || stream.newest() != last
                || stream.newest_ephemeral != last_ephemeral
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
                stream.trim_before(now.saturating_sub(ttl_ms));
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
        self.write_latest(connection).await?;
        self.receive_ephemerals(&poll);
        if missing > 0 {
            self.report_trimmed(missing, &poll);
        }
        for entry in &poll.entries {
            self.pass_ephemerals();
            self.apply(entry);
            self.last = entry.place;
            self.recent.push_back(entry.clone());
        }
        self.recent.drain(..self.recent.len().saturating_sub(REDELIVERED_ENTRIES));
        self.pass_ephemerals();
        let is_complete = self.last.offset >= poll.newest.offset;
        if is_complete {
            self.write_latest(connection).await?;
            self.link.caught_up();
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
        let drops = matches!(entry.body, Body::Forget { .. } | Body::Remove { .. } | Body::Expire { .. });
        let is_repeated = drops && sender.is_some_and(|sender| !link.record_request(sender));
        match &entry.body {
            Body::Message { payload, key, .. } => {
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                let incoming = IncomingEntry::new(payload).with_age(self.age_of_entry(entry));
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
                        self.latest_writes.push(LatestWrite::Upsert { slot, offset, payload: payload.clone() });
                    }
                    Ingested::Tombstone { slots } if !slots.is_empty() => {
                        self.latest_writes.push(LatestWrite::Forget { slots, offset });
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
                    self.latest_writes.push(LatestWrite::Forget { slots, offset });
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
                if sender.is_some_and(|(sender_id, _)| sender_id == link.sender_id()) {
                    self.settlement.record_read(offset);
                }
                let slots = link.remove(offset, key);
                if !slots.is_empty() {
                    self.latest_writes.push(LatestWrite::Forget { slots, offset });
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
                self.latest_writes.push(LatestWrite::Forget { slots: vec![slot.clone()], offset: *value });
            }
            Body::Unreadable => link.skip_unreadable(offset, "no field `data`"),
        }
    }

    async fn write_latest(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        if self.latest_writes.is_empty() {
            return Ok(());
        }
        let (channel, writes) = (self.link.channel(), self.latest_writes.clone());
        let request = |state: &mut State| {
            let stream = state.stream(channel);
            for write in writes {
                stream.write_latest(write);
            }
            Ok(())
        };
        connection.call(REPLY_TIMEOUT, request).await?;
        self.latest_writes.clear();
        Ok(())
    }

    /// Loads the stream, and ingests its latest values and its history in order.
    async fn load(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        let (link, channel) = (self.link, self.link.channel());
        let acknowledged = self.settlement.acknowledged();
        self.epoch = None;
        let request = |state: &mut State| Ok((state.runs, state.stream(channel).load()));
        let (run, loaded) = connection.call(REPLY_TIMEOUT, request).await?;
        let LoadedStream { epoch, newest, newest_ephemeral, entries, latest, mut finishes } = loaded;
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
        self.latest_writes.clear();
        self.recent.clear();
        self.ephemerals.clear();
        self.last_ephemeral = newest_ephemeral;
        let mut values = by_offset(&latest, &finishes);
        for entry in &entries {
            let newer = values.split_off(&entry.place.offset);
            self.ingest_values(&std::mem::replace(&mut values, newer));
            values.remove(&entry.place.offset);
            self.apply(entry);
        }
        self.ingest_values(&values);
        link.advance_to(newest.offset);
        (self.epoch, self.loaded_epoch, self.last, self.run) = (Some(epoch), Some(epoch), newest, run);
        link.caught_up();
        Ok(())
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
