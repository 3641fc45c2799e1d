//! Takes ephemeral messages that come from a backend apart from the log.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::incoming::{IncomingEntry, Ingested};
use crate::message::Message;
use crate::store::decode::{Decoded, decode};
use crate::store::ingest::{Identity, Ingest};
use crate::store::kept_as::KeptAs;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::shared::{BackendHandle, Shared};
use crate::store::sweeper;

impl<M: Message> Ingest<M> {
    /// Appends an ephemeral message after the head of the log.
    pub(super) fn append_ephemeral(
        &self,
        shared: &Arc<Shared<M>>,
        backend: &BackendHandle<M>,
        entry: IncomingEntry<'_>,
    ) -> Ingested {
        let identity = self.identify(backend, entry.sender, entry.payload, |history| &mut history.ephemeral_dedup);
        let decoded = match identity {
            Identity::Duplicate => return Ingested::Ignored,
            _ if entry.age >= EPHEMERAL_AGE => return Ingested::Ignored,
            Identity::Own(decoded) => Ok(decoded),
            Identity::New => decode(entry.payload, backend.parse_json, self.limits.memory),
        };
        match decoded {
            Ok(Decoded { message, event, kept_as: KeptAs::Ephemeral, key, .. }) => {
                let now = Instant::now();
                let submitted_at = now.checked_sub(entry.age).unwrap_or(now);
                let message = Arc::new(message);
                let kept = Arc::clone(&message);
                let mut state = shared.lock();
                if !state.takes_messages() {
                    return Ingested::Ignored;
                }
                if M::CAN_FINISH && state.log.finish_of_key(&key).is_some() {
                    // Its sender did not know of the finish.
                    return Ingested::Ignored;
                }
                let expired = state.expire(now);
                let appended =
                    state.log.append_ephemeral(None, key, kept, event, shared.encoding_count(), submitted_at);
                let sweeper = if appended.is_ok() { state.sweep_by(now) } else { None };
                let readers = appended.as_ref().ok().map(|appended| state.push_to_readers(&appended.entry));
                drop(state);
                // Wake and drop after unlocking, as `Store::submit` does.
                if let Some(readers) = readers {
                    readers.wake();
                }
                if let Some(order) = sweeper {
                    sweeper::start(order, shared);
                }
                drop(expired);
                match appended {
                    Ok(appended) => {
                        drop(appended.evicted);
                        Ingested::Ephemeral
                    }
                    Err(error) => self.skip_ephemeral(error.reason()),
                }
            }
            Ok(_) => self.skip_ephemeral("not an ephemeral message"),
            Err(error) => self.skip_ephemeral(&error.to_string()),
        }
    }

    /// Counts and logs what is not an ephemeral message. It is no gap, because nobody is owed one.
    fn skip_ephemeral(&self, reason: &str) -> Ingested {
        let head = self.shared.upgrade().map(|shared| shared.lock().log.head().offset);
        self.skip_log.record(head.unwrap_or_default(), reason);
        Ingested::Unreadable
    }
}
