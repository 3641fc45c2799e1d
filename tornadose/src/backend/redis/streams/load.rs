//! The first look at a stream: whether it is ours, and where the history begins that the store has room for.

use redis::{Cmd, Value};

use crate::backend::checkpoints::{KeptPlace, TrimPoint};
use crate::backend::link::BackendLink;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::latest::LatestIndex;
use crate::backend::redis::streams::place::{FoundPlace, PlaceCheck};
use crate::backend::redis::streams::protocol::{
    Keys, add_create_mark, format_id, parse_bytes, parse_epoch, parse_id, parse_list, parse_number, parse_state,
};
use crate::backend::redis::streams::shared::StreamShared;
use crate::backend::redis::streams::tail::{StreamInfo, Tail};
use crate::backend::redis::streams::trimming::parse_trim_point;
use crate::id::{Epoch, Offset};

/// How many bytes of the stream one script looks at. It sends none of them.
const LOOK_BYTES: usize = 4 << 20;

/// Where to begin to read a stream.
pub(super) struct LoadedStream {
    pub(super) epoch: Epoch,
    /// The position from which the history is read. Entries at or below it may have existed.
    pub(super) tail: Tail,
    /// How many bytes the largest entry after it has.
    pub(super) largest: usize,
    pub(super) latest: LatestIndex,
    /// The place up to which all snapshots are kept, if every entry after it is in the stream.
    pub(super) place: Option<KeptPlace>,
    /// Up to where it was trimmed by a process that has read everything up to there.
    pub(super) trimmed: TrimPoint,
}

/// Whether this process has read a stream before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It has not: whatever will be refused later is found out now.
    Start,
    Reload,
}

/// Looks at a stream, and creates it if it does not exist.
pub(super) async fn load(
    connection: &mut ReaderConnection<'_>,
    link: &BackendLink,
    shared: &StreamShared,
    occasion: Occasion,
) -> Result<LoadedStream, Fault> {
    let mut state = StreamState::read(connection, link).await?;
    let mut was_deleted = false;
    if occasion == Occasion::Start || !state.is_complete() {
        match create(connection, link).await {
            Ok(deleted) => was_deleted = deleted,
            // Reading needs nothing that does not exist already.
            Err(fault) if state.is_complete() && fault.is_temporary_refusal() => {
                tracing::warn!(target: "tornadose", channel = link.channel(), %fault, "stream opened for reading only");
            }
            Err(fault) => return Err(fault),
        }
        state = StreamState::read(connection, link).await?;
    }
    state.check_type(connection.keys, link)?;
    if occasion == Occasion::Start {
        try_reading(connection, link).await?;
    }
    let Some(mut epoch) = state.epoch else { return Err(Fault::Protocol("the epoch was deleted".into())) };
    if was_deleted {
        epoch = connection.change_epoch(epoch, link.channel()).await?;
    }
    // What has no room goes into the snapshots.
    let bytes_max = if link.snapshot_version().is_some() { usize::MAX } else { link.memory() };
    let found = state.place.filter(|found| found.kept.place.epoch == epoch);
    let found_place = found.map(|found| found.kept);
    // Nothing that was read since the trim may be left out.
    let entries_max = if found_place.is_some() { usize::MAX } else { shared.history_max };
    let start = find_start(connection, &state.info, entries_max, bytes_max, found_place).await?;
    let Start { mut tail, largest, after } = start;
    let mut place = None;
    match found.map(|found| (found, found.check(state.info, after))) {
        Some((found, PlaceCheck::Holds)) => {
            place = Some(found.kept);
            if found.is_trimmed(state.info) && found.kept.place.offset < tail.last {
                // Nothing else is missing: it is as if the process had read up to there.
                tail = found.kept.tail();
            }
        }
        // It was rolled back while no process ran.
        Some((_, PlaceCheck::RolledBack)) => epoch = connection.change_epoch(epoch, link.channel()).await?,
        Some((_, PlaceCheck::EntriesGone)) | None => {}
    }
    let latest = LatestIndex::read(connection).await?;
    let trimmed = state.trimmed_in(epoch);
    Ok(LoadedStream { epoch, tail, largest, latest, place, trimmed })
}

