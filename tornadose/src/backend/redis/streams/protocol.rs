//! The representation in Redis: the names of keys, the fields of entries, the scripts, and the parsing of replies.

use redis::{Pipeline, Value};

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::tail::StreamInfo;
use crate::id::{Epoch, Offset};

/// The keys of one channel, all in one hash slot of a cluster.
pub(super) struct Keys {
    pub(super) stream: String,
    /// The epoch of the stream.
    pub(super) epoch: String,
    /// The name of the message type.
    pub(super) type_name: String,
    /// The name of the message type with its crate's.
    pub(super) owner: String,
    /// A hash of the newest value of each field, preceded by its entry's id and a space.
    pub(super) latest: String,
    /// The stream of ephemeral messages.
    pub(super) ephemeral: String,
    /// The shortest time for which a process of ours keeps messages, in milliseconds.
    pub(super) ttl: String,
    /// A hash of the finished keys: the id of each finish, the `by` of what has finished the key, and the id of that.
    pub(super) finishes: String,
    /// A sorted set of the finished keys by the times of their finishes, in milliseconds.
    pub(super) finish_times: String,
    /// A hash of the snapshots of keys: of each the id up to which it is, its epoch and its version, the id of the newest
    /// message in it, and its JSON. The field without a name is the place up to which the snapshots of all keys are kept: its
    /// id, its epoch and its version, and how many entries had ever been added up to it.
    pub(super) snapshots: String,
}

impl Keys {
    pub(super) fn named(name: &str) -> Self {
        let stream = format!("{{{name}}}");
        let key = |suffix| format!("{stream}:{suffix}");
        Self {
            epoch: key("epoch"),
            type_name: key("type"),
            owner: key("owner"),
            latest: key("latest"),
            ephemeral: key("ephemeral"),
            ttl: key("ttl"),
            finishes: key("finishes"),
            finish_times: key("finish-times"),
            snapshots: key("snapshots"),
            stream,
        }
    }
}

/// Replaces the epoch, unless another process has. KEYS: epoch. ARGV: the old epoch, a new one.
pub(super) const CHANGE_EPOCH_LUA: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end";

/// Appends messages, and keeps each as the newest value of its field.
pub(super) const APPEND_LATEST_LUA: &str = include_str!("lua/append_latest.lua");

/// Appends messages to keys that are not finished, and finishes keys.
pub(super) const APPEND_OPEN_LUA: &str = include_str!("lua/append_open.lua");

/// Expires latest values.
pub(super) const EXPIRE_LATEST_LUA: &str = include_str!("lua/expire_latest.lua");

/// How many ephemeral messages their stream has about.
pub(super) const EPHEMERAL_HISTORY: usize = 1000;

/// Appends ephemeral messages.
pub(super) const APPEND_EPHEMERAL_LUA: &str = include_str!("lua/append_ephemeral.lua");

/// Appends the removal of a key.
pub(super) const REMOVE_LUA: &str = include_str!("lua/remove.lua");

/// Drops finishes unless they have changed. KEYS: finishes, finish times. ARGV: key and id of each.
pub(super) const DROP_FINISHES_LUA: &str = "\
for i = 1, #ARGV, 2 do local finish = redis.call('HGET', KEYS[1], ARGV[i]) \
if finish and string.match(finish, '^%S+') == ARGV[i + 1] then \
redis.call('HDEL', KEYS[1], ARGV[i]) redis.call('ZREM', KEYS[2], ARGV[i]) end end";

/// Forgets old finishes.
pub(super) const REOPEN_LUA: &str = include_str!("lua/reopen.lua");

/// Keeps the snapshot of a key.
pub(super) const KEEP_SNAPSHOT_LUA: &str = include_str!("lua/keep_snapshot.lua");

/// Keeps the place up to which the snapshots of all keys are kept.
pub(super) const KEEP_PLACE_LUA: &str = include_str!("lua/keep_place.lua");

/// Drops snapshots.
pub(super) const DROP_SNAPSHOTS_LUA: &str = include_str!("lua/drop_snapshots.lua");

