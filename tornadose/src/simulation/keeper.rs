//! Keeps snapshots at the engine as they become due.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::checkpoints::{Checkpoints, KeptPlace};
use crate::backend::link::BackendLink;
use crate::backend::snapshots::{DueSnapshot, KeptSnapshot, SnapshotStamp};
use crate::id::Offset;
use crate::simulation::connection::{Connection, Fault, REPLY_TIMEOUT};
use crate::simulation::link::ProcessLink;
use crate::simulation::mistakes::Mistakes;
use crate::simulation::state::State;

/// How many due snapshots are taken at once.
const DUE_MAX: usize = 4;

pub(super) struct SnapshotKeeper<'a> {
    process: &'a ProcessLink,
    link: &'a BackendLink,
    checkpoints: &'a Checkpoints,
    mistakes: Mistakes,
    /// The run of the engine that has what was recorded as kept.
    run: u64,
    /// The payloads that were made before, for a mistake.
    earlier: BTreeMap<String, Vec<u8>>,
}

/// The engine's answer to a request.
enum Answer<T> {
    Done(T),
    /// It was restored, and may have lost snapshots.
    Restored(u64),
    /// It refuses the messages of this process.
    Refused,
}

impl<'a> SnapshotKeeper<'a> {
    /// `run`: that of the engine in which the stream was loaded.
    pub(super) fn new(
        process: &'a ProcessLink,
        link: &'a BackendLink,
        checkpoints: &'a Checkpoints,
        mistakes: Mistakes,
        run: u64,
    ) -> Self {
        Self { process, link, checkpoints, mistakes, run, earlier: BTreeMap::new() }
    }

    /// Keeps what is due, for ever.
    pub(super) async fn run(mut self) {
        loop {
            let connection = Connection::open(self.process).await;
            let due = tokio::select! {
                biased;
                _ = connection.lost() => continue,
                due = self.link.next_snapshots(DUE_MAX) => due,
            };
            let mut unkept: Vec<String> = due.iter().map(|due| due.key.clone()).collect();
            let kept = self.keep(&connection, due, &mut unkept).await;
            for key in &unkept {
                self.link.retry_snapshot(key);
            }
            if let Ok(Answer::Restored(run)) = kept {
                self.run = run;
                if !self.mistakes.overlooks_lost_snapshots() {
                    self.link.recheck_snapshots();
                }
            }
        }
    }

    /// Keeps snapshots, and takes the keys of those that need not be kept again; then the place up to which all are
    /// kept.
    async fn keep(
        &mut self,
        connection: &Connection<'_>,
        due: Vec<DueSnapshot>,
        unkept: &mut Vec<String>,
    ) -> Result<Answer<()>, Fault> {
        let overdue = due.iter().filter(|due| due.is_overdue).map(|due| due.key.clone()).collect();
        let stamps = match self.read_stamps(connection, overdue).await? {
            Answer::Done(stamps) => stamps,
            Answer::Restored(run) => return Ok(Answer::Restored(run)),
            Answer::Refused => return Ok(Answer::Refused),
        };
        for (key, stamp) in stamps {
            self.link.record_kept_snapshot(&key, stamp);
        }
        let mut made = Vec::new();
        for DueSnapshot { key, .. } in due {
            match self.link.make_snapshot(&key) {
                Some(snapshot) => made.push(self.plant_older_payload(snapshot)),
                None => unkept.retain(|unkept| *unkept != key),
            }
        }
        let are_kept = match self.send(connection, made.clone()).await? {
            Answer::Done(are_kept) => are_kept,
            Answer::Restored(run) => return Ok(Answer::Restored(run)),
            Answer::Refused => return Ok(Answer::Refused),
        };
        let mut removed = Vec::new();
        // Without its entry a stream was rolled back, which is about to be noticed.
        let kept = made.into_iter().zip(are_kept).filter(|(_, is_kept)| *is_kept);
        for (KeptSnapshot { key, stamp, .. }, _) in kept {
            unkept.retain(|unkept| *unkept != key);
            if !self.link.record_kept_snapshot(&key, stamp) && !self.mistakes.keeps_removed_snapshots() {
                removed.push((key, stamp.offset));
            }
        }
        match self.drop_removed(connection, removed).await? {
            Answer::Done(()) => self.keep_place(connection).await,
            other => Ok(other),
        }
    }

