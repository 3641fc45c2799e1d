//! Values that an engine has expired.

use std::sync::Arc;

use crate::event::Event;
use crate::id::Offset;
use crate::message::Message;
use crate::store::decode::{Decoded, decode};
use crate::store::expired::Expired;
use crate::store::ingest::{Arrived, Ingest};
use crate::store::kept_as::KeptAs;
use crate::store::shared::{Shared, State};

/// A value that was decoded from the entry of its expiry.
struct ExpiredValue<M: Message> {
    key: M::Key,
    message: Arc<M>,
    event: Event,
    kept_as: KeptAs,
    place: String,
}

impl<M: Message> Ingest<M> {
    /// Drops the value at the offset `value`, unless it was dropped or replaced before. Its readers are told at `offset`.
    pub(super) fn expire_value(&self, offset: Offset, value: Offset, payload: &[u8]) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        if !state.takes(offset) {
            return;
        }
        let mut place = state.log.place_of(value);
        let mut expired = state.expire_by_engine(value, offset);
        let mut decoded = None;
        if expired.is_none() {
            // It was appended twice, or is not kept here.
            drop(state);
            decoded = self.decode_expired(&shared, payload);
            state = shared.lock();
            if let Some(decoded) = decoded.as_ref().filter(|_| state.takes(offset)) {
                expired = expire_decoded(&mut state, value, offset, decoded);
                place = Some(decoded.place.clone());
            }
        }
        state.log.advance_to(offset);
        let arrived = Arrived::take(&mut state, offset);
        drop(state);
        let is_expired = expired.is_some();
        drop((expired, decoded));
        arrived.wake(&shared);
        let place = place.filter(|_| is_expired);
        self.forget_places(place.as_slice());
    }

    /// Decodes a value that this process does not keep at its offset. One that it cannot read was unreadable when it was
    /// appended too.
    fn decode_expired(&self, shared: &Shared<M>, payload: &[u8]) -> Option<ExpiredValue<M>> {
        let parse = shared.backend.as_ref()?.parse_json;
        let Decoded { message, event, kept_as, key, latest } = decode(payload, parse, self.limits.memory).ok()?;
        Some(ExpiredValue { key, message: Arc::new(message), event, kept_as, place: latest?.slot })
    }

    /// Forgets the places of values that have expired.
    pub(super) fn forget_places(&self, places: &[String]) {
        let mut history = self.history();
        let forgotten: Vec<_> = places.iter().filter_map(|place| history.latest_keys.forget_place(place)).collect();
        drop(history);
        // Dropped after unlocking: a key has a `Drop` of its own.
        drop(forgotten);
    }
}

/// Expires the value in the place of one that this log keeps at another offset, or does not keep, unless a newer value
/// is there.
fn expire_decoded<M: Message>(
    state: &mut State<M>,
    value: Offset,
    offset: Offset,
    ExpiredValue { key, message, event, kept_as, .. }: &ExpiredValue<M>,
) -> Option<Expired<M>> {
    let slot = kept_as.slot().map(|slot| &**slot);
    match state.log.value_in_place(key, message, event, slot) {
        Some(newer) if newer > value => None,
        Some(copy) => state.expire_by_engine(copy, offset),
        None => {
            let unseen = (key.clone(), Arc::clone(message), event.clone());
            let key_index = state.log.expire_unseen_value(value, offset, unseen, slot)?;
            Some(state.tell_expired(key_index))
        }
    }
}
