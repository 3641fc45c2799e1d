//! A store without the type of its messages, as the inspector sees it.

use std::sync::Weak;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::id::Id;
use crate::message::Message;
use crate::store::Store;
use crate::store::entry::Entry;
use crate::store::gap::GapReason;
use crate::store::inspect::{KeysOfReader, Page, ReaderRow, StoreFigures};
use crate::store::observers::Observer;
use crate::store::registry::ReaderId;
use crate::store::registry::inspect::SeenReader;
use crate::store::subscription::{Received, Subscription};

/// A store that is shown.
pub(super) trait Inspected: Send + Sync {
    fn channel(&self) -> &'static str;

    fn figures(&self) -> StoreFigures;

    /// As [`Store::page_of_readers`].
    fn page_of_readers(&self, from: usize) -> Page<Vec<SeenReader>>;

    /// As [`Store::page_of_keys`].
    fn page_of_keys(
        &self,
        from: usize,
        readers: &[ReaderId],
        of_readers: &mut [KeysOfReader],
    ) -> Page<Vec<(usize, usize)>>;

    /// As [`Store::key_jsons`].
    fn key_jsons(&self, key_indexes: &[usize]) -> Vec<Option<String>>;

    /// As [`Store::page_of_rows`].
    fn page_of_rows(&self, from: usize, readers: &[ReaderId], of_readers: &[KeysOfReader]) -> Page<Vec<ReaderRow>>;

    fn observe(&self, observer: Weak<dyn Observer>);

    /// Disconnects the key with this JSON. Returns the number of its readers; `None` when the store does not know it.
    fn disconnect<'a>(&'a self, key: &'a Value) -> BoxFuture<'a, Option<usize>>;

    /// Subscribes to the key with this JSON. Returns `None` when the store does not know it.
    fn tail<'a>(&'a self, key: &'a Value) -> BoxFuture<'a, Option<Box<dyn Tail>>>;
}

/// The messages of one key, as they come.
pub(super) trait Tail: Send {
    /// Returns the next item; `None` at the end. Unless it `is_shown`, a message is passed over without its text.
    fn poll_next(&mut self, is_shown: bool, cx: &Context<'_>) -> Poll<Option<TailItem>>;
}

/// An item of a tail.
pub(super) enum TailItem {
    Message {
        id: Id,
        name: Option<String>,
        /// The beginning of its data.
        data: String,
        /// The bytes of all its data.
        bytes: usize,
    },
    /// A message that was passed over.
    Passed,
    Expired {
        id: Id,
    },
    Gap {
        reason: GapReason,
        missed: Option<u64>,
    },
}

/// How many bytes of a message are shown.
const SHOWN_BYTES: usize = 4 << 10;

/// Looks for the key with this JSON among those that the store knows, so that the type of the key need not be
/// readable.
async fn find_key<M: Message>(store: &Store<M>, json: &Value) -> Option<M::Key> {
    let mut from = 0;
    loop {
        let Page { items, next } = store.page_of_search(from, json);
        if items.is_some() {
            return items;
        }
        from = next?;
        tokio::task::yield_now().await;
    }
}

impl<M: Message> Inspected for Store<M> {
    fn channel(&self) -> &'static str {
        M::CHANNEL
    }

    fn figures(&self) -> StoreFigures {
        Self::figures(self)
    }

    fn page_of_readers(&self, from: usize) -> Page<Vec<SeenReader>> {
        Self::page_of_readers(self, from)
    }

    fn page_of_keys(
        &self,
        from: usize,
        readers: &[ReaderId],
        of_readers: &mut [KeysOfReader],
    ) -> Page<Vec<(usize, usize)>> {
        Self::page_of_keys(self, from, readers, of_readers)
    }

    fn key_jsons(&self, key_indexes: &[usize]) -> Vec<Option<String>> {
        Self::key_jsons(self, key_indexes)
    }

    fn page_of_rows(&self, from: usize, readers: &[ReaderId], of_readers: &[KeysOfReader]) -> Page<Vec<ReaderRow>> {
        Self::page_of_rows(self, from, readers, of_readers)
    }

    fn observe(&self, observer: Weak<dyn Observer>) {
        self.observers().add(observer);
    }

    fn disconnect<'a>(&'a self, key: &'a Value) -> BoxFuture<'a, Option<usize>> {
        Box::pin(async move {
            let key = find_key(self, key).await?;
            let readers = self.subscribers_of(&key);
            Self::disconnect(self, &key);
            Some(readers)
        })
    }

    fn tail<'a>(&'a self, key: &'a Value) -> BoxFuture<'a, Option<Box<dyn Tail>>> {
        Box::pin(async move {
            let key = find_key(self, key).await?;
            Some(Box::new(self.subscribe_to(key)) as Box<dyn Tail>)
        })
    }
}

impl<M: Message> Tail for Subscription<M> {
    fn poll_next(&mut self, is_shown: bool, cx: &Context<'_>) -> Poll<Option<TailItem>> {
        let of_entry = |entry: &Entry<M>| {
            if !is_shown {
                return TailItem::Passed;
            }
            let (event, data) = (&entry.event, entry.event.data());
            let shown = data.floor_char_boundary(SHOWN_BYTES);
            TailItem::Message {
                id: entry.id,
                name: event.name().map(str::to_owned),
                data: data[..shown].to_owned(),
                bytes: data.len(),
            }
        };
        let of_other = |other| match other {
            Received::Gap { reason, missed } => TailItem::Gap { reason, missed },
            Received::Expired { id, .. } => TailItem::Expired { id },
            // A subscription to one key ends with it.
            Received::Message { .. } | Received::Finished { .. } => TailItem::Passed,
        };
        self.poll_with(cx, of_entry, of_other)
    }
}
