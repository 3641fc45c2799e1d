//! How a submit goes to the backend of a store, instead of into its log.

use tokio::time::{Instant, timeout_at};

use crate::backend::outgoing::{ByteReservation, OutgoingKind, SendOutcome};
use crate::id::Id;
use crate::message::{Message, Retention};
use crate::metrics;
use crate::store::Store;
use crate::store::error::SubmitError;
use crate::store::ingest::{key_text, latest_slot};
use crate::store::log::AppendError;
use crate::store::shared::BackendHandle;

/// A message as it is sent to a backend.
struct Encoded {
    kind: OutgoingKind,
    payload: Vec<u8>,
}

impl<M: Message> Store<M> {
    /// Sends a message to the backend, and waits for its acknowledgement.
    pub(super) async fn send(&self, backend: &BackendHandle<M>, message: M) -> Result<Id, SubmitError<M>> {
        let deadline = Instant::now() + backend.ack_timeout;
        let (message, Encoded { kind, payload }) = self.encode(backend, message)?;
        let reservation = match backend.outbox.try_reserve(payload.len()) {
            Some(reservation) => Some(reservation),
            None => match timeout_at(deadline, backend.outbox.reserve(payload.len())).await {
                Ok(reservation) => reservation,
                Err(_) => return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent }),
            },
        };
        let Some(reservation) = reservation else { return Err(SubmitError::Closed { message }) };
        let Some(mut ack) = backend.outbox.enqueue(kind, payload, reservation) else {
            return Err(SubmitError::Closed { message });
        };
        let result = match timeout_at(deadline, ack.wait()).await {
            Ok(result) => result,
            Err(_) => Err(ack.withdraw()),
        };
        match result {
            Ok(offset) => {
                metrics::submitted();
                Ok(self.shared().lock().log.id(offset))
            }
            Err(outcome) => Err(SubmitError::Unavailable { message, outcome }),
        }
    }

    /// Sends a message to the backend if there is room, without waiting for its acknowledgement.
    pub(super) fn send_without_ack(&self, backend: &BackendHandle<M>, message: M) -> Result<(), SubmitError<M>> {
        let (message, Encoded { kind, payload }) = self.encode(backend, message)?;
        let Some(reservation) = backend.outbox.try_reserve(payload.len()) else {
            return Err(SubmitError::Unavailable { message, outcome: SendOutcome::NotSent });
        };
        if backend.outbox.enqueue_without_ack(kind, payload, reservation) {
            metrics::submitted();
            Ok(())
        } else {
            Err(SubmitError::Closed { message })
        }
    }

    /// Sends that the `latest` values of a key are to be dropped, if there is room.
    pub(super) fn send_forget(backend: &BackendHandle<M>, key: &M::Key) {
        if !M::HAS_LATEST {
            return;
        }
        let key = key_text(key);
        let reservation: Option<ByteReservation> = backend.outbox.try_reserve(key.len());
        let is_sent = reservation.is_some_and(|reservation| {
            backend.outbox.enqueue_without_ack(OutgoingKind::Forget { key }, Vec::new(), reservation)
        });
        if !is_sent {
            let reason = "the store is closed, or there is no room for more messages on their way";
            tracing::warn!(target: "tornadose", channel = M::CHANNEL, reason, "forget dropped");
        }
    }

    /// Encodes a message for the backend, unless the log would not have room for it.
    fn encode(&self, backend: &BackendHandle<M>, message: M) -> Result<(M, Encoded), SubmitError<M>> {
        let encoded = message.event().and_then(|event| {
            // The payload is about as long as the event, with its name if it has one.
            let mut payload = Vec::with_capacity(event.data().len() + 64);
            (backend.write_json)(&message, &mut payload)?;
            Ok((event, payload))
        });
        let (event, payload) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return Err(SubmitError::Encode { message, error }),
        };
        let retention = if M::HAS_QUEUE { message.retention() } else { Retention::Latest };
        let key = message.key();
        let kind = match retention {
            Retention::Queue => OutgoingKind::Queue,
            Retention::Latest => OutgoingKind::Latest { slot: latest_slot(&key, event.name()) },
        };
        let encoding_count = self.shared().encoding_count();
        let state = self.shared().lock();
        if state.closed {
            drop(state);
            return Err(SubmitError::Closed { message });
        }
        let room = state.log.check_room(&key, &message, &event, retention, encoding_count);
        drop(state);
        match room {
            Ok(_) => Ok((message, Encoded { kind, payload })),
            Err(AppendError::Full) => Err(SubmitError::Full { message }),
            Err(AppendError::TooLarge { size }) => Err(SubmitError::TooLarge { message, size }),
        }
    }
}
