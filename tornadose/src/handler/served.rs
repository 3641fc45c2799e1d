//! What a connection that is served needs of its subscriber.

use std::future::ready;
use std::task::{Poll, Waker};

use salvo::http::StatusError;

use crate::handler::load::failure::LoadFailure;
use crate::handler::load::loads::{Loaded, Loads};
use crate::handler::watch::watches::Watches;
use crate::message::Message;
use crate::store::Store;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;
use crate::subscriber::{KeyOf, Subscriber};

/// The subscriber of a connection that is served. A type that adds to a subscriber is one too.
pub(crate) trait Served: Send + Sync + 'static {
    type Message: Message;

    /// Whether its connection loads state from elsewhere. What that takes is left out of any other when it is compiled.
    const LOADS: bool = false;

    /// Whether its client watches keys. What that takes is left out of any other when it is compiled.
    const WATCHES: bool = false;

    /// As [`Subscriber::filter`].
    fn filter(&self, message: &Self::Message) -> bool;

    /// As [`Subscriber::receive`].
    fn receive(
        &mut self,
        text: &str,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send;

    /// As [`Subscriber::load`].
    fn load(
        &self,
        _store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Vec<Self::Message>, StatusError>> + Send {
        ready(Ok(Vec::new()))
    }

    /// Returns what is known of the loads of its connection, if it [`LOADS`](Self::LOADS).
    #[inline]
    fn loads_mut(&mut self) -> Option<&mut Loads<Self::Message>> {
        None
    }

    /// Returns what is known of the keys that its client watches, if it [`WATCHES`](Self::WATCHES).
    #[inline]
    fn watches_mut(&mut self) -> Option<&mut Watches<Self::Message>> {
        None
    }

    /// Reads a key from the JSON by which a client names it.
    fn parse_key(_json: &str) -> Option<<Self::Message as Message>::Key> {
        None
    }

    /// As [`Subscriber::watch`].
    fn watch(
        &mut self,
        _key: &<Self::Message as Message>::Key,
        _store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<(), String>> + Send {
        ready(Ok(()))
    }

    /// Starts the hook `load`. The subscriber is not used until it has ended.
    fn start_load(&mut self) {}

    /// Returns what the hook has loaded, once it has ended. `waker` is woken then.
    fn poll_load(&mut self, _waker: &Waker) -> Poll<Result<Loaded<Self::Message>, LoadFailure>> {
        Poll::Pending
    }
}

impl<S: Subscriber> Served for S {
    type Message = S::Message;

    #[inline]
    fn filter(&self, message: &S::Message) -> bool {
        Subscriber::filter(self, message)
    }

    fn receive(
        &mut self,
        text: &str,
        store: &Store<S::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        Subscriber::receive(self, text, store)
    }

    fn load(&self, store: &Store<S::Message>) -> impl Future<Output = Result<Vec<S::Message>, StatusError>> + Send {
        Subscriber::load(self, store)
    }

    fn parse_key(json: &str) -> Option<KeyOf<S>> {
        S::WATCH?.parse(json)
    }

    fn watch(&mut self, key: &KeyOf<S>, store: &Store<S::Message>) -> impl Future<Output = Result<(), String>> + Send {
        Subscriber::watch(self, key, store)
    }
}
