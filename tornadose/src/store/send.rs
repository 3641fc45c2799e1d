//! How a submit goes to the backend of a store, instead of into its log.

use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use crate::backend::engine::Features;
use crate::backend::outbox::Content;
use crate::backend::outgoing::{ByteReservation, OutgoingKind, SendFailure, SendOutcome};
use crate::event::error::EncodeError;
use crate::id::Id;
use crate::message::Message;
use crate::metrics;
use crate::store::Store;
use crate::store::decode::{DecodeError, Decoded, decode};
use crate::store::error::SubmitError;
use crate::store::kept_as::KeptAs;
use crate::store::key_json::{key_size, key_text, latest_slot};
use crate::store::limits::ENTRY_OVERHEAD;
use crate::store::log::AppendError;
use crate::store::log::ephemeral::EPHEMERAL_AGE;
use crate::store::shared::BackendHandle;

/// A message as it is sent to a backend, and as it was read back.
struct Encoded<M: Message> {
    kind: OutgoingKind,
    content: Content,
    decoded: Decoded<M>,
}

/// A message whose submit waits. Unless it is acknowledged, what was read back of it is dropped with this.
struct Waiting<'a, M: Message> {
    backend: &'a BackendHandle<M>,
    number: u64,
    is_acknowledged: bool,
}

impl<M: Message> Drop for Waiting<'_, M> {
    fn drop(&mut self) {
        if !self.is_acknowledged {
            self.backend.read_back.remove(self.number);
        }
    }
}

