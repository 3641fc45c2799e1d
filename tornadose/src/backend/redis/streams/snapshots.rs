//! The hash of snapshots: how it is written, and how it is loaded before the stream is read.

use std::cmp::Reverse;
use std::collections::VecDeque;

use redis::{Cmd, Pipeline, Value};

use crate::backend::checkpoints::{Checkpoints, KeptPlace};
use crate::backend::link::BackendLink;
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::master::MasterConnection;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::entry::{Part, parse_values};
use crate::backend::redis::streams::finishes::UnreadFinishes;
use crate::backend::redis::streams::protocol::{
    DROP_SNAPSHOTS_LUA, KEEP_SNAPSHOT_LUA, Keys, SNAPSHOT_STAMPS_LUA, format_id, parse_bytes, parse_id, parse_list,
    parse_number,
};
use crate::backend::redis::streams::refusal::Refusal;
use crate::backend::snapshots::{DueSnapshot, KeptSnapshot, LoadedSnapshot, SnapshotStamp};
use crate::id::{Epoch, Offset};

/// The number of due snapshots that are taken at once.
pub(super) const DUE_MAX: usize = 100;

/// The bytes of snapshots that are sent before their replies are awaited.
const SENT_BYTES_MAX: usize = 1 << 20;

/// The number of snapshots that are asked for at once, if they are small.
const READ_SNAPSHOTS_MAX: usize = 100;

/// A snapshot that is to be dropped from the hash if it is not newer than this offset.
pub(super) struct SnapshotDrop {
    pub(super) key: String,
    pub(super) offset: Offset,
    /// `None` for any.
    pub(super) epoch: Option<Epoch>,
}

/// Adds the command that drops snapshots.
pub(super) fn add_drops(pipeline: &mut Pipeline, keys: &Keys, drops: Vec<SnapshotDrop>) {
    if drops.is_empty() {
        return;
    }
    let command = pipeline.cmd("EVAL").arg(DROP_SNAPSHOTS_LUA).arg(1).arg(&keys.snapshots);
    for SnapshotDrop { key, offset, epoch } in drops {
        command.arg(key).arg(format_id(offset)).arg(epoch.map(|epoch| epoch.to_string()).unwrap_or_default());
    }
}

