//! Trims the stream of a type with snapshots to its history, and to the time for which messages are kept, up to the
//! place at most. What is appended to it, and the expiry, trim only what is beyond the hard bound.

use std::time::Duration;

use redis::Pipeline;
use tokio::time::Instant;

use crate::backend::checkpoints::TrimPoint;
use crate::backend::link::BackendLink;
use crate::backend::redis::streams::expiry::EngineClock;
use crate::backend::redis::streams::protocol::{Keys, format_id, parse_id};
use crate::backend::redis::streams::refusal::Refusal;
use crate::backend::redis::streams::shared::StreamShared;
use crate::backend::redis::streams::tail::StreamInfo;
use crate::backend::senders::Senders;
use crate::id::{Epoch, Offset};

const TRIM_LUA: &str = include_str!("lua/trim.lua");

/// The shortest time between two trims.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the stream is trimmed next.
#[derive(Default)]
pub(super) struct Trimming {
    info: StreamInfo,
    /// The offset up to which it was trimmed last, and that of the last request.
    trimmed: Option<Offset>,
    requested: Option<Offset>,
    trimmed_at: Option<Instant>,
    refusal: Refusal,
}

impl Trimming {
    /// Records the state of the stream at a poll.
    pub(super) fn record_state(&mut self, info: StreamInfo) {
        self.info = info;
    }

    /// Returns the commands that keep the place and trim the stream up to it, if it has entries beyond its history, or
    /// older ones than messages are kept.
    pub(super) fn pipeline_if_due(
        &mut self,
        keys: &Keys,
        shared: &StreamShared,
        clock: &EngineClock,
        link: &BackendLink,
    ) -> Option<Pipeline> {
        let (history, ttl) = (shared.history as u64, link.queue_ttl());
        if (self.info.length <= history && ttl.is_none()) || link.snapshot_version().is_none() {
            return None;
        }
        if self.trimmed_at.is_some_and(|trimmed_at| trimmed_at.elapsed() < INTERVAL) {
            return None;
        }
        self.trimmed_at = Some(Instant::now());
        let place = shared.checkpoints.place(link)?;
        let is_old =
            |offset, added| added + history <= self.info.added || ttl.is_some_and(|ttl| clock.age_of(offset) >= ttl);
        let TrimPoint { offset, senders } = shared.checkpoints.take_trim_point(place.place, is_old)?;
        if self.trimmed == Some(offset) {
            return None;
        }
        self.requested = Some(offset);
        let mut pipeline = redis::pipe();
        place.add_keep(&mut pipeline, keys);
        let trim = pipeline.cmd("EVAL").arg(TRIM_LUA).arg(3);
        trim.arg(&keys.stream).arg(&keys.snapshots).arg(&keys.epoch);
        trim.arg(format_id(offset)).arg(place.place.epoch.to_string()).arg(format_id(offset.next()));
        trim.arg(senders.to_string());
        Some(pipeline)
    }

    /// Records why Redis has refused to trim, or that it has trimmed. Returns a reason that is to be logged.
    pub(super) fn record(&mut self, refusal: Option<String>) -> Option<&str> {
        self.trimmed = self.requested.take().filter(|_| refusal.is_none());
        self.refusal.replace(refusal)
    }
}

/// Parses the field `trimmed`: an id, an epoch, and the senders up to the id.
pub(super) fn parse_trim_point(text: &[u8]) -> Option<(Epoch, TrimPoint)> {
    let mut parts = std::str::from_utf8(text).ok()?.split(' ');
    let (offset, epoch, senders) = (parts.next()?, parts.next()?, parts.next()?);
    let point = TrimPoint { offset: parse_id(offset.as_bytes())?, senders: Senders::parse(senders)? };
    Some((epoch.parse().ok()?, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_point_is_an_id_an_epoch_and_senders() {
        let epoch = Epoch::fresh();
        let (found, point) = parse_trim_point(format!("5-6 {epoch} 8f3k2m1q:17").as_bytes()).unwrap();
        assert_eq!(found, epoch);
        assert_eq!(point.offset, Offset::new(5, 6));
        assert!(point.is_repeated(Offset::new(5, 7), Some(("8f3k2m1q", 17))));
        for invalid in ["", "5-6", "5-6 x", "5-6 x -", &format!("5-6 {epoch}"), &format!("x {epoch} -")] {
            assert_eq!(parse_trim_point(invalid.as_bytes()), None, "{invalid:?}");
        }
    }
}