impl<M: Message> Store<M> {
    /// Sends a message to the backend, and waits for its acknowledgement.
    pub(super) async fn send(&self, backend: &BackendHandle<M>, message: M) -> Result<Id, SubmitError<M>> {
        let deadline = Instant::now() + backend.ack_timeout;
        let (message, Encoded { kind, content, decoded }) = self.encode(backend, message)?;
        let reservation = match backend.outbox.try_reserve(content.size()) {
            Some(reservation) => Some(reservation),
            None => match timeout_at(deadline, backend.outbox.reserve(content.size())).await {
                Ok(reservation) => reservation,
                Err(_) => return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent }),
            },
        };
        let Some(reservation) = reservation else { return Err(SubmitError::Closed { message }) };
        let (hash, bytes) = (backend.read_back.hash(&content.payload), content.payload.len());
        let register = |number| backend.read_back.insert(number, decoded, hash, bytes);
        let Some(mut ack) = backend.outbox.enqueue(kind, content, reservation, register) else {
            return Err(SubmitError::Closed { message });
        };
        let mut waiting = Waiting { backend, number: ack.number(), is_acknowledged: false };
        let result = match timeout_at(deadline, ack.wait()).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::Failed(ack.withdraw())),
        };
        match result {
            Ok(offset) => {
                waiting.is_acknowledged = true;
                metrics::submitted();
                Ok(self.shared().lock().log.id(offset))
            }
            Err(SendFailure::Refused(reason)) => Err(SubmitError::Refused { message, reason }),
            Err(SendFailure::Finished(_)) => Err(SubmitError::Finished { message }),
            Err(SendFailure::Failed(outcome)) => Err(SubmitError::Unavailable { message, outcome }),
        }
    }

    /// Sends a message to the backend if there is room, without waiting for its acknowledgement.
    pub(super) fn send_without_ack(&self, backend: &BackendHandle<M>, message: M) -> Result<(), SubmitError<M>> {
        let (message, Encoded { kind, content, decoded }) = self.encode(backend, message)?;
        let Some(reservation) = backend.outbox.try_reserve(content.size()) else {
            return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent });
        };
        let (hash, bytes) = (backend.read_back.hash(&content.payload), content.payload.len());
        let register = |number| backend.read_back.insert(number, decoded, hash, bytes);
        if backend.outbox.enqueue_without_ack(kind, content, reservation, register) {
            metrics::submitted();
            Ok(())
        } else {
            Err(SubmitError::Closed { message })
        }
    }

    /// Sends that the `latest` values of a key, or that in one of its slots, are to be dropped, if there is room.
    pub(super) fn send_forget(backend: &BackendHandle<M>, key: &M::Key, slot: Option<&str>) {
        if !M::HAS_LATEST {
            return;
        }
        // No message has a key that cannot be serialized, so nothing is kept of it.
        let Ok(key) = key_text(key) else { return };
        let key = latest_slot(&key, None, slot);
        let reservation: Option<ByteReservation> = backend.outbox.try_reserve(key.len());
        let is_sent = reservation.is_some_and(|reservation| {
            backend.outbox.enqueue_without_ack(OutgoingKind::Forget { key }, Content::default(), reservation, |_| ())
        });
        if !is_sent {
            let reason = "the store is closed, or there is no room for more messages on their way";
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, reason, "forget dropped");
        }
    }

    /// Sends a request about a key that is no message, and waits for its acknowledgement. Returns the id that the engine
    /// gives it, or that of the key's finish.
    pub(super) async fn send_notice(
        &self,
        backend: &BackendHandle<M>,
        key: &M::Key,
        kind: impl FnOnce(String) -> OutgoingKind,
    ) -> Result<Id, SubmitError<()>> {
        let (deadline, message) = (Instant::now() + backend.ack_timeout, ());
        if !self.shared().lock().takes_submit() {
            return Err(SubmitError::Closed { message });
        }
        let size = key_size(key).map_err(|error| SubmitError::Encode { message, error })?;
        if size > self.shared().limits.max_key {
            return Err(SubmitError::KeyTooLong { message, size });
        }
        let key = key_text(key).map_err(|error| SubmitError::Encode { message, error })?;
        let reservation = match timeout_at(deadline, backend.outbox.reserve(key.len())).await {
            Ok(reservation) => reservation.ok_or(SubmitError::Closed { message })?,
            Err(_) => return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent }),
        };
        let open_key = Some(key.clone());
        let content = Content { open_key, ..Content::default() };
        let ack = backend.outbox.enqueue(kind(key), content, reservation, |_| ());
        let Some(mut ack) = ack else { return Err(SubmitError::Closed { message }) };
        let result = match timeout_at(deadline, ack.wait()).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::Failed(ack.withdraw())),
        };
        match result {
            Ok(offset) | Err(SendFailure::Finished(offset)) => Ok(self.shared().lock().log.id(offset)),
            Err(SendFailure::Refused(reason)) => Err(SubmitError::Refused { message, reason }),
            Err(SendFailure::Failed(outcome)) => Err(SubmitError::Unavailable { message, outcome }),
        }
    }

    /// Encodes a message for the backend and reads it back, unless the log would not have room for it.
    fn encode(&self, backend: &BackendHandle<M>, message: M) -> Result<(M, Encoded<M>), SubmitError<M>> {
        let encoding_count = self.shared().encoding_count();
        let mut payload = Vec::with_capacity(256);
        if let Err(error) = (backend.write_json)(&message, &mut payload) {
            return Err(SubmitError::Encode { message, error });
        }
        payload.shrink_to_fit();
        let decoded = match decode(&payload, backend.parse_json, self.shared().limits.memory) {
            Ok(decoded) => decoded,
            Err(DecodeError::TooLong { bytes }) => {
                let size = 2 * ENTRY_OVERHEAD + encoding_count * bytes;
                return Err(SubmitError::TooLarge { message, size });
            }
            Err(error) => return Err(SubmitError::Encode { message, error: read_back_error(error) }),
        };
        if cfg!(debug_assertions) {
            log_change(backend, &message, &decoded);
        }
        let Decoded { event, kept_as, key, latest, .. } = &decoded;
        let is_ephemeral = *kept_as == KeptAs::Ephemeral;
        let kind = match latest {
            None if is_ephemeral && backend.features.contains(Features::EPHEMERAL) => OutgoingKind::Ephemeral,
            None => OutgoingKind::Queue,
            Some(latest) => OutgoingKind::Latest { slot: latest.slot.clone() },
        };
        let tells_finishes = M::CAN_FINISH && backend.features.contains(Features::FINISH);
        let mut state = self.shared().lock();
        if !state.takes_submit() {
            drop(state);
            return Err(SubmitError::Closed { message });
        }
        // Otherwise the engine decides: this process may not know of a removal yet.
        if M::CAN_FINISH && !tells_finishes && state.log.finish_of_key(key).is_some() {
            drop(state);
            return Err(SubmitError::Finished { message });
        }
        let room = state.log.check_room(key, &decoded.message, event, kept_as, encoding_count);
        drop(state);
        match room {
            Ok(_) => {
                // It could be serialized to be measured. A type without fields has one key, which tells nothing. A
                // tombstone has none, so that every process decodes it.
                let has_key = matches!(kept_as, KeptAs::Queue(_)) && size_of::<M::Key>() > 0;
                let open_key = tells_finishes.then(|| key_text(key).ok()).flatten();
                let key = has_key.then(|| open_key.clone().or_else(|| key_text(key).ok())).flatten();
                let finishes = tells_finishes && !is_ephemeral && decoded.message.finishes();
                let stale_at = is_ephemeral.then(|| Instant::now() + EPHEMERAL_AGE);
                let content = Content { payload, key, open_key, finishes, stale_at };
                Ok((message, Encoded { kind, content, decoded }))
            }
            Err(AppendError::Key(error)) => Err(SubmitError::Encode { message, error }),
            Err(AppendError::KeyTooLong { size }) => Err(SubmitError::KeyTooLong { message, size }),
            Err(AppendError::Finished) => Err(SubmitError::Finished { message }),
            Err(AppendError::Full) => Err(SubmitError::Full { message }),
            Err(AppendError::TooLarge { size }) => Err(SubmitError::TooLarge { message, size }),
        }
    }
}

/// Logs once that a message is not the same when it is read back. Readers get what was read back.
fn log_change<M: Message>(backend: &BackendHandle<M>, message: &M, decoded: &Decoded<M>) {
    let is_same = message.event().is_ok_and(|event| event == decoded.event) && message.key() == decoded.key;
    if !is_same && !backend.change_logged.swap(true, Ordering::Relaxed) {
        tracing::warn!(target: "tornadose", channel = M::CHANNEL, "message changed by reading back");
    }
}

/// Converts the error of reading a message back. The message is the caller's, so the text may quote it.
fn read_back_error(error: DecodeError) -> EncodeError {
    match error {
        DecodeError::Event(error) => error,
        DecodeError::Json(error) => EncodeError::read_back(error.to_string()),
        DecodeError::TooLong { .. } | DecodeError::OtherKey | DecodeError::Panicked => {
            EncodeError::read_back(error.to_string())
        }
    }
}
