//! The requests of one connection's client about keys, and their progress.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec;

use crate::id::Id;
use crate::message::Message;
use crate::store::log::past::Past;
use crate::store::reader::Reader;
use crate::store::reader::resume::PendingResume;

/// A key, and its JSON as it is written to clients.
pub(crate) struct NamedKey<M: Message> {
    pub(crate) key: M::Key,
    pub(crate) json: Arc<str>,
}

/// A request of the client whose keys are allowed.
pub(crate) enum Request<M: Message> {
    Watch(WatchRequest<M>),
    Unwatch(Vec<NamedKey<M>>),
}

/// Keys to watch.
pub(crate) struct WatchRequest<M: Message> {
    /// Those that the connection does not have.
    pub(crate) keys: Vec<NamedKey<M>>,
    /// Those that the confirmation names, in the order of the text.
    pub(crate) named: Vec<Arc<str>>,
    /// The id from which on the client has nothing of the keys.
    pub(crate) since: PendingResume,
}

/// The progress of the load of a key, before its past.
pub(crate) enum KeyLoad<M> {
    /// Nothing, or it is written.
    Done,
    /// The hook has to load the key.
    Due,
    /// The hook has returned these messages of the key.
    Loaded(Vec<M>),
    /// The rest of these messages is to be written.
    Writing(vec::IntoIter<M>),
}

/// A key, and the rest of its past.
pub(crate) struct KeyPast<M: Message> {
    pub(crate) named: NamedKey<M>,
    pub(crate) past: Past<M>,
    pub(crate) load: KeyLoad<M>,
}

/// The pasts of keys that are being written.
pub(crate) struct Block<M: Message> {
    /// Those that are not written in full.
    pub(crate) pasts: VecDeque<KeyPast<M>>,
    /// Whether the hook `load` runs for those whose load is due.
    pub(crate) is_loading: bool,
    /// The position that covers the keys once their pasts are written; `None` without a key, or when the log has begun
    /// another epoch.
    pub(crate) place: Option<Id>,
    /// The keys that the confirmation names.
    pub(crate) named: Vec<Arc<str>>,
}

/// The keys that the client of one connection watches, and its open requests.
pub(crate) struct Watches<M: Message> {
    /// The number of keys that the connection began with, which cannot be unwatched.
    pub(crate) keys_from_fields: usize,
    pub(crate) max_keys: usize,
    /// The number of queue messages in the past of a key.
    pub(crate) replay: usize,
    /// The request of the last text.
    request: Option<Request<M>>,
    /// Those that wait until the reader is where they begin. Other messages are delivered meanwhile.
    pub(crate) waiting: Vec<WatchRequest<M>>,
    block: Option<Block<M>>,
}

impl<M: Message> Watches<M> {
    pub(crate) fn new(reader: &Reader<M>, max_keys: usize, replay: usize) -> Self {
        // A connection with all keys has every key from the beginning.
        let keys_from_fields = reader.key_count().unwrap_or(usize::MAX);
        Self { keys_from_fields, max_keys, replay, request: None, waiting: Vec::new(), block: None }
    }

    /// Returns whether the log has to be read for a request.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.is_busy() || !self.waiting.is_empty()
    }

    /// Returns whether the next text of the client has to wait.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.request.is_some() || self.block.is_some()
    }

    pub(crate) fn set_request(&mut self, request: Request<M>) {
        self.request = Some(request);
    }

    pub(crate) fn take_request(&mut self) -> Option<Request<M>> {
        self.request.take()
    }

    pub(crate) fn set_block(&mut self, block: Block<M>) {
        self.block = Some(block);
    }

    pub(crate) fn take_block(&mut self) -> Option<Block<M>> {
        self.block.take()
    }

    /// Returns how many keys wait.
    pub(crate) fn waiting_keys(&self) -> usize {
        self.waiting.iter().map(|request| request.keys.len()).sum()
    }

    /// Removes a key from the requests that wait, because a later text names it: none of them confirms it. Returns whether
    /// one was to watch it.
    pub(crate) fn withdraw(&mut self, withdrawn: &NamedKey<M>) -> bool {
        let waiting_keys = self.waiting_keys();
        for WatchRequest { keys, named, .. } in &mut self.waiting {
            keys.retain(|waiting| waiting.key != withdrawn.key);
            // A request also names keys that the connection had when it came.
            named.retain(|json| *json != withdrawn.json);
        }
        self.waiting_keys() < waiting_keys
    }
}
