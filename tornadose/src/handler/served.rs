//! A subscriber without its type. A connection is served by code that knows the type of its messages alone, so that a
//! program of many subscribers is built with one copy of that code per message type.

use std::sync::Arc;
use std::task::{Poll, Waker};

use futures_util::future::BoxFuture;
use salvo::http::StatusError;

use crate::handler::load::failure::LoadFailure;
use crate::handler::load::loads::{Loaded, Loads};
use crate::handler::watch::watches::Watches;
use crate::message::Message;
use crate::store::Store;
use crate::store::entry::Entry;
use crate::subscriber::Subscriber;
use crate::subscriber::close::{Close, ReceiveError};
use crate::subscriber::reply::Reply;

/// The kinds of connections, by what they take besides the messages of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionKind {
    /// Nothing.
    Plain,
    /// State from elsewhere.
    Loading,
    /// The requests of its client about keys.
    Watching,
    /// State from elsewhere, also of the keys that its client asks for.
    LoadingAndWatching,
}

impl ConnectionKind {
    pub(crate) fn new(loads: bool, watches: bool) -> Self {
        match (loads, watches) {
            (false, false) => Self::Plain,
            (true, false) => Self::Loading,
            (false, true) => Self::Watching,
            (true, true) => Self::LoadingAndWatching,
        }
    }

    #[inline]
    pub(crate) fn loads(self) -> bool {
        matches!(self, Self::Loading | Self::LoadingAndWatching)
    }

    #[inline]
    pub(crate) fn watches(self) -> bool {
        matches!(self, Self::Watching | Self::LoadingAndWatching)
    }
}

/// The subscriber of a connection that is served. A type that adds to a subscriber is one too.
///
/// Each hook is called when its future is first polled, so that a panic of the call itself is one of the future.
pub(crate) trait Served<M: Message>: Send + Sync {
    fn kind(&self) -> ConnectionKind {
        ConnectionKind::Plain
    }

    /// As [`Subscriber::filter`].
    fn filter(&self, message: &M) -> bool;

    /// Returns how many of these messages pass the filter before the first that does not. For a subscriber's own type this
    /// is one virtual call, and no call per message where the filter is the default.
    fn count_passing(&self, entries: &[Arc<Entry<M>>]) -> usize {
        entries.iter().take_while(|entry| self.filter(&entry.message)).count()
    }

    /// As [`Subscriber::receive`].
    fn receive<'a>(
        &'a mut self,
        text: &'a str,
        store: &'a Store<M>,
    ) -> BoxFuture<'a, Result<Option<Reply>, ReceiveError>>;

    /// As [`Subscriber::load`], or as [`Subscriber::load_keys`] if its client can watch keys.
    fn load<'a>(&'a self, keys: &'a [M::Key], store: &'a Store<M>) -> BoxFuture<'a, Result<Vec<M>, StatusError>>;

    /// Reads a key from the JSON by which a client names it.
    fn parse_key(&self, json: &str) -> Option<M::Key>;

    /// As [`Subscriber::watch`].
    fn watch<'a>(&'a mut self, key: &'a M::Key, store: &'a Store<M>) -> BoxFuture<'a, Result<(), String>>;

    /// Returns what is known of the loads of its connection, if it [loads](ConnectionKind::loads).
    fn loads_mut(&mut self) -> Option<&mut Loads<M>> {
        None
    }

    /// Returns what is known of the keys that its client watches, if it can [watch](ConnectionKind::watches) any.
    fn watches_mut(&mut self) -> Option<&mut Watches<M>> {
        None
    }

    /// Starts the hook `load`, of these keys if its client can watch any. The subscriber is not used until it has ended.
    fn start_load(&mut self, _keys: Vec<M::Key>) {}

    /// Returns what the hook has loaded, once it has ended. `waker` is woken then.
    fn poll_load(&mut self, _waker: &Waker) -> Poll<Result<Loaded<M>, LoadFailure>> {
        Poll::Pending
    }
}

/// A [`Served`] with the hooks of its connection's opening and end.
pub(crate) trait ServedWithHooks<M: Message>: Served<M> {
    /// As [`Subscriber::opened`].
    fn opened<'a>(&'a mut self, store: &'a Store<M>) -> BoxFuture<'a, Result<(), Close>>;

    /// As [`Subscriber::closed`].
    fn closed<'a>(self: Box<Self>, store: &'a Store<M>) -> BoxFuture<'a, ()>
    where
        M: 'a;
}

impl<S: Subscriber> Served<S::Message> for S {
    fn filter(&self, message: &S::Message) -> bool {
        Subscriber::filter(self, message)
    }

    fn receive<'a>(
        &'a mut self,
        text: &'a str,
        store: &'a Store<S::Message>,
    ) -> BoxFuture<'a, Result<Option<Reply>, ReceiveError>> {
        Box::pin(async move { Subscriber::receive(self, text, store).await })
    }

    fn load<'a>(
        &'a self,
        keys: &'a [<S::Message as Message>::Key],
        store: &'a Store<S::Message>,
    ) -> BoxFuture<'a, Result<Vec<S::Message>, StatusError>> {
        if S::WATCH.is_some() {
            return Box::pin(async move { self.load_keys(keys, store).await });
        }
        Box::pin(async move { Subscriber::load(self, store).await })
    }

    fn parse_key(&self, json: &str) -> Option<<S::Message as Message>::Key> {
        S::WATCH?.parse(json)
    }

    fn watch<'a>(
        &'a mut self,
        key: &'a <S::Message as Message>::Key,
        store: &'a Store<S::Message>,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { Subscriber::watch(self, key, store).await })
    }
}

impl<S: Subscriber> ServedWithHooks<S::Message> for S {
    fn opened<'a>(&'a mut self, store: &'a Store<S::Message>) -> BoxFuture<'a, Result<(), Close>> {
        Box::pin(async move { Subscriber::opened(self, store).await })
    }

    fn closed<'a>(self: Box<Self>, store: &'a Store<S::Message>) -> BoxFuture<'a, ()>
    where
        S::Message: 'a,
    {
        Box::pin(async move { Subscriber::closed(*self, store).await })
    }
}
