//! Decodes the entries that were kept as bytes, when the first reader of their key arrives.

use std::sync::Arc;
use std::task::Waker;

use crate::message::Message;
use crate::store::decode::{Decoded, decode_of_key};
use crate::store::log::key::KeySelection;
use crate::store::shared::{Shared, StateGuard};

/// How many entries are decoded before the store is locked again.
const DECODED_AT_ONCE: usize = 256;

impl<M: Message> Shared<M> {
    /// Decodes what is kept as bytes of these keys, which the log has acquired. Returns the state, still locked since
    /// nothing of them was left: no new entry of theirs is kept as bytes.
    pub(super) fn decode_for<'a>(&'a self, keys: &KeySelection, mut state: StateGuard<'a, M>) -> StateGuard<'a, M> {
        let Some(backend) = &self.backend else { return state };
        loop {
            let undecoded = state.log.undecoded_of(keys, DECODED_AT_ONCE);
            if undecoded.is_empty() {
                return state;
            }
            // The code of the message's type runs unlocked. Meanwhile entries may be trimmed, or be decoded for another
            // reader.
            drop(state);
            let decode = |payload, key| decode_of_key(payload, key, backend.parse_json, self.limits.memory);
            let decoded: Vec<_> = undecoded.iter().map(|entry| decode(&entry.payload, &entry.key_text)).collect();
            state = self.lock();
            let (mut messages, mut evicted, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
            for (entry, decoded) in undecoded.iter().zip(decoded) {
                let replaced = decoded.map_err(|error| error.to_string()).and_then(|decoded| {
                    let Decoded { message, event, key, .. } = decoded;
                    // A reference is kept, so that a message that is not kept is not dropped under the lock.
                    let message = Arc::new(message);
                    messages.push(Arc::clone(&message));
                    let replaced = state.log.replace_undecoded(entry, key, message, event, self.encoding_count());
                    replaced.map_err(|error| error.reason().to_owned())
                });
                match replaced {
                    Ok(replaced) => evicted.extend(replaced),
                    Err(reason) if state.log.drop_unreadable(entry) => unreadable.push((entry.offset, reason)),
                    // It was trimmed, or another reader has reported it.
                    Err(_) => {}
                }
            }
            let is_gap = !unreadable.is_empty() && !state.loading && state.takes_messages();
            let wakers = if is_gap { state.readers.take_all_wakers() } else { Vec::new() };
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            drop((messages, evicted));
            for (offset, reason) in unreadable {
                backend.skip_log.record(offset, &reason);
            }
            state = self.lock();
        }
    }
}

#[cfg(test)]
mod tests;
