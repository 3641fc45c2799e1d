//! The first read of a stream: its epoch, its latest values and its history.

use redis::Value;

use crate::backend::link::BackendLink;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::latest::{LatestValues, parse_latest};
use crate::backend::redis::streams::protocol::{
    Entry, Keys, add_create_mark, format_id, parse_bytes, parse_epoch, parse_stream_info,
};
use crate::backend::redis::streams::tail::StreamInfo;
use crate::id::{Epoch, Offset};

/// A stream as it was loaded.
pub(super) struct LoadedStream {
    pub(super) epoch: Epoch,
    pub(super) info: StreamInfo,
    /// Entries at or below it may have existed before.
    pub(super) floor: Offset,
    pub(super) latest: LatestValues,
    /// Fields whose value belongs to an earlier epoch.
    pub(super) stale_fields: Vec<String>,
    /// The newest entries, oldest first.
    pub(super) history: Vec<Entry>,
}

/// Loads a stream, and creates it if it does not exist.
pub(super) async fn load(
    connection: &mut ReaderConnection<'_>,
    link: &BackendLink,
    history_max: usize,
) -> Result<LoadedStream, Fault> {
    let Keys { stream, epoch: epoch_key, type_name: type_key, latest: latest_key } = connection.keys;
    let name = link.type_name();
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("SET").arg(epoch_key).arg(Epoch::fresh().to_string()).arg("NX").cmd("GET").arg(epoch_key);
    add_create_mark(&mut pipeline, stream);
    pipeline.cmd("SET").arg(type_key).arg(name).arg("NX").cmd("GET").arg(type_key);
    pipeline.cmd("XINFO").arg("STREAM").arg(stream).cmd("HGETALL").arg(latest_key);
    let mut replies = connection.query(&pipeline).await?;
    let epoch_is_new = !matches!(replies.next_reply()?, Value::Nil);
    let mut epoch = parse_epoch(&replies.next_reply()?, epoch_key)?;
    // Creating the mark fails when it exists. A key of another type is reported by `XINFO` below.
    let was_deleted = replies.next_reply().is_ok() && !epoch_is_new;
    replies.next_reply()?;
    check_type(&replies.next_reply()?, link)?;
    let info = parse_stream_info(replies.next_reply())?;
    let (latest, stale_fields) = parse_latest(&replies.next_reply()?, info.newest)?;
    if was_deleted {
        epoch = connection.change_epoch(epoch, link.channel()).await?;
    }
    let history = load_history(connection, info.newest, history_max, link.memory()).await?;
    let is_complete = info.added == history.len() as u64;
    let floor = match history.first() {
        _ if is_complete => Offset::START,
        Some(first) => first.offset.previous(),
        None => info.newest,
    };
    Ok(LoadedStream { epoch, info, floor, latest, stale_fields, history })
}

fn check_type(found: &Value, link: &BackendLink) -> Result<(), Fault> {
    let (name, channel) = (link.type_name(), link.channel());
    let found = String::from_utf8_lossy(parse_bytes(found).unwrap_or_default());
    if found == name {
        return Ok(());
    }
    Err(Fault::Protocol(format!("the channel `{channel}` holds messages of the type `{found}`, not `{name}`")))
}

/// Loads the newest entries up to an offset, oldest first, as far as they fit `entries_max` and `bytes_max`.
async fn load_history(
    connection: &mut ReaderConnection<'_>,
    newest: Offset,
    entries_max: usize,
    bytes_max: usize,
) -> Result<Vec<Entry>, Fault> {
    let (mut history, mut bytes) = (Vec::new(), 0);
    let mut from = format_id(newest);
    while history.len() < entries_max && bytes < bytes_max {
        let count = connection.page_entries.min(entries_max - history.len());
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREVRANGE").arg(&connection.keys.stream).arg(&from).arg("-").arg("COUNT").arg(count);
        let page = Entry::parse_range(connection.query(&pipeline).await?.next_reply()?)?;
        connection.adapt_page(&page);
        let (found, oldest) = (page.len(), page.last().map(|entry| entry.offset));
        bytes += page.iter().map(Entry::size).sum::<usize>();
        history.extend(page);
        match oldest {
            Some(oldest) if found == count => from = format!("({}", format_id(oldest)),
            _ => break,
        }
    }
    history.reverse();
    Ok(history)
}
