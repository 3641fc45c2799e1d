//! Snapshots of a store with a backend: what was read from an engine is not refused for them.

use crate::event::Event;
use crate::message::Message;
use crate::store::ingest::Ingest;
use crate::store::kept_as::KeptAs;
use crate::store::log::AppendError;
use crate::store::shared::{Shared, State};

impl<M: Message> Ingest<M> {
    /// Drops the largest snapshots, first of keys without readers of their own, while a message does not fit beside them. They
    /// are unknown then.
    pub(super) fn make_room_by_snapshots(
        shared: &Shared<M>,
        state: &mut State<M>,
        key: &M::Key,
        message: &M,
        (event, kept_as): (&Event, &KeptAs),
    ) {
        let encoding_count = shared.encoding_count();
        let is_full = |state: &State<M>| {
            let room = state.log.check_room(key, message, event, kept_as, encoding_count);
            matches!(room, Err(AppendError::Full))
        };
        while is_full(state) {
            let State { log, readers, .. } = &mut *state;
            if !log.drop_largest_snapshot(|key_index| readers.count_of_key(key_index) > 0) {
                return;
            }
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, "snapshot dropped");
        }
    }
}
