//! The read-only scripts. Each reads what belongs together in one step, and no more bytes than it is told to.

use redis::Cmd;
use sha1::{Digest, Sha1};

/// A script, which is sent by its digest when the server knows it.
pub(super) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
        let digest = Sha1::digest(text).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        Self { text, digest }
    }

    /// Returns the command that runs the script if the server knows it.
    pub(super) fn by_digest(&self, keys: &[&str]) -> Cmd {
        Self::command("EVALSHA_RO", &self.digest, keys)
    }

    /// Returns the command that runs the script in any case.
    pub(super) fn by_text(&self, keys: &[&str]) -> Cmd {
        Self::command("EVAL_RO", self.text, keys)
    }

    fn command(name: &str, script: &str, keys: &[&str]) -> Cmd {
        redis::cmd(name).arg(script).arg(keys.len()).arg(keys).take()
    }
}

/// The scripts, which say themselves what they expect and return.
pub(super) struct Scripts {
    pub(super) state: Script,
    pub(super) page: Script,
    pub(super) history: Script,
    pub(super) latest_index: Script,
    pub(super) latest_values: Script,
    pub(super) time: Script,
    pub(super) finishes: Script,
    pub(super) snapshot_index: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            state: Script::new(include_str!("lua/state.lua")),
            page: Script::new(include_str!("lua/page.lua")),
            history: Script::new(include_str!("lua/history.lua")),
            latest_index: Script::new(include_str!("lua/latest_index.lua")),
            latest_values: Script::new(include_str!("lua/latest_values.lua")),
            time: Script::new(include_str!("lua/time.lua")),
            finishes: Script::new(include_str!("lua/finishes.lua")),
            snapshot_index: Script::new(include_str!("lua/snapshot_index.lua")),
        }
    }
}
