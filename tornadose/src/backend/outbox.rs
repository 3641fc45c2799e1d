//! Messages on their way out, between those who submit and the backend that sends. How they are sent is the backend's affair.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::id::{Epoch, Offset};

/// What became of a message that was not acknowledged.
///
/// ```
/// assert_ne!(tornadose::Outcome::NotSent, tornadose::Outcome::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has not left, and never will.
    NotSent,
    /// It has left and no answer came; it appears once, or never.
    Unknown,
}

/// What is sent.
///
/// ```
/// use tornadose::Kind;
///
/// let quote = Kind::Latest { field: "AAPL".into() };
/// assert_ne!(quote, Kind::Queue);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A message of which every one counts.
    Queue,
    /// A message that replaces the one before it in the same field.
    Latest {
        /// Its key and its event's name.
        field: String,
    },
    /// The word that the `latest` values of a key are to be dropped.
    Forget {
        /// The key.
        key: String,
    },
}

/// What a message counts for, beside its bytes, towards what may be on its way.
const UNIT: usize = 512;

type Answer = Result<Offset, Outcome>;

/// Messages handed off, in order, up to a bound in bytes.
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
    closing: Notify,
    room: Arc<Semaphore>,
    units: u32,
    by: String,
}

struct Waiting {
    letters: VecDeque<Outgoing>,
    number: u64,
    open: bool,
}

/// Room for one message, to be used or dropped.
pub(crate) type Room = OwnedSemaphorePermit;

/// The answer to a message that was handed off. Dropped, it withdraws what has not been taken yet.
pub(crate) struct Receipt {
    answer: oneshot::Receiver<Answer>,
    /// Whether the answer is here, or nobody asks for it any more.
    settled: bool,
    number: u64,
    outbox: Arc<Outbox>,
}

impl Outbox {
    /// One that holds messages of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self {
            waiting: Mutex::new(Waiting { letters: VecDeque::new(), number: 0, open: true }),
            changed: Notify::new(),
            closing: Notify::new(),
            room: Arc::new(Semaphore::new(units as usize)),
            units,
            by: Epoch::fresh().to_string(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn units(&self, bytes: usize) -> u32 {
        // What alone exceeds the bound goes when it is alone.
        u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).saturating_add(1).min(self.units)
    }

    /// Waits for room.
    pub(crate) async fn room(&self, bytes: usize) -> Option<Room> {
        Arc::clone(&self.room).acquire_many_owned(self.units(bytes)).await.ok()
    }

    /// Room, if there is some now.
    pub(crate) fn room_now(&self, bytes: usize) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_many_owned(self.units(bytes)).ok()
    }

    /// Hands a message off whose answer somebody waits for. None when the store is closed.
    pub(crate) fn hand_off(self: &Arc<Self>, kind: Kind, payload: Vec<u8>, room: Room) -> Option<Receipt> {
        let (asked, answer) = oneshot::channel();
        let number = self.push(kind, payload, room, Some(asked))?;
        Some(Receipt { answer, settled: false, number, outbox: Arc::clone(self) })
    }

    /// Hands a message off for good: it is sent whenever that can be done. False when the store is closed.
    pub(crate) fn leave(&self, kind: Kind, payload: Vec<u8>, room: Room) -> bool {
        self.push(kind, payload, room, None).is_some()
    }

    fn push(&self, kind: Kind, payload: Vec<u8>, room: Room, asked: Option<oneshot::Sender<Answer>>) -> Option<u64> {
        let mut waiting = self.lock();
        if !waiting.open {
            return None;
        }
        waiting.number += 1;
        let number = waiting.number;
        let left = asked.is_none();
        waiting.letters.push_back(Outgoing { kind, payload, number, asked, left, _room: room });
        drop(waiting);
        self.changed.notify_one();
        Some(number)
    }

    /// Drops a message that has not been taken yet. False when it has.
    fn remove(&self, number: u64) -> bool {
        let mut waiting = self.lock();
        let place = waiting.letters.binary_search_by_key(&number, |letter| letter.number).ok();
        let removed = place.and_then(|place| waiting.letters.remove(place));
        drop(waiting);
        removed.is_some()
    }

    /// Takes what is to be sent, at most so many, waiting for the first. None when the store is closed and all is taken.
    pub(crate) async fn take(&self, at_most: usize) -> Option<Vec<Outgoing>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut waiting = self.lock();
                let count = at_most.max(1).min(waiting.letters.len());
                if count > 0 {
                    return Some(waiting.letters.drain(..count).collect());
                }
                if !waiting.open {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Takes nothing more in; what is on its way may still go.
    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_one();
        self.closing.notify_waiters();
    }

    /// Drops what will never be sent.
    pub(crate) fn give_up(&self) {
        self.close();
        let letters = std::mem::take(&mut self.lock().letters);
        drop(letters);
    }

    /// Resolves when nothing is on its way any more.
    pub(crate) async fn emptied(&self) {
        // All the room there is.
        drop(self.room.acquire_many(self.units).await);
    }

    /// Resolves when it is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let told = self.closing.notified();
            if !self.lock().open {
                return;
            }
            told.await;
        }
    }

    /// The name of this life of the process, by which its messages are told from others'.
    pub(crate) fn by(&self) -> &str {
        &self.by
    }
}

