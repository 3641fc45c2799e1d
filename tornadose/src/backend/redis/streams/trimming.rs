//! Trims the stream of a type with snapshots to its history, up to the place at most. What is appended to it trims
//! only what is beyond the hard bound.

use std::time::Duration;

use redis::Pipeline;
use tokio::time::Instant;

use crate::backend::link::BackendLink;
use crate::backend::redis::streams::place::KeptPlace;
use crate::backend::redis::streams::protocol::Keys;
use crate::backend::redis::streams::refusal::Refusal;
use crate::backend::redis::streams::shared::StreamShared;
use crate::backend::redis::streams::tail::StreamInfo;

const TRIM_LUA: &str = include_str!("lua/trim.lua");

/// The shortest time between two trims.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the stream is trimmed next.
#[derive(Default)]
pub(super) struct Trimming {
    info: StreamInfo,
    /// The place, and how many entries had been added, when it was trimmed last.
    trimmed: Option<(Option<KeptPlace>, u64)>,
    trimmed_at: Option<Instant>,
    refusal: Refusal,
}

impl Trimming {
    /// Records the state of the stream at a poll.
    pub(super) fn record_state(&mut self, info: StreamInfo) {
        self.info = info;
    }

    /// Returns the commands that keep the place and trim the stream, if it is longer than its history and has
    /// changed.
    pub(super) fn pipeline_if_due(
        &mut self,
        keys: &Keys,
        shared: &StreamShared,
        link: &BackendLink,
    ) -> Option<Pipeline> {
        if self.info.length <= shared.history as u64 || link.snapshot_version().is_none() {
            return None;
        }
        if self.trimmed_at.is_some_and(|trimmed_at| trimmed_at.elapsed() < INTERVAL) {
            return None;
        }
        let place = shared.checkpoints.place(link);
        if self.trimmed.replace((place, self.info.added)) == Some((place, self.info.added)) {
            return None;
        }
        self.trimmed_at = Some(Instant::now());
        let mut pipeline = redis::pipe();
        if let Some(place) = place {
            place.add_keep(&mut pipeline, keys);
        }
        let trim = pipeline.cmd("EVAL").arg(TRIM_LUA).arg(3);
        trim.arg(&keys.stream).arg(&keys.snapshots).arg(&keys.epoch).arg(shared.history);
        Some(pipeline)
    }

    /// Records why Redis has refused to trim, or that it has trimmed. Returns a reason that is to be logged.
    pub(super) fn record(&mut self, refusal: Option<String>) -> Option<&str> {
        if refusal.is_some() {
            self.trimmed = None;
        }
        self.refusal.replace(refusal)
    }
}
