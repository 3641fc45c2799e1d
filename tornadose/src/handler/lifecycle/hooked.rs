//! A subscriber whose `closed` hook runs when its connection drops it, however the connection ends.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use salvo::http::StatusError;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::handler::lifecycle::{HookName, HookPermits};
use crate::handler::served::Served;
use crate::message::Message;
use crate::store::Store;
use crate::store::closing::run_closed_hook;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;
use crate::subscriber::{KeyOf, Subscriber};

const CLOSED_TIMEOUT: Duration = Duration::from_secs(5);

/// What the `closed` hook of a connection runs with.
pub(crate) struct ClosedHook<M: Message> {
    pub(crate) store: Store<M>,
    /// The runtime that opened the connection.
    pub(crate) runtime: Handle,
    pub(crate) name: HookName,
    /// `None` when the store and the server wait no longer.
    pub(crate) permits: Option<HookPermits<M>>,
}

/// A subscriber with hooks, after its connection was opened.
pub(crate) struct Hooked<S: Subscriber> {
    subscriber: Option<S>,
    /// `None` without a `closed` hook.
    closed: Option<Box<ClosedHook<S::Message>>>,
}

const UNTIL_DROPPED: &str = "the subscriber is there until this is dropped";

impl<S: Subscriber> Hooked<S> {
    pub(crate) fn new(subscriber: S, closed: Option<ClosedHook<S::Message>>) -> Self {
        Self { subscriber: Some(subscriber), closed: closed.map(Box::new) }
    }
}

impl<S: Subscriber> Served for Hooked<S> {
    type Message = S::Message;

    #[inline]
    fn filter(&self, message: &S::Message) -> bool {
        self.subscriber.as_ref().expect(UNTIL_DROPPED).filter(message)
    }

    fn receive(
        &mut self,
        text: &str,
        store: &Store<S::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        Subscriber::receive(self.subscriber.as_mut().expect(UNTIL_DROPPED), text, store)
    }

    fn load(&self, store: &Store<S::Message>) -> impl Future<Output = Result<Vec<S::Message>, StatusError>> + Send {
        Subscriber::load(self.subscriber.as_ref().expect(UNTIL_DROPPED), store)
    }

    fn parse_key(json: &str) -> Option<KeyOf<S>> {
        <S as Served>::parse_key(json)
    }

    fn watch(&mut self, key: &KeyOf<S>, store: &Store<S::Message>) -> impl Future<Output = Result<(), String>> + Send {
        Subscriber::watch(self.subscriber.as_mut().expect(UNTIL_DROPPED), key, store)
    }
}

impl<S: Subscriber> Drop for Hooked<S> {
    fn drop(&mut self) {
        if let (Some(subscriber), Some(closed)) = (self.subscriber.take(), self.closed.take()) {
            let runtime = closed.runtime.clone();
            // A runtime that has ended drops the hook.
            runtime.spawn(run_closed(subscriber, closed));
        }
    }
}

async fn run_closed<S: Subscriber>(subscriber: S, closed: Box<ClosedHook<S::Message>>) {
    let ClosedHook { store, name, permits: _permits, .. } = *closed;
    // The hook is called inside the future, so that a panic of the call itself is caught too.
    let hook = run_closed_hook(async { subscriber.closed(&store).await });
    match timeout(CLOSED_TIMEOUT, AssertUnwindSafe(hook).catch_unwind()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => name.log_panic(),
        Err(_) => name.log_timeout(),
    }
}
