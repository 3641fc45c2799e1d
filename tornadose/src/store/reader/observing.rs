//! The gaps and the end of a reader, as its store's observers are told.

use crate::message::Message;
use crate::store::observers::{Observation, ObservedEvent};
use crate::store::reader::Reader;
use crate::store::shared::State;

/// How many keys of a reader are told.
const KEYS_TOLD: usize = 3;

impl<M: Message> Reader<M> {
    /// Tells those who look what happens to this reader.
    pub(crate) fn tell_observers(&self, event: ObservedEvent) {
        if self.shared.observers.is_observed() {
            self.tell(event);
        }
    }

    #[cold]
    fn tell(&self, event: ObservedEvent) {
        let state = self.shared.lock();
        let key_indexes = self.keys.key_indexes().iter().take(KEYS_TOLD);
        let observation = Observation {
            number: self.id.number(),
            kind: state.readers.kind_of(self.id),
            keys: key_indexes.filter_map(|key_index| state.log.key_json(*key_index)).collect(),
            key_count: self.key_count(),
            event,
        };
        drop(state);
        self.shared.observers.notify(&observation);
    }

    /// Records how far the reader has read, for those who look, because its socket takes nothing.
    pub(super) fn record_place(&self, state: &mut State<M>) {
        let read_live = Some(self.live.head).filter(|head| head.epoch == state.log.head().epoch);
        let through = self.cursor.owed_after().max(read_live.map(|head| head.offset).unwrap_or_default());
        state.readers.record_place(self.id, through);
    }
}