/// Reads what kept snapshots are of.
pub(super) const SNAPSHOT_STAMPS_LUA: &str = include_str!("lua/snapshot_stamps.lua");

/// Defines `is_newer(a, b)` for ids. They are compared as text because Lua's numbers have only 53 bits.
const ID_COMPARE_LUA: &str = "\
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end \
local function is_newer(a, b) \
local am, as = string.match(a, '^(%d+)-(%d+)') local bm, bs = string.match(b, '^(%d+)-(%d+)') \
if not bm then return true end if am ~= bm then return less(bm, am) end return less(bs, as) end ";

/// Keeps a value unless its field has a newer one. KEYS: latest. ARGV: field, id, data.
pub(super) fn upsert_latest_lua() -> String {
    format!(
        "{ID_COMPARE_LUA} local kept = redis.call('HGET', KEYS[1], ARGV[1]) \
         if not kept or is_newer(ARGV[2], kept) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) end"
    )
}

/// Drops the values of fields that are not newer than an id. KEYS: latest. ARGV: id, fields.
pub(super) fn forget_latest_lua() -> String {
    format!(
        "{ID_COMPARE_LUA} for i = 2, #ARGV do local kept = redis.call('HGET', KEYS[1], ARGV[i]) \
         if kept and not is_newer(kept, ARGV[1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end end"
    )
}

/// Formats the field `by`: the sender's id and the message's number. They share a field because a field of an entry
/// costs as much as a message.
pub(super) fn format_by(sender_id: &str, number: u64) -> String {
    format!("{sender_id}-{number}")
}

/// Formats the id of an entry.
pub(super) fn format_id(offset: Offset) -> String {
    format!("{}-{}", offset.major(), offset.minor())
}

/// Parses the id of an entry.
pub(super) fn parse_id(text: &[u8]) -> Option<Offset> {
    let (major, minor) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some(Offset::new(major.parse().ok()?, minor.parse().ok()?))
}

pub(super) fn parse_bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// Parses a list; nil is the empty list.
pub(super) fn parse_list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        Value::Nil => Some(&[]),
        _ => None,
    }
}

pub(super) fn parse_number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Parses the value of the key `epoch`.
pub(super) fn parse_epoch(value: &Value, key: &str) -> Result<Epoch, Fault> {
    let epoch = parse_bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
    epoch.ok_or_else(|| Fault::Protocol(format!("invalid epoch in `{key}`")))
}

/// Marks a stream as created by a process of ours, with a consumer group that is never read. A stream without the
/// mark was deleted and created again. The command fails when the mark exists.
pub(super) fn add_create_mark(pipeline: &mut Pipeline, stream: &str) {
    pipeline.cmd("XGROUP").arg("CREATE").arg(stream).arg("tornadose").arg("$").arg("MKSTREAM");
}

/// Parses the state of a stream that a script has returned. A stream that does not exist never had an entry.
pub(super) fn parse_state(value: &Value) -> Result<StreamInfo, Fault> {
    if let Some(error) = parse_bytes(value) {
        let error = String::from_utf8_lossy(error);
        return if error.contains("no such key") {
            Ok(StreamInfo::default())
        } else {
            Err(Fault::Protocol(error.into_owned()))
        };
    }
    let parse = || {
        let Some([length, added, first, newest, deleted]) = parse_list(value) else { return None };
        let id = |value| parse_id(parse_bytes(value)?);
        Some(StreamInfo {
            length: parse_number(length)?,
            added: parse_number(added)?,
            first: id(first)?,
            newest: id(newest)?,
            deleted: id(deleted)?,
        })
    };
    // Older servers leave fields out.
    parse().ok_or_else(|| Fault::Protocol("Redis 7.0 or newer is needed".into()))
}

/// Returns approximately how many bytes a reply had.
pub(super) fn value_size(value: &Value) -> usize {
    match value {
        Value::BulkString(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(value_size).sum(),
        _ => 8,
    }
}
