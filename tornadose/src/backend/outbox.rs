//! The queue of submitted messages, from which a backend takes what it sends.
//!
//! The queue is bounded in bytes. A message counts until the backend has resolved it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use crate::backend::outgoing::{AckResult, ByteReservation, Outgoing, OutgoingKind, SendFailure, SendOutcome};
use crate::backend::send_log::SendLog;
use crate::id::Epoch;

/// The unit of reservations. Each message reserves one unit more than its bytes fill.
const RESERVATION_UNIT_BYTES: usize = 512;

/// Submitted messages, in order, bounded in bytes.
pub(crate) struct Outbox {
    pending: Mutex<Pending>,
    queue_changed: Notify,
    closed_notify: Notify,
    capacity: Arc<Semaphore>,
    capacity_units: u32,
    sender_id: String,
    send_log: Arc<SendLog>,
}

struct Pending {
    queue: VecDeque<Outgoing>,
    last_number: u64,
    is_open: bool,
}

/// The parts of a message that are sent.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) payload: Vec<u8>,
    /// The JSON of the key of a queue message.
    pub(crate) key: Option<String>,
    /// The JSON of the key that has to be open.
    pub(crate) open_key: Option<String>,
    pub(crate) finishes: bool,
    /// When it is too old to be sent, if it is ephemeral.
    pub(crate) stale_at: Option<Instant>,
}

impl Content {
    /// Returns how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        let keys = self.key.iter().chain(&self.open_key);
        self.payload.len() + keys.map(String::len).sum::<usize>()
    }
}

/// Waits for the acknowledgement of a message. Dropping it withdraws the message unless the backend has taken it.
pub(crate) struct Ack {
    reply: oneshot::Receiver<AckResult>,
    /// Whether the reply has arrived, or the message was withdrawn.
    is_resolved: bool,
    number: u64,
    outbox: Arc<Outbox>,
}

/// The longest sender id, in bytes. Ours have 8.
const SENDER_ID_MAX: usize = 64;