/// Reads the place up to which all snapshots are kept, if it is of this epoch.
pub(super) async fn read_place(
    connection: &mut ReaderConnection<'_>,
    link: &BackendLink,
    epoch: Epoch,
) -> Result<Option<KeptPlace>, Fault> {
    let state = StreamState::read(connection, link).await?;
    let found = state.place.filter(|found| found.kept.place.epoch == epoch && state.epoch == Some(epoch));
    // The reader has read every entry after it.
    let holds = |found: &FoundPlace| found.check(state.info, None) == PlaceCheck::Holds;
    Ok(found.filter(holds).map(|found| found.kept))
}

/// Reads the trim point of the stream in this epoch.
pub(super) async fn read_trim_point(
    connection: &mut ReaderConnection<'_>,
    link: &BackendLink,
    epoch: Epoch,
) -> Result<TrimPoint, Fault> {
    Ok(StreamState::read(connection, link).await?.trimmed_in(epoch))
}

/// The result of the script `state`.
struct StreamState {
    epoch: Option<Epoch>,
    type_name: Option<String>,
    owner: Option<String>,
    info: StreamInfo,
    is_marked: bool,
    /// The place up to which all snapshots are kept.
    place: Option<FoundPlace>,
    trimmed: Option<(Epoch, TrimPoint)>,
}

impl StreamState {
    async fn read(connection: &mut ReaderConnection<'_>, link: &BackendLink) -> Result<Self, Fault> {
        let Keys { stream, epoch, type_name, owner, snapshots, .. } = connection.keys;
        let all: [&str; 5] = [stream, epoch, type_name, owner, snapshots];
        let keys = if link.snapshot_version().is_some() { &all[..] } else { &all[..4] };
        let reply = connection.run(&connection.scripts.state, keys, |_| {}).await?;
        let Some([epoch_found, type_found, owner_found, state, mark, place, exists, trimmed]) = parse_list(&reply)
        else {
            return Err(Fault::Protocol("unexpected reply to a script".into()));
        };
        let text = |value| Some(String::from_utf8_lossy(parse_bytes(value)?).into_owned());
        Ok(Self {
            epoch: match epoch_found {
                Value::Nil => None,
                found => Some(parse_epoch(found, epoch)?),
            },
            type_name: text(type_found),
            owner: text(owner_found),
            info: parse_state(state)?,
            is_marked: *mark == Value::Int(1),
            place: parse_bytes(place)
                .and_then(KeptPlace::parse)
                .map(|kept| FoundPlace { kept, exists: *exists == Value::Int(1) }),
            trimmed: parse_bytes(trimmed).and_then(parse_trim_point),
        })
    }

    /// Returns the trim point of an epoch.
    fn trimmed_in(self, epoch: Epoch) -> TrimPoint {
        self.trimmed.filter(|(found, _)| *found == epoch).map(|(_, point)| point).unwrap_or_default()
    }

    fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.type_name.is_some() && self.owner.is_some() && self.is_marked
    }

    /// Compares the type of the messages with this store's. Older versions wrote its name without its crate's.
    fn check_type(&self, keys: &Keys, link: &BackendLink) -> Result<(), Fault> {
        let (owner, name) = (owner_name(link), link.type_name());
        let (found, wanted) = match (&self.owner, &self.type_name) {
            (Some(found), _) if *found != owner => (found.as_str(), owner.as_str()),
            (_, Some(found)) if found != name => (found.as_str(), name),
            _ => return Ok(()),
        };
        Err(Fault::Protocol(format!(
            "the channel `{}` holds messages of the type `{found}`, not `{wanted}`; choose another channel or prefix, \
             or delete the keys `{}` and `{}`",
            link.channel(),
            keys.owner,
            keys.type_name
        )))
    }
}

