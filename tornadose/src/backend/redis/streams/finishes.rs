//! The hash of finishes, which outlive their entries in the stream, and the sorted set of their times.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use crate::backend::link::BackendLink;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::protocol::{
    DROP_FINISHES_LUA, Keys, REOPEN_LUA, format_id, parse_bytes, parse_id, parse_list,
};
use crate::id::Offset;

/// After which time a finish is forgotten whose entry is not kept any more, where messages do not expire.
const FINISH_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often each process lets old finishes be forgotten, and how many at once.
const REOPEN_INTERVAL: Duration = Duration::from_secs(60);
const REOPEN_KEYS_MAX: usize = 100;

/// Finishes that are to be passed to the store in the order of their offsets, between the entries of the stream.
#[derive(Default)]
pub(super) struct UnreadFinishes {
    by_offset: BTreeMap<Offset, String>,
    /// The keys of all finishes, and the offsets of these.
    of_keys: HashMap<String, Offset>,
    /// Keys and ids of finishes that are newer than the stream, so they belong to an earlier epoch.
    stale: Vec<String>,
}

impl UnreadFinishes {
    /// Reads the finishes that are newer than an offset, in pages.
    pub(super) async fn read(connection: &mut ReaderConnection<'_>, after: Offset) -> Result<Self, Fault> {
        let (mut finishes, mut cursor) = (Self::default(), String::from("0"));
        loop {
            let Keys { finishes: hash, stream, .. } = connection.keys;
            let script = &connection.scripts.finishes;
            let add_arguments = |command: &mut Cmd| {
                command.arg(&cursor);
            };
            let reply = connection.run(script, &[hash, stream], add_arguments).await?;
            let next = finishes.add_page(&reply, after);
            cursor = next.ok_or_else(|| Fault::Protocol("the finishes are not a hash".into()))?;
            if cursor == "0" {
                return Ok(finishes);
            }
        }
    }

    /// Adds a part of them. Returns the cursor of the next one.
    fn add_page(&mut self, reply: &Value, after: Offset) -> Option<String> {
        let [cursor, newest, values] = parse_list(reply)? else { return None };
        let newest = parse_id(parse_bytes(newest)?)?;
        for value in parse_list(values)?.chunks_exact(2) {
            let key = String::from_utf8_lossy(parse_bytes(&value[0])?).into_owned();
            let Some(offset) = parse_bytes(&value[1]).and_then(parse_id) else { continue };
            if offset > newest {
                self.stale.extend([key, format_id(offset)]);
                continue;
            }
            self.of_keys.insert(key.clone(), offset);
            if offset > after {
                self.by_offset.insert(offset, key);
            }
        }
        Some(String::from_utf8_lossy(parse_bytes(cursor)?).into_owned())
    }

    /// Returns whether the finish at this offset is the one of this key.
    pub(super) fn contains(&self, offset: Offset, key: &str) -> bool {
        self.of_keys.get(key) == Some(&offset)
    }

    /// Returns the offset of a key's finish.
    pub(super) fn offset_of(&self, key: &str) -> Option<Offset> {
        self.of_keys.get(key).copied()
    }

    /// Adds the command that drops finishes of an earlier epoch from the hash.
    pub(super) fn add_drop_of_stale(&mut self, pipeline: &mut Pipeline, keys: &Keys) {
        let stale = std::mem::take(&mut self.stale);
        if !stale.is_empty() {
            let command = pipeline.cmd("EVAL").arg(DROP_FINISHES_LUA).arg(2);
            command.arg(&keys.finishes).arg(&keys.finish_times).arg(stale);
        }
    }

    /// Passes the finishes up to an offset to the store.
    pub(super) fn pass_up_to(&mut self, offset: Offset, link: &BackendLink) {
        while let Some(first) = self.by_offset.first_entry().filter(|first| *first.key() <= offset) {
            let (offset, key) = first.remove_entry();
            link.finish(offset, &key);
        }
    }
}

/// When old finishes are forgotten next.
#[derive(Default)]
pub(super) struct Reopening(Option<Instant>);

impl Reopening {
    /// Adds the command that forgets old finishes, if it is time.
    pub(super) fn add_if_due(&mut self, pipeline: &mut Pipeline, keys: &Keys, history: usize, link: &BackendLink) {
        let now = Instant::now();
        if self.0.is_some_and(|due_at| now < due_at) {
            return;
        }
        let ttl = link.queue_ttl().unwrap_or(FINISH_TTL);
        self.0 = Some(now + REOPEN_INTERVAL.min(ttl / 10));
        let has_snapshots = link.snapshot_version().is_some();
        let command = pipeline.cmd("EVAL").arg(REOPEN_LUA).arg(if has_snapshots { 4 } else { 3 });
        command.arg(&keys.stream).arg(&keys.finishes).arg(&keys.finish_times);
        if has_snapshots {
            command.arg(&keys.snapshots);
        }
        command.arg(history).arg(ttl.as_millis().to_string()).arg(REOPEN_KEYS_MAX);
    }
}