/// Returns whether a sender id has letters and digits alone, so that it can be kept beside others.
pub(crate) fn is_valid_sender_id(sender_id: &str) -> bool {
    (1..=SENDER_ID_MAX).contains(&sender_id.len()) && sender_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl Outbox {
    /// Creates the outbox of this channel's store, which holds messages of `bytes` bytes, and sends under this id or a
    /// random one.
    pub(crate) fn new(bytes: usize, channel: &'static str, sender_id: Option<String>) -> Self {
        let capacity_units = u32::try_from(bytes / RESERVATION_UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self {
            pending: Mutex::new(Pending { queue: VecDeque::new(), last_number: 0, is_open: true }),
            queue_changed: Notify::new(),
            closed_notify: Notify::new(),
            capacity: Arc::new(Semaphore::new(capacity_units as usize)),
            capacity_units,
            sender_id: sender_id.unwrap_or_else(|| Epoch::fresh().to_string()),
            send_log: Arc::new(SendLog::new(channel)),
        }
    }

    pub(crate) fn send_log(&self) -> &SendLog {
        &self.send_log
    }

    /// Returns the number of the newest message.
    pub(crate) fn last_number(&self) -> u64 {
        self.lock().last_number
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn units_of(&self, bytes: usize) -> u32 {
        // A message that exceeds the bound by itself reserves everything.
        u32::try_from(bytes / RESERVATION_UNIT_BYTES).unwrap_or(u32::MAX).saturating_add(1).min(self.capacity_units)
    }

    /// Waits until a message of this size fits.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<ByteReservation> {
        Arc::clone(&self.capacity).acquire_many_owned(self.units_of(bytes)).await.ok()
    }

    /// Reserves the bytes of a message, if it fits now.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<ByteReservation> {
        Arc::clone(&self.capacity).try_acquire_many_owned(self.units_of(bytes)).ok()
    }

    /// Enqueues a message whose acknowledgement the caller waits for. Returns `None` when the store is closed.
    /// `register` is called with the message's number before the backend can take it.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        kind: OutgoingKind,
        content: Content,
        reservation: ByteReservation,
        register: impl FnOnce(u64),
    ) -> Option<Ack> {
        let (reply_to, reply) = oneshot::channel();
        let number = self.push(kind, content, reservation, Some(reply_to), register)?;
        Some(Ack { reply, is_resolved: false, number, outbox: Arc::clone(self) })
    }

    /// As [`enqueue`](Self::enqueue), for a message that cannot be withdrawn. Returns false when the store is closed.
    pub(crate) fn enqueue_without_ack(
        &self,
        kind: OutgoingKind,
        content: Content,
        reservation: ByteReservation,
        register: impl FnOnce(u64),
    ) -> bool {
        self.push(kind, content, reservation, None, register).is_some()
    }

    fn push(
        &self,
        kind: OutgoingKind,
        content: Content,
        reservation: ByteReservation,
        reply_to: Option<oneshot::Sender<AckResult>>,
        register: impl FnOnce(u64),
    ) -> Option<u64> {
        let mut pending = self.lock();
        if !pending.is_open {
            return None;
        }
        pending.last_number += 1;
        let number = pending.last_number;
        register(number);
        let is_fire_and_forget = reply_to.is_none();
        pending.queue.push_back(Outgoing {
            kind,
            payload: content.payload,
            key: content.key,
            open_key: content.open_key,
            finishes: content.finishes,
            stale_at: content.stale_at,
            number,
            reply_to,
            is_fire_and_forget,
            is_resolved: false,
            send_log: Arc::clone(&self.send_log),
            _reservation: reservation,
        });
        drop(pending);
        self.queue_changed.notify_one();
        Some(number)
    }

    /// Drops a message unless the backend has taken it. Returns whether it was dropped.
    fn remove(&self, number: u64) -> bool {
        let mut pending = self.lock();
        let index = pending.queue.binary_search_by_key(&number, |outgoing| outgoing.number).ok();
        let removed = index.and_then(|index| pending.queue.remove(index));
        drop(pending);
        removed.is_some()
    }

    /// Takes up to `at_most` messages, and waits for the first. Returns `None` when the outbox is closed and empty. Ephemeral
    /// messages that have waited too long fail.
    pub(crate) async fn dequeue(&self, at_most: usize) -> Option<Vec<Outgoing>> {
        loop {
            let queue_changed = self.queue_changed.notified();
            {
                let mut pending = self.lock();
                let count = at_most.max(1).min(pending.queue.len());
                if count > 0 {
                    let taken: Vec<Outgoing> = pending.queue.drain(..count).collect();
                    drop(pending);
                    let fresh = without_stale(taken);
                    if fresh.is_empty() {
                        continue;
                    }
                    return Some(fresh);
                }
                if !pending.is_open {
                    return None;
                }
            }
            queue_changed.await;
        }
    }

    /// Refuses further messages. Those in the queue may still be taken.
    pub(crate) fn close(&self) {
        self.lock().is_open = false;
        self.queue_changed.notify_one();
        self.closed_notify.notify_waiters();
    }

    /// Closes the outbox and drops the messages in the queue.
    pub(crate) fn close_and_discard(&self) {
        self.close();
        let discarded = std::mem::take(&mut self.lock().queue);
        drop(discarded);
        self.send_log.record_end();
    }

    /// Resolves when every message is resolved.
    pub(crate) async fn drained(&self) {
        // All units are free only when no message holds one.
        drop(self.capacity.acquire_many(self.capacity_units).await);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    /// Resolves when the outbox is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let notified = self.closed_notify.notified();
            if !self.lock().is_open {
                return;
            }
            notified.await;
        }
    }

    /// Returns the id by which this sender's messages are recognized.
    pub(crate) fn sender_id(&self) -> &str {
        &self.sender_id
    }
}

/// Fails the ephemeral messages among these that have waited too long, and returns the others.
fn without_stale(taken: Vec<Outgoing>) -> Vec<Outgoing> {
    if taken.iter().all(|outgoing| outgoing.stale_at.is_none()) {
        return taken;
    }
    let (stale, fresh): (Vec<_>, Vec<_>) = taken.into_iter().partition(Outgoing::is_stale);
    for outgoing in stale {
        outgoing.failed(SendOutcome::NotSent);
    }
    fresh
}

impl Ack {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the reply.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has no effect. Dropping the `Ack` withdraws the message.
    pub(crate) async fn wait(&mut self) -> AckResult {
        let unresolved = |_| Err(SendFailure::Failed(SendOutcome::Unknown));
        let result = (&mut self.reply).await.unwrap_or_else(unresolved);
        self.is_resolved = true;
        result
    }

    /// Withdraws the message unless the backend has taken it.
    pub(crate) fn withdraw(mut self) -> SendOutcome {
        self.is_resolved = true;
        if self.outbox.remove(self.number) { SendOutcome::NotSent } else { SendOutcome::Unknown }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.is_resolved {
            self.outbox.remove(self.number);
        }
    }
}
