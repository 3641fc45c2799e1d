//! How a submit goes into the log of a store in memory.

use std::sync::Arc;

use crate::id::Id;
use crate::message::Message;
use crate::metrics;
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::expired::Age;
use crate::store::kept_as::KeptAs;
use crate::store::log::AppendError;
use crate::store::sweeper;

impl<M: Message> Store<M> {
    /// Appends a message, and pushes it to its readers.
    pub(super) fn append(&self, message: M) -> Result<Id, SubmitError<M>> {
        let event = match message.event() {
            Ok(event) => event,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let kept_as = match KeptAs::of(&message) {
            Ok(kept_as) => kept_as,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let finishes = M::CAN_FINISH && kept_as != KeptAs::Ephemeral && message.finishes();
        let (key, message) = (message.key(), Arc::new(message));
        let mut state = self.shared.lock();
        let age = Age::new::<M>();
        let expired = age.and_then(|age| state.expire(age.now));
        let appended = if state.takes_submit() {
            let (offset, encoding_count) = (state.log.next(), self.shared.encoding_count());
            let kept = Arc::clone(&message);
            let appended = match (&kept_as, age) {
                (KeptAs::Ephemeral, Some(Age { now, .. })) => {
                    state.log.append_ephemeral(Some(offset), key, kept, event, encoding_count, now)
                }
                _ => state.log.append(offset, key, kept, event, &kept_as, encoding_count),
            };
            appended.map_err(Some)
        } else {
            Err(None)
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                drop(state);
                drop(expired);
                let message = Arc::into_inner(message).expect("a rejected message has no other owner");
                return Err(match error {
                    None => SubmitError::Closed { message },
                    Some(AppendError::Key(error)) => SubmitError::Encode { message, error },
                    Some(AppendError::KeyTooLong { size }) => SubmitError::KeyTooLong { message, size },
                    Some(AppendError::Finished) => SubmitError::Finished { message },
                    Some(AppendError::Full) => SubmitError::Full { message },
                    Some(AppendError::TooLarge { size }) => SubmitError::TooLarge { message, size },
                });
            }
        };
        let sweeper = state.record_age(appended.entry.offset(), age, &kept_as);
        let readers = state.push_to_readers(&appended.entry);
        let finish = finishes.then(|| state.finish(appended.entry.key_index()));
        // Wake and drop after unlocking: a woken reader may lock the store first thing, and so may a message's
        // `Drop`.
        drop(state);
        readers.wake();
        if let Some((_, waker)) = finish {
            waker.wake();
        }
        drop((appended.evicted, expired));
        if let Some(order) = sweeper {
            sweeper::start(order, &self.shared);
        }
        metrics::submitted();
        Ok(appended.entry.id)
    }
}