/// Creates what is missing. Returns whether the stream was deleted since a process of ours created it.
async fn create(connection: &mut ReaderConnection<'_>, link: &BackendLink) -> Result<bool, Fault> {
    let Keys { stream, epoch, type_name, owner, .. } = connection.keys;
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("SET").arg(epoch).arg(Epoch::fresh().to_string()).arg("NX").arg("GET");
    pipeline.cmd("SET").arg(type_name).arg(link.type_name()).arg("NX");
    pipeline.cmd("SET").arg(owner).arg(owner_name(link)).arg("NX");
    add_create_mark(&mut pipeline, stream);
    let mut replies = connection.query(&pipeline).await?;
    let had_epoch = replies.next_reply()? != Value::Nil;
    replies.next_reply()?;
    replies.next_reply()?;
    match replies.next_reply() {
        Ok(_) => Ok(had_epoch),
        // It exists.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Tries the commands that an empty stream does not need yet, to find out whether they are permitted.
async fn try_reading(connection: &mut ReaderConnection<'_>, link: &BackendLink) -> Result<(), Fault> {
    let Keys { stream, latest, ephemeral, .. } = connection.keys;
    let newest = format_id(Offset::new(u64::MAX, u64::MAX));
    let mut pipeline = redis::pipe();
    pipeline.cmd("XREAD").arg("COUNT").arg(1).arg("STREAMS").arg(stream).arg(&newest);
    if link.has_ephemeral() {
        pipeline.cmd("XREAD").arg("COUNT").arg(1).arg("STREAMS").arg(ephemeral).arg(&newest);
    }
    pipeline.cmd("XRANGE").arg(stream).arg("-").arg("+").arg("COUNT").arg(0).cmd("HGET").arg(latest).arg("");
    match connection.query(&pipeline).await?.find_error() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Where to begin to read a stream.
struct Start {
    /// The tail of a process that has read up to the oldest entry that there is room for.
    tail: Tail,
    /// How many bytes the largest entry after it has.
    largest: usize,
    /// How many entries are after a place, if that is among those that there is room for.
    after: Option<u64>,
}

/// Finds the oldest entry that there is room for, and counts the entries after a place.
async fn find_start(
    connection: &mut ReaderConnection<'_>,
    info: &StreamInfo,
    entries_max: usize,
    bytes_max: usize,
    place: Option<KeptPlace>,
) -> Result<Start, Fault> {
    let (mut entries, mut bytes, mut largest, mut from) = (0, 0, 0, format_id(info.newest));
    let (place, mut after) = (place.map(|kept| format_id(kept.place.offset)).unwrap_or_default(), None);
    loop {
        let keys = [connection.keys.stream.as_str()];
        let add_arguments = |command: &mut Cmd| {
            let (entries_left, bytes_left) = (entries_max.saturating_sub(entries), bytes_max.saturating_sub(bytes));
            command.arg(&from).arg(bytes_left).arg(entries_left).arg(LOOK_BYTES).arg(&place);
        };
        let reply = connection.run(&connection.scripts.history, &keys, add_arguments).await?;
        let unexpected = || Fault::Protocol("unexpected reply to a script".into());
        let Some([Value::Int(found), Value::Int(size), Value::Int(largest_found), is_over, next, after_found]) =
            parse_list(&reply)
        else {
            return Err(unexpected());
        };
        after = after.or(parse_number(after_found).map(|found| entries as u64 + found));
        entries += usize::try_from(*found).unwrap_or(0);
        bytes += usize::try_from(*size).unwrap_or(0);
        largest = largest.max(usize::try_from(*largest_found).unwrap_or(0));
        let next = parse_bytes(next).and_then(parse_id);
        let added = info.added.saturating_sub(entries as u64);
        let tail = match next {
            Some(next) if *is_over == Value::Int(1) => Tail { last: next, added },
            Some(next) => {
                from = format_id(next);
                continue;
            }
            // All entries were read, and there were never others.
            None if added == 0 => Tail::default(),
            None if entries == 0 => Tail { last: info.newest, added },
            None => Tail { last: info.first.previous(), added },
        };
        return Ok(Start { tail, largest, after });
    }
}

/// Returns the name under which the types of all programs are told apart.
fn owner_name(link: &BackendLink) -> String {
    format!("{}::{}", link.crate_name(), link.type_name())
}
