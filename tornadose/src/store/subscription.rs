//! A store's messages as a stream, for code on the server.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::id::Id;
use crate::message::{Keys, Message};
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::ledger::Balance;
use crate::store::log::batch::Batch;
use crate::store::observers::ObservedEvent;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::store::shared::Shared;

/// The messages of a store, for code on the server: a [`Stream`] of [`Received`].
///
/// # Ordering
///
/// The `latest` values of its keys come first, in the order of the log, then each new message in that order.
///
/// # Lagging
///
/// A subscription has no queue of its own. When messages are trimmed before it has read them, it yields a
/// [`Received::Gap`] with their number if it is known, and continues with the messages that are kept.
///
/// # Closing
///
/// The stream ends when the store is closed, after the messages that the log has then, or when its key is
/// [disconnected](crate::Store::disconnect) or [finished](crate::Store::finish), after those that were submitted before.
/// It then stays at its end: it is a [`FusedStream`].
///
/// # Cancel safety
///
/// The future of `next()` can be dropped at any time; no message is lost.
///
/// ```
/// use futures_util::StreamExt;
/// use tornadose::{Received, prelude::*};
///
/// #[store(queue)]
/// #[derive(Serialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = Store::new();
/// let mut lines = store.subscribe();
/// store.submit(Line("hi".into())).await.unwrap();
/// let Some(Received::Message { message, .. }) = lines.next().await else { panic!("expected a line") };
/// assert_eq!(message.0, "hi");
/// store.close();
/// assert!(lines.next().await.is_none());
/// # }
/// ```
#[must_use = "dropping it ends the subscription"]
pub struct Subscription<M: Message> {
    reader: Reader<M>,
    /// The batch that is being returned, and the index of its next entry.
    batch: Option<(Batch<M>, usize)>,
    is_terminated: bool,
}

impl<M: Message> Subscription<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>, keys: Keys<M::Key>) -> Self {
        let options = ReaderOptions { replay: 0, kind: ReaderKind::Subscription, gets_snapshots: true };
        let reader = Reader::open(shared, keys, Resume::New, options);
        Self { reader, batch: None, is_terminated: false }
    }

    /// Returns what has become of the messages that it was owed.
    pub(crate) fn balance(&self) -> Balance {
        self.reader.balance()
    }

    /// Returns the next item: what `of_entry` makes of a message, or `of_other` of anything else.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &Context<'_>,
        of_entry: impl Fn(&Entry<M>) -> T,
        of_other: impl Fn(Received<M>) -> T,
    ) -> Poll<Option<T>> {
        if self.is_terminated {
            return Poll::Ready(None);
        }
        loop {
            if let Some((batch, index)) = &mut self.batch
                && let Some(entry) = batch.entries().get(*index)
            {
                *index += 1;
                let item = of_entry(entry);
                self.reader.record_delivered(1);
                return Poll::Ready(Some(item));
            }
            self.batch = None;
            match self.reader.poll(cx.waker()) {
                ReadStep::Gap(_) if !Reader::<M>::TELLS_GAPS => {}
                ReadStep::Gap(Gap { reason, missed }) => {
                    tracing::debug!(target: "tornadose", channel = M::CHANNEL, %reason, missed, "gap reported");
                    self.reader.tell_observers(ObservedEvent::Gap(Gap { reason, missed }));
                    return Poll::Ready(Some(of_other(Received::Gap { reason, missed })));
                }
                ReadStep::Batch { batch, .. } => self.batch = Some((batch, 0)),
                ReadStep::Snapshot { entry, .. } => return Poll::Ready(Some(of_entry(&entry))),
                ReadStep::AtHead { .. } | ReadStep::Pending => return Poll::Pending,
                ReadStep::Finished { id, key: Some(key), .. } => {
                    return Poll::Ready(Some(of_other(Received::Finished { id, key })));
                }
                ReadStep::Expired { id, value, .. } => {
                    let message = Arc::clone(&value.entry.message);
                    return Poll::Ready(Some(of_other(Received::Expired { id, message })));
                }
                ReadStep::Finished { key: None, .. } | ReadStep::Ended(_) => {
                    self.is_terminated = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<M: Message> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl<M: Message> Stream for Subscription<M> {
    type Item = Received<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received<M>>> {
        let message = |entry: &Entry<M>| Received::Message { id: entry.id, message: Arc::clone(&entry.message) };
        self.poll_with(cx, message, |other| other)
    }
}

impl<M: Message> FusedStream for Subscription<M> {
    fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        if tracing::enabled!(target: "tornadose", tracing::Level::DEBUG) {
            let balance @ Balance { owed, delivered, filtered, conflated, missed, unread, .. } = self.balance();
            let (ephemeral_missed, summed) = (balance.logged_ephemeral_missed(), balance.logged_summed());
            tracing::debug!(
                target: "tornadose",
                channel = M::CHANNEL, owed, delivered, filtered, conflated, missed, ephemeral_missed, summed, unread,
                "subscription ended"
            );
        }
    }
}

/// An item of a [`Subscription`].
///
/// ```
/// use tornadose::{GapReason, Received};
/// # use tornadose::prelude::*;
/// # #[store(latest)]
/// # #[derive(Serialize, PartialEq)]
/// # struct Tick(f64);
///
/// let received: Received<Tick> = Received::Gap { reason: GapReason::Lagged, missed: Some(3) };
/// assert!(matches!(received, Received::Gap { missed: Some(3), .. }));
/// assert!(received.clone() == received);
/// ```
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<M> {
    /// A message.
    Message {
        /// Its position in the log. Of an ephemeral message it may be that of the message before.
        id: Id,
        /// The message, shared with the store.
        message: Arc<M>,
    },
    /// A key is finished: no message of it follows. A subscription to one key ends instead.
    Finished {
        /// The position of the finish.
        id: Id,
        /// The key as JSON; its value alone when the key has one field.
        key: Arc<str>,
    },
    /// A `latest` message has expired, because it was not submitted again in time.
    Expired {
        /// The position of its end.
        id: Id,
        /// The message that has expired, shared with the store.
        message: Arc<M>,
    },
    /// Messages are missing here.
    Gap {
        /// The reason why they are missing.
        reason: GapReason,
        /// How many are missing, when that is known.
        missed: Option<u64>,
    },
}

impl<M> Clone for Received<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Message { id, message } => Self::Message { id: *id, message: Arc::clone(message) },
            Self::Finished { id, key } => Self::Finished { id: *id, key: Arc::clone(key) },
            Self::Expired { id, message } => Self::Expired { id: *id, message: Arc::clone(message) },
            Self::Gap { reason, missed } => Self::Gap { reason: *reason, missed: *missed },
        }
    }
}

impl<M> fmt::Debug for Received<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, .. } => f.debug_struct("Message").field("id", id).finish_non_exhaustive(),
            Self::Finished { id, .. } => f.debug_struct("Finished").field("id", id).finish_non_exhaustive(),
            Self::Expired { id, .. } => f.debug_struct("Expired").field("id", id).finish_non_exhaustive(),
            Self::Gap { reason, missed } => {
                f.debug_struct("Gap").field("reason", reason).field("missed", missed).finish()
            }
        }
    }
}
