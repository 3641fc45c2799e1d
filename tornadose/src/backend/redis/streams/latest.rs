//! The hash of latest values, which outlive their entries in the stream.

use std::collections::HashMap;

use redis::{Pipeline, Value};

use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::protocol::{
    Keys, forget_latest_lua, format_id, parse_bytes, parse_id, parse_pairs, upsert_latest_lua,
};
use crate::id::Offset;

/// The values in the hash by field, each with the offset of its message.
pub(super) type LatestValues = HashMap<String, (Offset, Vec<u8>)>;

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
        let mut newest = LatestValues::new();
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

/// Parses the hash. The second list names stale fields: their values are newer than the stream, so they belong to an
/// earlier epoch.
pub(super) fn parse_latest(value: &Value, newest: Offset) -> Result<(LatestValues, Vec<String>), Fault> {
    let pairs = parse_pairs(value).ok_or_else(|| Fault::Protocol("the latest values are not a hash".into()))?;
    let (mut values, mut stale) = (LatestValues::new(), Vec::new());
    for (field, value) in pairs {
        let Some(value) = parse_bytes(value) else { continue };
        let Some(space) = value.iter().position(|byte| *byte == b' ') else { continue };
        let field = String::from_utf8_lossy(field).into_owned();
        match parse_id(&value[..space]) {
            Some(offset) if offset > newest => stale.push(field),
            Some(offset) => drop(values.insert(field, (offset, value[space + 1..].to_vec()))),
            None => {}
        }
    }
    Ok((values, stale))
}