    /// Plants the mistake of a snapshot that is older than its stamp.
    fn plant_older_payload(&mut self, snapshot: KeptSnapshot) -> KeptSnapshot {
        let before = self.earlier.insert(snapshot.key.clone(), snapshot.payload.clone());
        match before.filter(|_| self.mistakes.keeps_an_older_snapshot()) {
            Some(payload) => KeptSnapshot { payload, ..snapshot },
            None => snapshot,
        }
    }

    /// Looks which snapshots of these keys are kept.
    async fn read_stamps(
        &self,
        connection: &Connection<'_>,
        keys: Vec<String>,
    ) -> Result<Answer<Vec<(String, SnapshotStamp)>>, Fault> {
        self.request(connection, |state| {
            let snapshots = &state.stream(self.link.channel()).snapshots;
            keys.into_iter().filter_map(|key| snapshots.stamp(&key).map(|stamp| (key, stamp))).collect()
        })
        .await
    }

    /// Sends snapshots. Returns of each whether it is kept.
    async fn send(&self, connection: &Connection<'_>, made: Vec<KeptSnapshot>) -> Result<Answer<Vec<bool>>, Fault> {
        self.request(connection, |state| {
            let stream = state.stream(self.link.channel());
            let keep = |(index, snapshot)| {
                let is_lost = index == 0 && self.mistakes.loses_a_snapshot();
                is_lost || stream.keep_snapshot(snapshot)
            };
            made.into_iter().enumerate().map(keep).collect()
        })
        .await
    }

    /// Drops the snapshots of keys that were removed while they were on their way.
    async fn drop_removed(
        &self,
        connection: &Connection<'_>,
        removed: Vec<(String, Offset)>,
    ) -> Result<Answer<()>, Fault> {
        if removed.is_empty() {
            return Ok(Answer::Done(()));
        }
        self.request(connection, |state| {
            let snapshots = &mut state.stream(self.link.channel()).snapshots;
            for (key, offset) in &removed {
                snapshots.drop_through(key, *offset);
            }
        })
        .await
    }

    /// Keeps the place, and trims the stream up to it.
    async fn keep_place(&self, connection: &Connection<'_>) -> Result<Answer<()>, Fault> {
        let Some(KeptPlace { place, .. }) = self.checkpoints.place(self.link) else { return Ok(Answer::Done(())) };
        let (now, ttl) = (self.process.engine.now(), self.link.queue_ttl());
        self.request(connection, |state| {
            let history = state.history as u64;
            let stream = state.stream(self.link.channel());
            stream.keep_place(place);
            let added_in_all = stream.newest().added;
            let is_old = |offset: Offset, added: u64| {
                let age = Duration::from_millis(now.saturating_sub(offset.major()));
                added + history <= added_in_all || ttl.is_some_and(|ttl| age >= ttl)
            };
            if let Some(point) = self.checkpoints.take_trim_point(place, is_old) {
                stream.trim_through(point);
            }
        })
        .await
    }

    /// Executes a request at the engine, if it is the one that has what was recorded, and accepts it.
    async fn request<T>(
        &self,
        connection: &Connection<'_>,
        request: impl FnOnce(&mut State) -> T,
    ) -> Result<Answer<T>, Fault> {
        let (index, run) = (self.process.index, self.run);
        let request = |state: &mut State| {
            Ok(if state.runs != run {
                Answer::Restored(state.runs)
            } else if state.links[index].refusal.is_some() {
                Answer::Refused
            } else {
                Answer::Done(request(state))
            })
        };
        connection.call(REPLY_TIMEOUT, request).await
    }
}
