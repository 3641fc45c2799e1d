//! The messages of a store for code on the server, as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::id::Id;
use crate::message::{Keys, Message};
use crate::store::entry::Run;
use crate::store::ledger::Balance;
use crate::store::reader::{Gap, GapReason, Reader, Seen, Step, Terms};
use crate::store::shared::Shared;

/// The messages of a store, for code on the server: a [`Stream`] of [`Received`].
///
/// It begins with the `latest` values of its keys, then follows live. It ends when the store is closed.
///
/// # Lagging
///
/// It has no queue of its own. When messages are trimmed before it has read them, it is told by [`Received::Gap`] how many,
/// and goes on with what is kept.
///
/// # Cancel safety
///
/// `next()` can be dropped at any time; nothing is lost.
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
/// # }
/// ```
pub struct Subscription<M: Message> {
    reader: Reader<M>,
    run: Option<(Run<M>, usize)>,
}

impl<M: Message> Subscription<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>, keys: Keys<M::Key>) -> Self {
        let terms = Terms { replay: 0, connection: false };
        Self { reader: Reader::open(shared, keys, Seen::Nothing, terms), run: None }
    }

    /// What has become of what it was owed.
    pub(crate) fn balance(&self) -> Balance {
        self.reader.balance()
    }

    fn next_of_run(&mut self) -> Option<Received<M>> {
        let (run, place) = self.run.as_mut()?;
        let entry = run.entries().get(*place)?;
        *place += 1;
        self.reader.delivers(1);
        Some(Received::Message { id: entry.id, message: Arc::clone(&entry.message) })
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
        loop {
            if let Some(received) = self.next_of_run() {
                return Poll::Ready(Some(received));
            }
            self.run = None;
            match self.reader.step(cx.waker()) {
                Step::Gap(Gap { reason, missed }) => {
                    tracing::debug!(target: "tornadose", channel = M::CHANNEL, %reason, missed, "subscription has a gap");
                    return Poll::Ready(Some(Received::Gap { reason, missed }));
                }
                Step::Run { run, .. } => self.run = Some((run, 0)),
                Step::Wait { .. } | Step::Hold => return Poll::Pending,
                Step::Ended(_) => return Poll::Ready(None),
            }
        }
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        if tracing::enabled!(target: "tornadose", tracing::Level::DEBUG) {
            let Balance { owed, delivered, filtered, conflated, missed, unread } = self.balance();
            tracing::debug!(
                target: "tornadose",
                channel = M::CHANNEL, owed, delivered, filtered, conflated, missed, unread, "subscription ends"
            );
        }
    }
}

/// What a [`Subscription`] yields.
///
/// ```
/// use tornadose::{GapReason, NoKey, Received};
/// # use tornadose::prelude::*;
/// # #[store(latest)]
/// # #[derive(Serialize)]
/// # struct Tick(f64);
///
/// let received: Received<Tick> = Received::Gap { reason: GapReason::Lagged, missed: Some(3) };
/// assert!(matches!(received, Received::Gap { missed: Some(3), .. }));
/// ```
pub enum Received<M> {
    /// A message and its place in the log.
    Message {
        /// The place.
        id: Id,
        /// The message, shared with the store.
        message: Arc<M>,
    },
    /// Messages are missing here.
    Gap {
        /// Why.
        reason: GapReason,
        /// How many, when that is known.
        missed: Option<u64>,
    },
}

impl<M> fmt::Debug for Received<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, .. } => f.debug_struct("Message").field("id", id).finish_non_exhaustive(),
            Self::Gap { reason, missed } => {
                f.debug_struct("Gap").field("reason", reason).field("missed", missed).finish()
            }
        }
    }
}
