//! An entry of the stream, and the parts of one that is read in several transfers.

use redis::Value;

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::protocol::{parse_bytes, parse_id, parse_list};
use crate::id::Offset;

/// The longest field `key` that is of interest. The script `page` has the same bound.
const KEY_BYTES_MAX: usize = 4096;

/// An entry of the stream, with the fields that are of interest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    /// The field `data`; nothing of it if it is longer than any message.
    pub(super) data: Option<Vec<u8>>,
    /// The length of the field `data`, of which `data` may be a part.
    pub(super) length: usize,
    by: Option<String>,
    /// The JSON of the message's key, unless it is too long.
    pub(super) key: Option<String>,
    pub(super) forget: Option<String>,
    pub(super) notice: Option<Notice>,
    /// Of an ephemeral message: the entry that it follows.
    pub(super) follows: Option<Offset>,
}

/// The entries that `XREAD` has read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReadEntries {
    pub(super) entries: Vec<Entry>,
    /// The entries of the stream of ephemeral messages.
    pub(super) ephemerals: Vec<Entry>,
}

/// The request of an entry about a key, which is named by its JSON, or about a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notice {
    Finish(String),
    Remove(String),
    Reopen(String),
    /// The value of a field of the hash, which was appended at an offset.
    Expire {
        value: Offset,
        field: String,
    },
}

impl Notice {
    fn named(name: &[u8], key: &str) -> Option<Self> {
        let key = key.to_owned();
        match name {
            b"finish" => Some(Self::Finish(key)),
            b"remove" => Some(Self::Remove(key)),
            b"reopen" => Some(Self::Reopen(key)),
            b"expire" => {
                let (id, field) = key.split_once(' ')?;
                Some(Self::Expire { value: parse_id(id.as_bytes())?, field: field.to_owned() })
            }
            _ => None,
        }
    }

    /// Parses a name and what it is of, with a space between them.
    fn parse(value: &Value) -> Option<Self> {
        let (name, key) = str::from_utf8(parse_bytes(value)?).ok()?.split_once(' ')?;
        Self::named(name.as_bytes(), key)
    }
}

impl Entry {
    /// Parses the entries of the script `page`.
    pub(super) fn parse_page(values: Vec<Value>) -> Option<Vec<Self>> {
        let mut entries = Vec::with_capacity(values.len() / 7);
        let mut values = values.into_iter();
        while let Some(id) = values.next() {
            let (length, data) = (values.next()?, values.next()?);
            let (by, key, forget, notice) = (values.next()?, values.next()?, values.next()?, values.next()?);
            entries.push(Self {
                offset: parse_id(parse_bytes(&id)?)?,
                length: match length {
                    Value::Int(length) => usize::try_from(length).unwrap_or(0),
                    _ => return None,
                },
                data: into_bytes(data),
                by: parse_text(&by),
                key: parse_key(&key),
                forget: parse_text(&forget),
                notice: Notice::parse(&notice),
                follows: None,
            });
        }
        Some(entries)
    }

    /// Parses the reply to `XREAD` of the stream with this name and of another one. Returns the entries of each. A payload
    /// above `length_max` is dropped, and so is a longer key.
    pub(super) fn parse_read(reply: Value, name: &str, length_max: usize) -> Result<ReadEntries, Fault> {
        let mut read = ReadEntries::default();
        if reply == Value::Nil {
            return Ok(read);
        }
        let parse = || {
            for stream in into_list(reply)? {
                let mut parts = into_list(stream)?.into_iter();
                let is_main = parse_bytes(&parts.next()?)? == name.as_bytes();
                let entries = into_list(parts.next()?)?.into_iter().map(|entry| Self::parse(entry, length_max));
                let entries = entries.collect::<Option<Vec<_>>>()?;
                *(if is_main { &mut read.entries } else { &mut read.ephemerals }) = entries;
            }
            Some(())
        };
        match parse() {
            Some(()) => Ok(read),
            None => Err(Fault::Protocol("unexpected reply to XREAD".into())),
        }
    }

    /// Parses the reply to `XRANGE`, as [`parse_read`](Self::parse_read) does.
    pub(super) fn parse_range(reply: Value, length_max: usize) -> Result<Vec<Self>, Fault> {
        let parse =
            || into_list(reply)?.into_iter().map(|entry| Self::parse(entry, length_max)).collect::<Option<Vec<_>>>();
        parse().ok_or_else(|| Fault::Protocol("unexpected reply to XRANGE".into()))
    }

    /// Parses an id and a list of fields and values in turn.
    fn parse(id_and_fields: Value, length_max: usize) -> Option<Self> {
        let mut parts = into_list(id_and_fields)?.into_iter();
        let mut entry = Self { offset: parse_id(parse_bytes(&parts.next()?)?)?, ..Self::default() };
        let mut fields = into_list(parts.next()?)?.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match parse_bytes(&name)? {
                b"data" if entry.data.is_none() => {
                    let data = into_bytes(value)?;
                    entry.length = data.len();
                    entry.data = Some(if data.len() > length_max { Vec::new() } else { data });
                }
                b"by" if entry.by.is_none() => entry.by = parse_text(&value),
                b"follows" if entry.follows.is_none() => entry.follows = parse_bytes(&value).and_then(parse_id),
                b"key" if entry.key.is_none() => entry.key = parse_key(&value),
                b"forget" if entry.forget.is_none() => {
                    entry.forget = parse_text(&value).filter(|key| key.len() <= length_max);
                }
                name @ (b"finish" | b"remove" | b"reopen" | b"expire") if entry.notice.is_none() => {
                    let key = parse_bytes(&value).filter(|key| key.len() <= length_max);
                    entry.notice = key.and_then(|key| Notice::named(name, str::from_utf8(key).ok()?));
                }
                _ => {}
            }
        }
        Some(entry)
    }

    /// Returns the sender's id and the message's number there. Other programs write neither.
    pub(super) fn sender(&self) -> Option<(&str, u64)> {
        let (sender_id, number) = self.by.as_deref()?.rsplit_once('-')?;
        Some((sender_id, number.parse().ok()?))
    }

    pub(super) fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.data.as_ref().map_or(0, Vec::len) + text(&self.key) + text(&self.forget)
    }
}

