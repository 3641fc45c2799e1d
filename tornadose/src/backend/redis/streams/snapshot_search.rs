//! The search for snapshots that other processes have kept, and that are lost in this one.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::checkpoints::KeptPlace;
use crate::backend::link::BackendLink;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::streams::connection::ReaderConnection;
use crate::backend::redis::streams::load::read_place;
use crate::backend::redis::streams::snapshots::UnreadSnapshots;
use crate::id::{Epoch, Offset};

/// The shortest time between two searches.
const INTERVAL: Duration = Duration::from_secs(5);

/// How many lost snapshots are looked for at once.
const SEARCHED_MAX: usize = 100;

pub(super) struct SnapshotSearch {
    searched_at: Option<Instant>,
    /// The place up to which all snapshots were kept when all that were lost were looked for.
    place: Option<KeptPlace>,
    /// Whether there was room for all snapshots that were found.
    has_room: bool,
}

impl SnapshotSearch {
    pub(super) fn new() -> Self {
        Self { searched_at: None, place: None, has_room: true }
    }

    /// Records that the stream is loaded again.
    pub(super) fn restart(&mut self) {
        (self.place, self.has_room) = (None, true);
    }

    /// Records how many snapshots there was no room for.
    pub(super) fn record_left_out(&mut self, left_out: usize, link: &BackendLink) {
        if left_out > 0 && std::mem::take(&mut self.has_room) {
            tracing::warn!(target: "tornadose", channel = link.channel(), left_out, "no room for snapshots");
        }
    }

    /// Lists the snapshots that can replace lost ones, if it is time to look.
    pub(super) async fn find(
        &mut self,
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
        epoch: Epoch,
    ) -> Result<UnreadSnapshots, Fault> {
        if self.searched_at.is_some_and(|searched_at| searched_at.elapsed() < INTERVAL) {
            return Ok(UnreadSnapshots::default());
        }
        self.searched_at = Some(Instant::now());
        if let Some(lost_through) = link.messages_lost_through().filter(|_| self.has_room) {
            let found = self.find_all(connection, link, epoch, lost_through).await?;
            if found.has_unread() {
                return Ok(found);
            }
        }
        match link.lost_snapshots(SEARCHED_MAX) {
            lost if lost.is_empty() => Ok(UnreadSnapshots::default()),
            lost => UnreadSnapshots::find_lost(connection, link, &lost).await,
        }
    }

    /// Lists all snapshots that this process lacks, if those of all keys are kept up to where it has lost messages.
    async fn find_all(
        &mut self,
        connection: &mut ReaderConnection<'_>,
        link: &BackendLink,
        epoch: Epoch,
        lost_through: Offset,
    ) -> Result<UnreadSnapshots, Fault> {
        let place = read_place(connection, link, epoch).await?;
        let place = place.filter(|kept| kept.place.offset >= lost_through && self.place != Some(*kept));
        if place.is_none() {
            return Ok(UnreadSnapshots::default());
        }
        let found = UnreadSnapshots::find_all_lost(connection, link, epoch, place).await?;
        self.place = place;
        Ok(found)
    }
}
