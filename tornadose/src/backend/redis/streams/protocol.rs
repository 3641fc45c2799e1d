//! What stands in Redis: the names of keys, the fields of entries, the scripts. When they are used is for `reader` and `writer`.

use redis::Value;

use crate::id::Offset;

/// The keys of one channel, which share a slot of a cluster.
pub(super) struct Keys {
    pub(super) stream: String,
    /// The epoch of the stream.
    pub(super) epoch: String,
    /// The name of the messages' type.
    pub(super) kind: String,
    /// The newest value of each field, behind its entry's id and a space.
    pub(super) latest: String,
}

impl Keys {
    pub(super) fn of(channel: &str) -> Self {
        let stream = format!("{{tornadose:{channel}}}");
        let beside = |what| format!("{stream}:{what}");
        Self { epoch: beside("epoch"), kind: beside("type"), latest: beside("latest"), stream }
    }
}

/// Changes the epoch, unless somebody has: KEYS epoch, ARGV the old one, a new one.
pub(super) const CHANGE_EPOCH: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end";

/// Appends messages and keeps each as the newest of its field: KEYS stream, latest; ARGV history, and of each message field,
/// data, by. Answers each one's id, or why it was refused.
pub(super) const APPEND_LATEST: &str = "\
local told = {} for i = 2, #ARGV, 3 do \
local id = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[i + 1], 'by', ARGV[i + 2]) \
if type(id) == 'table' then id = id.err else redis.call('HSET', KEYS[2], ARGV[i], id .. ' ' .. ARGV[i + 1]) end \
told[#told + 1] = id end return told";

/// Whether one id stands behind another; ids are compared as they are written, for a number of Lua has 53 bits.
const BEHIND: &str = "\
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end \
local function behind(a, b) \
local am, as = string.match(a, '^(%d+)-(%d+)') local bm, bs = string.match(b, '^(%d+)-(%d+)') \
if not bm then return true end if am ~= bm then return less(bm, am) end return less(bs, as) end ";

/// Keeps a value as the newest of its field, if it is: KEYS latest; ARGV field, id, data.
pub(super) fn fold_script() -> String {
    format!(
        "{BEHIND} local kept = redis.call('HGET', KEYS[1], ARGV[1]) \
         if not kept or behind(ARGV[2], kept) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) end"
    )
}

/// Drops values that are not newer than an id: KEYS latest; ARGV id, fields.
pub(super) fn drop_script() -> String {
    format!(
        "{BEHIND} for i = 2, #ARGV do local kept = redis.call('HGET', KEYS[1], ARGV[i]) \
         if kept and not behind(kept, ARGV[1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end end"
    )
}

/// Which life of which process has sent an entry, and under which number: one text, for each of an entry costs as much as the message.
pub(super) fn by(life: &str, number: u64) -> String {
    format!("{life}-{number}")
}

/// The id of an entry, as Redis writes it.
pub(super) fn written(offset: Offset) -> String {
    format!("{}-{}", offset.major(), offset.minor())
}

/// The id of an entry, as Redis writes it.
pub(super) fn offset(text: &[u8]) -> Option<Offset> {
    let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some(Offset::new(ms.parse().ok()?, seq.parse().ok()?))
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        Value::Nil => Some(&[]),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// An entry of the stream.
pub(super) struct Entry {
    pub(super) offset: Offset,
    /// Names and values in turn.
    fields: Vec<Value>,
}

impl Entry {
    pub(super) fn of(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        Some(Self { offset: offset(bytes(&id)?)?, fields })
    }

    /// Entries, as a range or its reverse is answered.
    pub(super) fn all_of(value: Value) -> Option<Vec<Self>> {
        match value {
            Value::Array(entries) => entries.into_iter().map(Self::of).collect(),
            Value::Nil => Some(Vec::new()),
            _ => None,
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut pairs = self.fields.chunks_exact(2);
        pairs.find(|pair| bytes(&pair[0]) == Some(name.as_bytes())).and_then(|pair| bytes(&pair[1]))
    }

    /// Which life of which process has sent it, and under which number.
    pub(super) fn from(&self) -> Option<(&str, u64)> {
        let (by, number) = std::str::from_utf8(self.field("by")?).ok()?.rsplit_once('-')?;
        Some((by, number.parse().ok()?))
    }

    pub(super) fn size(&self) -> usize {
        self.fields.iter().filter_map(bytes).map(<[u8]>::len).sum()
    }
}