fn into_bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn into_list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn parse_text(value: &Value) -> Option<String> {
    Some(String::from_utf8_lossy(parse_bytes(value)?).into_owned())
}

/// Parses the field `key`. An entry is decoded without it, so one that is too long or not a text is left out.
fn parse_key(value: &Value) -> Option<String> {
    let bytes = parse_bytes(value).filter(|bytes| bytes.len() <= KEY_BYTES_MAX)?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// The part that was read of an entry, or of a value, which is larger than a transfer.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) offset: Offset,
    pub(super) bytes: Vec<u8>,
}

impl Part {
    /// Returns how many bytes of the entry at this offset are known.
    pub(super) fn known(&self, offset: Offset) -> usize {
        if self.offset == offset { self.bytes.len() } else { 0 }
    }

    /// Takes what is known of the entry at this offset, and adds more to it.
    pub(super) fn take_with(&mut self, offset: Offset, more: Vec<u8>) -> Vec<u8> {
        let known = std::mem::take(self);
        if known.offset == offset && !known.bytes.is_empty() {
            let mut bytes = known.bytes;
            bytes.extend_from_slice(&more);
            return bytes;
        }
        more
    }
}

/// Parses a list of ids, bytes in turn.
pub(super) fn parse_values(reply: &Value) -> Option<Vec<(Option<Offset>, &[u8])>> {
    let pairs = parse_list(reply)?.chunks_exact(2);
    pairs.map(|pair| Some((parse_bytes(&pair[0]).and_then(parse_id), parse_bytes(&pair[1])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_parsed_as_redis_sends_them() {
        let value = |text: &str| redis::parse_redis_value(text.replace('|', "\r\n").as_bytes()).unwrap();
        let Value::Array(page) =
            value("*14|$3|1-0|:3|$3|{1}|$3|a-1|$1|7|$-1|$-1|$3|2-7|:-1|$-1|$-1|$-1|$2|\"k|$10|finish {1}|")
        else {
            unreachable!()
        };
        let entries = Entry::parse_page(page).unwrap();
        assert_eq!((entries[0].offset, entries[0].sender(), entries[0].size()), (Offset::new(1, 0), Some(("a", 1)), 4));
        assert_eq!((entries[1].offset, entries[1].data.as_ref()), (Offset::new(2, 7), None));
        assert_eq!(entries[1].forget.as_deref(), Some("\"k"));
        assert_eq!(entries[1].notice, Some(Notice::Finish("{1}".into())));

        let read = "*1|*2|$1|s|*1|*2|$3|1-0|*8|$4|data|$3|{1}|$1|x|$1|y|$2|by|$3|a-1|$3|key|$1|7|";
        let read_of = |text: &str, length_max| Entry::parse_read(value(text), "s", length_max).unwrap().entries;
        assert_eq!(read_of(read, 3), entries[..1]);
        let too_long = read_of(read, 2);
        assert_eq!((too_long[0].data.as_deref(), too_long[0].length), (Some(&b""[..]), 3));
        let two = "*1|*2|$1|s|*2|*2|$3|1-0|*2|$1|x|$1|y|*2|$3|2-7|*2|$6|forget|$2|\"k|";
        let two = read_of(two, 3);
        assert_eq!(
            (two[0].offset, &two[1].offset, two[1].forget.as_deref()),
            (Offset::new(1, 0), &Offset::new(2, 7), Some("\"k"))
        );
        let removed = "*1|*2|$1|s|*1|*2|$3|1-0|*4|$6|forget|$1|k|$6|remove|$1|k|";
        let removed = read_of(removed, 3);
        assert_eq!((removed[0].forget.as_deref(), &removed[0].notice), (Some("k"), &Some(Notice::Remove("k".into()))));
        let expired = "*1|*2|$1|s|*1|*2|$3|9-0|*4|$6|expire|$7|1-0 k n|$4|data|$1|7|";
        let expired = read_of(expired, 7);
        let notice = Notice::Expire { value: Offset::new(1, 0), field: "k n".into() };
        assert_eq!((&expired[0].notice, expired[0].data.as_deref()), (&Some(notice), Some(&b"7"[..])));
        assert_eq!(Entry::parse_read(Value::Nil, "s", 3).unwrap(), ReadEntries::default());
        assert!(Entry::parse_read(Value::Okay, "s", 3).is_err());
        let both = "*2|*2|$1|s|*1|*2|$3|1-0|*2|$1|x|$1|y|*2|$1|e|*1|*2|$3|2-7|*4|$4|data|$1|7|$7|follows|$3|1-0|";
        let both = Entry::parse_read(value(both), "s", 3).unwrap();
        assert_eq!((both.entries.len(), both.ephemerals[0].follows), (1, Some(Offset::new(1, 0))));
    }
}
