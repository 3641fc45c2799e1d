//! A subscriber whose `closed` hook runs when its connection drops it, however the connection ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use salvo::http::StatusError;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::handler::lifecycle::{HookName, HookPermits};
use crate::handler::served::{Served, ServedWithHooks};
use crate::message::Message;
use crate::store::Store;
use crate::store::closing::run_closed_hook;
use crate::store::entry::Entry;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;
use crate::task;

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

/// A subscriber with a `closed` hook, after its connection was opened.
pub(crate) struct Hooked<M: Message> {
    subscriber: Option<Box<dyn ServedWithHooks<M>>>,
    closed: Option<Box<ClosedHook<M>>>,
}

const UNTIL_DROPPED: &str = "the subscriber is there until this is dropped";

impl<M: Message> Hooked<M> {
    pub(crate) fn new(subscriber: Box<dyn ServedWithHooks<M>>, closed: ClosedHook<M>) -> Self {
        Self { subscriber: Some(subscriber), closed: Some(Box::new(closed)) }
    }

    fn subscriber(&self) -> &dyn ServedWithHooks<M> {
        self.subscriber.as_deref().expect(UNTIL_DROPPED)
    }

    fn subscriber_mut(&mut self) -> &mut dyn ServedWithHooks<M> {
        self.subscriber.as_deref_mut().expect(UNTIL_DROPPED)
    }
}

impl<M: Message> Served<M> for Hooked<M> {
    fn filter(&self, message: &M) -> bool {
        self.subscriber().filter(message)
    }

    fn count_passing(&self, entries: &[Arc<Entry<M>>]) -> usize {
        self.subscriber().count_passing(entries)
    }

    fn receive<'a>(
        &'a mut self,
        text: &'a str,
        store: &'a Store<M>,
    ) -> BoxFuture<'a, Result<Option<Reply>, ReceiveError>> {
        self.subscriber_mut().receive(text, store)
    }

    fn load<'a>(&'a self, keys: &'a [M::Key], store: &'a Store<M>) -> BoxFuture<'a, Result<Vec<M>, StatusError>> {
        self.subscriber().load(keys, store)
    }

    fn parse_key(&self, json: &str) -> Option<M::Key> {
        self.subscriber().parse_key(json)
    }

    fn watch<'a>(&'a mut self, key: &'a M::Key, store: &'a Store<M>) -> BoxFuture<'a, Result<(), String>> {
        self.subscriber_mut().watch(key, store)
    }
}

impl<M: Message> Drop for Hooked<M> {
    fn drop(&mut self) {
        if let (Some(subscriber), Some(closed)) = (self.subscriber.take(), self.closed.take()) {
            let runtime = closed.runtime.clone();
            // A runtime that has ended drops the hook.
            task::spawn_on(&runtime, Box::pin(run_closed(subscriber, closed)));
        }
    }
}

async fn run_closed<M: Message>(subscriber: Box<dyn ServedWithHooks<M>>, closed: Box<ClosedHook<M>>) {
    let ClosedHook { store, name, permits: _permits, .. } = *closed;
    let hook = run_closed_hook(subscriber.closed(&store));
    match timeout(CLOSED_TIMEOUT, AssertUnwindSafe(hook).catch_unwind()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => name.log_panic(),
        Err(_) => name.log_timeout(),
    }
}
