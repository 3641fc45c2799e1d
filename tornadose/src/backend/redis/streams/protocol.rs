//! The representation in Redis: the names of keys, the fields of entries, the scripts, and the parsing of replies.

use redis::{Pipeline, RedisError, Value};

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
    /// A hash of the newest value of each field, preceded by its entry's id and a space.
    pub(super) latest: String,
}

impl Keys {
    pub(super) fn of_channel(channel: &str) -> Self {
        let stream = format!("{{tornadose:{channel}}}");
        let key = |suffix| format!("{stream}:{suffix}");
        Self { epoch: key("epoch"), type_name: key("type"), latest: key("latest"), stream }
    }
}

/// Replaces the epoch, unless another process has. KEYS: epoch. ARGV: the old epoch, a new one.
pub(super) const CHANGE_EPOCH_LUA: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end";

/// Appends messages, and keeps each as the newest value of its field. KEYS: stream, latest. ARGV: history, then
/// field, data and `by` of each message. Returns the id of each message, or its error.
pub(super) const APPEND_LATEST_LUA: &str = "\
local replies = {} for i = 2, #ARGV, 3 do \
local id = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[i + 1], 'by', ARGV[i + 2]) \
if type(id) == 'table' then id = id.err else redis.call('HSET', KEYS[2], ARGV[i], id .. ' ' .. ARGV[i + 1]) end \
replies[#replies + 1] = id end return replies";

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

fn parse_number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Parses names and values, as RESP 3 sends a map and RESP 2 a list.
pub(super) fn parse_pairs(value: &Value) -> Option<Vec<(&[u8], &Value)>> {
    if let Value::Map(pairs) = value {
        return Some(pairs.iter().filter_map(|(name, value)| Some((parse_bytes(name)?, value))).collect());
    }
    let pairs = parse_list(value)?.chunks_exact(2);
    Some(pairs.filter_map(|pair| Some((parse_bytes(&pair[0])?, &pair[1]))).collect())
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

/// Parses the reply to `XINFO STREAM`. A stream that does not exist never had an entry.
pub(super) fn parse_stream_info(reply: Result<Value, RedisError>) -> Result<StreamInfo, Fault> {
    let value = match reply {
        Ok(value) => value,
        Err(error) if error.detail().is_some_and(|detail| detail.contains("no such key")) => {
            return Ok(StreamInfo::default());
        }
        Err(error) => return Err(error.into()),
    };
    let parse = || {
        let pairs = parse_pairs(&value)?;
        let field = |name: &str| pairs.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| *value);
        let id = |name| parse_id(parse_bytes(field(name)?)?);
        Some(StreamInfo {
            length: parse_number(field("length")?)?,
            added: parse_number(field("entries-added")?)?,
            first: id("recorded-first-entry-id")?,
            newest: id("last-generated-id")?,
            deleted: id("max-deleted-entry-id")?,
        })
    };
    // Older servers leave fields out.
    parse().ok_or_else(|| Fault::Protocol("Redis 7.0 or newer is needed".into()))
}

/// An entry of the stream.
pub(super) struct Entry {
    pub(super) offset: Offset,
    /// Names and values in turn.
    fields: Vec<Value>,
}

impl Entry {
    fn parse(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        Some(Self { offset: parse_id(parse_bytes(&id)?)?, fields })
    }

    /// Parses the reply to `XRANGE` or `XREVRANGE`.
    pub(super) fn parse_range(value: Value) -> Result<Vec<Self>, Fault> {
        let entries = match value {
            Value::Array(entries) => entries.into_iter().map(Self::parse).collect(),
            Value::Nil => Some(Vec::new()),
            _ => None,
        };
        entries.ok_or_else(|| Fault::Protocol("unexpected reply to XRANGE".into()))
    }

    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut pairs = self.fields.chunks_exact(2);
        pairs.find(|pair| parse_bytes(&pair[0]) == Some(name.as_bytes())).and_then(|pair| parse_bytes(&pair[1]))
    }

    /// Returns the sender's id and the message's number there. Other programs write neither.
    pub(super) fn sender(&self) -> Option<(&str, u64)> {
        let (sender_id, number) = std::str::from_utf8(self.field("by")?).ok()?.rsplit_once('-')?;
        Some((sender_id, number.parse().ok()?))
    }

    pub(super) fn size(&self) -> usize {
        self.fields.iter().filter_map(parse_bytes).map(<[u8]>::len).sum()
    }
}