/// Parses the two ids, the epoch and the version of a snapshot.
fn parse_stamp(text: &[u8]) -> Option<SnapshotStamp> {
    let mut parts = std::str::from_utf8(text).ok()?.split(' ');
    let (offset, epoch, version, newest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(SnapshotStamp {
        offset: parse_id(offset.as_bytes())?,
        newest: parse_id(newest.as_bytes())?,
        epoch: epoch.parse().ok()?,
        version: version.parse().ok()?,
    })
}

/// Parses a value of the hash: an id, an epoch, a version, another id, and the JSON of the snapshot.
fn parse_snapshot(key: &str, value: &[u8]) -> Option<KeptSnapshot> {
    let (space, _) = value.iter().enumerate().filter(|(_, byte)| **byte == b' ').nth(3)?;
    let (stamp, payload) = value.split_at_checked(space)?;
    Some(KeptSnapshot::new(key, parse_stamp(stamp)?, payload.get(1..)?.to_vec()))
}

/// Writes snapshots on the connection that appends.
#[derive(Default)]
pub(super) struct SnapshotWriter {
    refusal: Refusal,
    /// The place that was written last.
    place: Option<KeptPlace>,
    place_refusal: Refusal,
}

impl SnapshotWriter {
    /// Writes the snapshots that are due. Those that Redis does not take are due again.
    pub(super) async fn write(
        &mut self,
        connection: &mut MasterConnection<'_>,
        keys: &Keys,
        link: &BackendLink,
        checkpoints: &Checkpoints,
        due: Vec<DueSnapshot>,
    ) -> Result<(), Fault> {
        let mut unwritten: VecDeque<String> = due.iter().map(|due| due.key.clone()).collect();
        let written = self.write_all(connection, keys, link, due, &mut unwritten).await;
        for key in &unwritten {
            link.retry_snapshot(key);
        }
        written?;
        self.write_place(connection, keys, link, checkpoints).await
    }

    /// Writes the place up to which all snapshots are kept.
    async fn write_place(
        &mut self,
        connection: &mut MasterConnection<'_>,
        keys: &Keys,
        link: &BackendLink,
        checkpoints: &Checkpoints,
    ) -> Result<(), Fault> {
        let place = checkpoints.place(link);
        let Some(place) = place.filter(|place| self.place != Some(*place)) else { return Ok(()) };
        let mut pipeline = redis::pipe();
        place.add_keep(&mut pipeline, keys);
        let refusal = connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?.find_error();
        if refusal.is_none() {
            self.place = Some(place);
        }
        if let Some(error) = self.place_refusal.replace(refusal.map(|error| Fault::from(error).to_string())) {
            tracing::warn!(target: "tornadose", channel = link.channel(), error, "place of snapshots not kept");
        }
        Ok(())
    }

    /// Writes snapshots, and takes the keys of those that need not be written again.
    async fn write_all(
        &mut self,
        connection: &mut MasterConnection<'_>,
        keys: &Keys,
        link: &BackendLink,
        due: Vec<DueSnapshot>,
        unwritten: &mut VecDeque<String>,
    ) -> Result<(), Fault> {
        look(connection, keys, link, due.iter().filter(|due| due.is_overdue)).await?;
        let mut to_make = due.into_iter();
        loop {
            let (mut made, mut bytes) = (Vec::new(), 0);
            while bytes < SENT_BYTES_MAX
                && let Some(due) = to_make.next()
            {
                match link.make_snapshot(&due.key) {
                    Some(snapshot) => {
                        bytes += snapshot.payload.len();
                        made.push(snapshot);
                    }
                    None => unwritten.retain(|key| *key != due.key),
                }
            }
            if made.is_empty() {
                return Ok(());
            }
            let refusal = send(connection, keys, link, made, unwritten).await?;
            if let Some(error) = self.refusal.replace(refusal) {
                tracing::warn!(target: "tornadose", channel = link.channel(), error, "snapshots not kept");
            }
        }
    }
}

/// Looks whether the snapshots of these keys are kept. Other processes ought to have written them.
async fn look(
    connection: &mut MasterConnection<'_>,
    keys: &Keys,
    link: &BackendLink,
    overdue: impl Iterator<Item = &DueSnapshot>,
) -> Result<(), Fault> {
    let overdue: Vec<&str> = overdue.map(|due| due.key.as_str()).collect();
    if overdue.is_empty() {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("EVAL_RO").arg(SNAPSHOT_STAMPS_LUA).arg(1).arg(&keys.snapshots).arg(&overdue);
    // A user may append without the right to read. The snapshots are written again then.
    let Ok(reply) = connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?.next_reply() else { return Ok(()) };
    for (key, stamp) in overdue.into_iter().zip(parse_list(&reply).unwrap_or_default()) {
        if let Some(stamp) = parse_bytes(stamp).and_then(parse_stamp) {
            link.record_kept_snapshot(key, stamp);
        }
    }
    Ok(())
}

/// Sends snapshots. Takes the keys of those that need not be written again, and returns why Redis has refused others.
async fn send(
    connection: &mut MasterConnection<'_>,
    keys: &Keys,
    link: &BackendLink,
    made: Vec<KeptSnapshot>,
    unwritten: &mut VecDeque<String>,
) -> Result<Option<String>, Fault> {
    let mut pipeline = redis::pipe();
    for KeptSnapshot { key, stamp, payload } in &made {
        let command = pipeline.cmd("EVAL").arg(KEEP_SNAPSHOT_LUA).arg(3);
        command.arg(&keys.stream).arg(&keys.snapshots).arg(&keys.epoch);
        command.arg(key).arg(format_id(stamp.offset)).arg(stamp.epoch.to_string()).arg(stamp.version);
        command.arg(format_id(stamp.newest)).arg(payload);
    }
    let mut replies = connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?;
    let (mut refusal, mut drops) = (None, Vec::new());
    for KeptSnapshot { key, stamp, .. } in made {
        match replies.next_reply() {
            Ok(reply) => {
                if parse_bytes(&reply) == Some(b"LOST") {
                    // The reader is about to notice that, unless another program has deleted the entry: then it is tried
                    // until the entries before it are trimmed.
                    continue;
                }
                unwritten.retain(|unwritten| *unwritten != key);
                if !link.record_kept_snapshot(&key, stamp) {
                    // The key was removed meanwhile.
                    drops.push(SnapshotDrop { key, offset: stamp.offset, epoch: Some(stamp.epoch) });
                }
            }
            Err(error) => refusal = Some(Fault::from(error).to_string()),
        }
    }
    if !drops.is_empty() {
        let mut pipeline = redis::pipe();
        add_drops(&mut pipeline, keys, drops);
        let error = connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?.find_error();
        refusal = refusal.or(error.map(|error| Fault::from(error).to_string()));
    }
    Ok(refusal)
}

/// Snapshots that are to be loaded before the stream is read: those of open keys first, then the newest.
#[derive(Default)]
pub(super) struct UnreadSnapshots {
    snapshots: VecDeque<UnreadSnapshot>,
    /// The place up to which all snapshots are kept; `None` when it is not known, or not all are loaded.
    place: Option<Offset>,
    part: Part,
    purpose: Purpose,
    /// How many there was no room for.
    left_out: usize,
}

/// The reason why snapshots are read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Purpose {
    /// It is loaded before the stream is read.
    #[default]
    Load,
    /// It replaces one that is lost.
    Recover,
}

struct UnreadSnapshot {
    key: String,
    stamp: SnapshotStamp,
    finish: Option<Offset>,
}

impl UnreadSnapshots {
    /// Lists the snapshots, in pages, beside a place that was read before. Also returns those of other epochs, which
    /// are to be dropped.
    pub(super) async fn read(
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
        epoch: Epoch,
        finishes: &UnreadFinishes,
        place: Option<KeptPlace>,
    ) -> Result<(Self, Vec<SnapshotDrop>), Fault> {
        // What is written after the place was read is about entries after it.
        let place = place.map(|kept| kept.place).filter(|place| Some(place.version) == link.snapshot_version());
        let mut place = place.map(|place| place.offset);
        let (mut unread, mut stale, mut cursor) = (Vec::new(), Vec::new(), String::from("0"));
        loop {
            let add_arguments = |command: &mut Cmd| {
                command.arg(&cursor);
            };
            let script = &connection.scripts.snapshot_index;
            let reply = connection.run(script, &[&connection.keys.snapshots], add_arguments).await?;
            let (next, page) =
                parse_page(&reply).ok_or_else(|| Fault::Protocol("the snapshots are not a hash".into()))?;
            for (key, stamp, bytes) in page {
                if stamp.epoch != epoch {
                    stale.push(SnapshotDrop { key, offset: stamp.offset, epoch: Some(stamp.epoch) });
                } else if bytes <= link.memory() as u64 {
                    let finish = finishes.offset_of(&key);
                    unread.push(UnreadSnapshot { key, stamp, finish });
                } else {
                    place = None;
                }
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        unread.sort_unstable_by_key(|unread| (unread.finish.is_some(), Reverse(unread.stamp.offset)));
        Ok((Self { snapshots: unread.into(), place, ..Self::default() }, stale))
    }

    /// Lists all snapshots that can replace lost ones, or are of keys that this process has never read.
    pub(super) async fn find_all_lost(
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
        epoch: Epoch,
        place: Option<KeptPlace>,
    ) -> Result<Self, Fault> {
        // The place decides which are trusted, whether or not their keys are finished.
        let (mut found, _) = Self::read(connection, link, epoch, &UnreadFinishes::default(), place).await?;
        found.purpose = Purpose::Recover;
        found.snapshots.retain(|unread| link.lacks_snapshot(&unread.key));
        found.retain_trusted(link);
        Ok(found)
    }

    /// Lists the snapshots of these keys that can replace lost ones.
    pub(super) async fn find_lost(
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
        lost: &[String],
    ) -> Result<Self, Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL_RO").arg(SNAPSHOT_STAMPS_LUA).arg(1).arg(&connection.keys.snapshots).arg(lost);
        let reply = connection.query(&pipeline).await?.next_reply()?;
        let mut found = Self { purpose: Purpose::Recover, ..Self::default() };
        for (key, stamp) in lost.iter().zip(parse_list(&reply).unwrap_or_default()) {
            let stamp = parse_bytes(stamp).and_then(parse_stamp);
            if let Some(stamp) = stamp.filter(|stamp| trusts(link, *stamp, None, None)) {
                found.snapshots.push_back(UnreadSnapshot { key: key.clone(), stamp, finish: None });
            }
        }
        Ok(found)
    }

    /// Leaves out what the store cannot use, after it was reset.
    pub(super) fn retain_trusted(&mut self, link: &BackendLink) {
        let (before, place) = (self.snapshots.len(), self.place);
        self.snapshots.retain(|unread| trusts(link, unread.stamp, unread.finish, place));
        if self.snapshots.len() < before {
            // The others are older than what is gone from the stream, or of another version.
            self.place = None;
            self.snapshots.retain(|unread| trusts(link, unread.stamp, unread.finish, None));
        }
    }

    /// Returns whether something is left to be loaded.
    pub(super) fn has_unread(&self) -> bool {
        !self.snapshots.is_empty() || self.place.is_some()
    }

    /// Loads the snapshots while there is room. Returns the number of those for which there was none. After an error the
    /// next call continues.
    pub(super) async fn load(
        &mut self,
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
    ) -> Result<usize, Fault> {
        while !self.snapshots.is_empty() {
            self.load_some(connection, link).await?;
        }
        if let Some(place) = self.place.take() {
            link.record_all_loaded(place);
        }
        Ok(std::mem::take(&mut self.left_out))
    }

    async fn load_some(&mut self, connection: &mut ReaderConnection<'_>, link: &BackendLink) -> Result<(), Fault> {
        let (bytes, known) = (connection.size.bytes(), self.part.bytes.len());
        let snapshots = &self.snapshots;
        // The script reads any value that begins with an id.
        let script = &connection.scripts.latest_values;
        let reply = connection
            .transfer(script, &[&connection.keys.snapshots], |command| {
                command.arg(bytes).arg(known);
                for unread in snapshots.iter().take(READ_SNAPSHOTS_MAX) {
                    command.arg(&unread.key);
                }
            })
            .await?;
        let found = parse_values(&reply).filter(|found| !found.is_empty());
        for (index, (id, more)) in found.ok_or_else(unexpected_reply)?.into_iter().enumerate() {
            let part = if index == 0 { std::mem::take(&mut self.part) } else { Part::default() };
            if !part.bytes.is_empty() && id != Some(part.offset) {
                // It was replaced while it was read, and is read again.
                return Ok(());
            }
            let mut value = part.bytes;
            value.extend_from_slice(more);
            // As many bytes as were asked for may be a part of the value.
            if index == 0 && more.len() == bytes {
                self.part = Part { offset: id.unwrap_or_default(), bytes: value };
                return Ok(());
            }
            let Some(UnreadSnapshot { key, finish, .. }) = self.snapshots.pop_front() else { return Ok(()) };
            // It may be a newer one by now, or be gone.
            let snapshot = parse_snapshot(&key, &value);
            let is_gone = snapshot.is_none();
            let place = self.place;
            let Some(snapshot) = snapshot.filter(|found| trusts(link, found.stamp, finish, place)) else {
                // The removal of a key is read in the stream.
                self.place = self.place.filter(|_| is_gone);
                continue;
            };
            let loaded = match self.purpose {
                Purpose::Load => link.load_snapshot(&snapshot),
                Purpose::Recover => link.recover_snapshot(&snapshot),
            };
            match loaded {
                LoadedSnapshot::Known => {}
                LoadedSnapshot::Unknown => {
                    self.place = None;
                    // One that cannot be used yet is looked for again.
                    if self.purpose == Purpose::Load {
                        tracing::warn!(target: "tornadose", channel = link.channel(), "snapshot not readable");
                    }
                }
                LoadedSnapshot::NoRoom => {
                    self.left_out = self.snapshots.len() + 1;
                    self.place = None;
                    self.snapshots.clear();
                }
            }
        }
        Ok(())
    }
}

/// Returns whether the store can use a snapshot, given the place up to which all snapshots are kept.
fn trusts(link: &BackendLink, stamp: SnapshotStamp, finish: Option<Offset>, place: Option<Offset>) -> bool {
    // Up to the place its key has no other messages.
    let offset = stamp.offset.max(place.unwrap_or_default());
    link.trusts_snapshot(SnapshotStamp { offset, ..stamp }, finish)
}

fn unexpected_reply() -> Fault {
    Fault::Protocol("unexpected reply to a script".into())
}

/// A part of the list: of each snapshot its key, its stamp and its length.
type IndexPage = Vec<(String, SnapshotStamp, u64)>;

/// Parses a part of the list. Also returns the next cursor.
fn parse_page(reply: &Value) -> Option<(String, IndexPage)> {
    let [cursor, snapshots] = parse_list(reply)? else { return None };
    let mut page = Vec::new();
    for snapshot in parse_list(snapshots)?.chunks_exact(3) {
        let key = String::from_utf8_lossy(parse_bytes(&snapshot[0])?).into_owned();
        if let Some(stamp) = parse_bytes(&snapshot[1]).and_then(parse_stamp) {
            page.push((key, stamp, parse_number(&snapshot[2])?));
        }
    }
    Some((String::from_utf8_lossy(parse_bytes(cursor)?).into_owned(), page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_an_id_an_epoch_a_version_another_id_and_json() {
        let epoch = Epoch::fresh();
        let snapshot = parse_snapshot("7", format!("5-6 {epoch} 2 5-4 {{\"a\": 1}}").as_bytes()).unwrap();
        let stamp = SnapshotStamp { offset: Offset::new(5, 6), newest: Offset::new(5, 4), epoch, version: 2 };
        assert_eq!(snapshot, KeptSnapshot::new("7", stamp, br#"{"a": 1}"#.to_vec()));
        for invalid in ["", "5-6", "5-6 x 2 5-4 {}", "x 2 5-4 {}", &format!("5-6 {epoch} 5-4 {{}}")] {
            assert_eq!(parse_snapshot("7", invalid.as_bytes()), None, "{invalid:?}");
        }
    }
}
