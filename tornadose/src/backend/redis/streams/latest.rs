//! The hash of latest values, which outlive their entries in the stream.

use std::collections::{BTreeMap, HashMap};

use redis::{Cmd, Pipeline, Value};

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::entry::{Part, parse_values};
use crate::backend::redis::streams::protocol::{
    Keys, forget_latest_lua, format_id, parse_bytes, parse_id, parse_list, upsert_latest_lua,
};
use crate::id::Offset;

/// How many values are asked for at once, if they are small.
const READ_VALUES_MAX: usize = 100;

/// A change of the hash.
pub(super) enum LatestWrite {
    /// Keeps a value that another program has appended.
    Upsert { field: String, offset: Offset, payload: Vec<u8> },
    /// Drops values that are not newer than an offset.
    Forget { offset: Offset, fields: Vec<String> },
}

/// The scripts that change the hash.
pub(super) struct LatestScripts {
    upsert: String,
    forget: String,
}

impl LatestScripts {
    pub(super) fn new() -> Self {
        Self { upsert: upsert_latest_lua(), forget: forget_latest_lua() }
    }

    /// Adds the commands for these writes. Of each field only the newest value is written.
    pub(super) fn add_writes(&self, pipeline: &mut Pipeline, keys: &Keys, writes: Vec<LatestWrite>) {
        let mut newest: HashMap<String, (Offset, Vec<u8>)> = HashMap::new();
        for write in writes {
            match write {
                LatestWrite::Upsert { field, offset, payload } => drop(newest.insert(field, (offset, payload))),
                LatestWrite::Forget { offset, fields } => {
                    newest.retain(|field, _| !fields.contains(field));
                    let command = pipeline.cmd("EVAL").arg(&self.forget).arg(1).arg(&keys.latest);
                    command.arg(format_id(offset)).arg(fields);
                }
            }
        }
        for (field, (offset, payload)) in newest {
            let command = pipeline.cmd("EVAL").arg(&self.upsert).arg(1).arg(&keys.latest);
            command.arg(field).arg(format_id(offset)).arg(payload);
        }
    }
}

/// The fields of the hash, with the offsets of their values.
#[derive(Default)]
pub(super) struct LatestIndex {
    pub(super) offsets: HashMap<String, Offset>,
    /// Fields whose values are newer than the stream, so they belong to an earlier epoch.
    pub(super) stale_fields: Vec<String>,
}

impl LatestIndex {
    /// Reads the index without the values, in pages.
    pub(super) async fn read(connection: &mut ReaderConnection<'_>) -> Result<Self, Fault> {
        let (mut index, mut cursor) = (Self::default(), String::from("0"));
        loop {
            let Keys { latest, stream, .. } = connection.keys;
            let script = &connection.scripts.latest_index;
            let add_arguments = |command: &mut Cmd| {
                command.arg(&cursor);
            };
            let reply = connection.run(script, &[latest, stream], add_arguments).await?;
            cursor =
                index.add_page(&reply).ok_or_else(|| Fault::Protocol("the latest values are not a hash".into()))?;
            if cursor == "0" {
                return Ok(index);
            }
        }
    }

    /// Adds a part of the index. Returns the cursor of the next one.
    fn add_page(&mut self, reply: &Value) -> Option<String> {
        let [cursor, newest, values] = parse_list(reply)? else { return None };
        let newest = parse_id(parse_bytes(newest)?)?;
        for value in parse_list(values)?.chunks_exact(3) {
            let field = String::from_utf8_lossy(parse_bytes(&value[0])?).into_owned();
            match parse_id(parse_bytes(&value[1])?) {
                Some(offset) if offset > newest => self.stale_fields.push(field),
                Some(offset) => drop(self.offsets.insert(field, offset)),
                None => {}
            }
        }
        Some(String::from_utf8_lossy(parse_bytes(cursor)?).into_owned())
    }
}

/// Latest values that are to be ingested in the order of their offsets, between the entries of the stream.
#[derive(Default)]
pub(super) struct UnreadValues {
    fields: BTreeMap<Offset, String>,
    part: Part,
}

/// A value of the hash.
pub(super) struct LatestValue {
    pub(super) field: String,
    pub(super) offset: Offset,
    pub(super) payload: Vec<u8>,
}

impl UnreadValues {
    /// Takes the values of an index that are newer than an offset.
    pub(super) fn newer_than(index: &LatestIndex, offset: Offset) -> Self {
        let newer = index.offsets.iter().filter(|(_, found)| **found > offset);
        Self { fields: newer.map(|(field, offset)| (*offset, field.clone())).collect(), part: Part::default() }
    }

    pub(super) fn has_up_to(&self, offset: Offset) -> bool {
        self.fields.first_key_value().is_some_and(|(first, _)| *first <= offset)
    }

    /// Skips the value at this offset, because its entry is in the stream. Returns its field.
    pub(super) fn remove(&mut self, offset: Offset) -> Option<String> {
        self.fields.remove(&offset)
    }

    /// Reads some of the values up to an offset, which is at or above the first. A value that has been replaced or
    /// forgotten since is left out.
    pub(super) async fn read_some(
        &mut self,
        connection: &mut ReaderConnection<'_>,
        up_to: Offset,
    ) -> Result<Vec<LatestValue>, Fault> {
        let fields: Vec<(Offset, String)> =
            self.fields.range(..=up_to).take(READ_VALUES_MAX).map(|(offset, field)| (*offset, field.clone())).collect();
        let Some((first, _)) = fields.first() else { return Ok(Vec::new()) };
        let (known, bytes) = (self.part.known(*first), connection.size.bytes());
        let reply = connection
            .transfer(&connection.scripts.latest_values, &[&connection.keys.latest], |command| {
                command.arg(bytes).arg(known);
                for (_, field) in &fields {
                    command.arg(field);
                }
            })
            .await?;
        let found = parse_values(&reply).ok_or_else(|| Fault::Protocol("unexpected reply to a script".into()))?;
        let mut values = Vec::new();
        for (index, ((offset, field), (id, more))) in fields.into_iter().zip(found).enumerate() {
            if id != Some(offset) {
                self.fields.remove(&offset);
                continue;
            }
            let value = if index == 0 { self.part.take_with(offset, more.to_vec()) } else { more.to_vec() };
            // As many bytes as were asked for may be a part of the value.
            if index == 0 && more.len() == bytes {
                self.part = Part { offset, bytes: value };
                break;
            }
            self.fields.remove(&offset);
            if let Some(space) = value.iter().position(|byte| *byte == b' ') {
                values.push(LatestValue { field, offset, payload: value[space + 1..].to_vec() });
            }
        }
        Ok(values)
    }
}
