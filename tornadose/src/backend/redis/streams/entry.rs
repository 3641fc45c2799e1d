//! An entry of the stream, and the parts of one that is read in several transfers.

use redis::Value;

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::protocol::{parse_bytes, parse_id, parse_list};
use crate::id::Offset;

/// An entry of the stream, with the fields that are of interest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    /// The field `data`; nothing of it if it is longer than any message.
    pub(super) data: Option<Vec<u8>>,
    /// The length of the field `data`, of which `data` may be a part.
    pub(super) length: usize,
    by: Option<String>,
    pub(super) forget: Option<String>,
}

impl Entry {
    /// Parses the entries of the script `page`.
    pub(super) fn parse_page(values: Vec<Value>) -> Option<Vec<Self>> {
        let mut entries = Vec::with_capacity(values.len() / 5);
        let mut values = values.into_iter();
        while let Some(id) = values.next() {
            let (length, data) = (values.next()?, values.next()?);
            let (by, forget) = (values.next()?, values.next()?);
            entries.push(Self {
                offset: parse_id(parse_bytes(&id)?)?,
                length: match length {
                    Value::Int(length) => usize::try_from(length).unwrap_or(0),
                    _ => return None,
                },
                data: into_bytes(data),
                by: parse_text(&by),
                forget: parse_text(&forget),
            });
        }
        Some(entries)
    }

    /// Parses the reply to `XREAD COUNT 1`; `None` if no entry arrived. A payload above `length_max` is dropped.
    pub(super) fn parse_read(reply: Value, length_max: usize) -> Result<Option<Self>, Fault> {
        let unexpected = || Fault::Protocol("unexpected reply to XREAD".into());
        if reply == Value::Nil {
            return Ok(None);
        }
        let parse = || {
            let id_and_fields = match reply {
                Value::Array(streams) => into_list(into_list(streams.into_iter().next()?)?.into_iter().nth(1)?)?,
                _ => return None,
            };
            let mut parts = into_list(id_and_fields.into_iter().next()?)?.into_iter();
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
                    b"forget" if entry.forget.is_none() => entry.forget = parse_text(&value),
                    _ => {}
                }
            }
            Some(entry)
        };
        parse().map(Some).ok_or_else(unexpected)
    }

    /// Returns the sender's id and the message's number there. Other programs write neither.
    pub(super) fn sender(&self) -> Option<(&str, u64)> {
        let (sender_id, number) = self.by.as_deref()?.rsplit_once('-')?;
        Some((sender_id, number.parse().ok()?))
    }

    pub(super) fn size(&self) -> usize {
        self.data.as_ref().map_or(0, Vec::len) + self.forget.as_ref().map_or(0, String::len)
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
        let Value::Array(page) = value("*10|$3|1-0|:3|$3|{1}|$3|a-1|$-1|$3|2-7|:-1|$-1|$-1|$2|\"k|") else {
            unreachable!()
        };
        let entries = Entry::parse_page(page).unwrap();
        assert_eq!((entries[0].offset, entries[0].sender(), entries[0].size()), (Offset::new(1, 0), Some(("a", 1)), 3));
        assert_eq!((entries[1].offset, entries[1].data.as_ref()), (Offset::new(2, 7), None));
        assert_eq!(entries[1].forget.as_deref(), Some("\"k"));

        let read = "*1|*2|$1|s|*1|*2|$3|1-0|*6|$4|data|$3|{1}|$1|x|$1|y|$2|by|$3|a-1|";
        assert_eq!(Entry::parse_read(value(read), 3).unwrap().unwrap(), entries[0]);
        let too_long = Entry::parse_read(value(read), 2).unwrap().unwrap();
        assert_eq!((too_long.data, too_long.length), (Some(Vec::new()), 3));
        assert_eq!(Entry::parse_read(Value::Nil, 3).unwrap(), None);
        assert!(Entry::parse_read(Value::Okay, 3).is_err());
    }
}