impl Receipt {
    /// The answer.
    ///
    /// # Cancel safety
    ///
    /// What has not been taken when it is dropped is withdrawn.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = (&mut self.answer).await.unwrap_or(Err(Outcome::Unknown));
        self.settled = true;
        answer
    }

    /// Withdraws the message, if it has not left.
    pub(crate) fn withdraw(mut self) -> Outcome {
        self.settled = true;
        if self.outbox.remove(self.number) { Outcome::NotSent } else { Outcome::Unknown }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.outbox.remove(self.number);
        }
    }
}

/// A message that a backend is to send, and to answer by [`appended`](Self::appended) or [`failed`](Self::failed); dropped
/// without, what became of it is not known.
///
/// It is numbered, so that a backend may send it again when it does not know whether it has arrived: readers drop a copy.
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::{Backend, Epoch, Kind, Link, Offset, OpenError, Outcome, SubmitError};
///
/// /// An engine that takes nothing.
/// struct Full;
///
/// impl Backend for Full {
///     async fn run(self, link: Link) -> Result<(), OpenError> {
///         link.begin(Epoch::fresh(), Offset::START);
///         link.caught_up();
///         while let Some(batch) = link.outgoing(100).await {
///             for outgoing in batch {
///                 assert_eq!((outgoing.kind(), outgoing.payload()), (&Kind::Queue, &br#""hi""#[..]));
///                 // One was submitted, the other handed off.
///                 assert_eq!((outgoing.number() == 2, true), (outgoing.is_left(), outgoing.is_awaited()));
///                 outgoing.failed(Outcome::NotSent);
///             }
///         }
///         Ok(())
///     }
/// }
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), OpenError> {
/// let store = Store::<Line>::open(Full).await?;
/// let error = store.submit(Line("hi".into())).await.unwrap_err();
/// assert!(matches!(error, SubmitError::Unavailable { outcome: Outcome::NotSent, .. }));
/// assert!(store.try_submit(Line("hi".into())).unwrap().is_none());
/// # tokio::task::yield_now().await;
/// # Ok(())
/// # }
/// ```
pub struct Outgoing {
    kind: Kind,
    payload: Vec<u8>,
    number: u64,
    asked: Option<oneshot::Sender<Answer>>,
    /// Whether it was handed off for good.
    left: bool,
    _room: Room,
}

impl Outgoing {
    /// The message, as `serde_json` writes it; empty for [`Kind::Forget`].
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its number in this life of the process, which grows.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether its submit still waits for the answer, or it was handed off for good. What is not awaited need not be sent again.
    pub fn is_awaited(&self) -> bool {
        self.left || self.asked.as_ref().is_some_and(|asked| !asked.is_closed())
    }

    /// Whether it was handed off for good, by `try_submit`, so that nobody waits for an answer.
    pub fn is_left(&self) -> bool {
        self.left
    }

    /// It stands in the log at this place.
    pub fn appended(mut self, offset: Offset) {
        self.answer(Ok(offset));
    }

    /// It was not sent, or nobody knows.
    pub fn failed(mut self, outcome: Outcome) {
        if self.left {
            tracing::warn!(target: "tornadose", ?outcome, "a message that was handed off could not be delivered");
        }
        self.answer(Err(outcome));
    }

    fn answer(&mut self, answer: Answer) {
        if let Some(asked) = self.asked.take() {
            // Who asked may have given up, and need not know then.
            asked.send(answer).ok();
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("kind", &self.kind).field("number", &self.number).finish_non_exhaustive()
    }
}
