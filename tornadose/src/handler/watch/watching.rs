//! A subscriber whose client watches keys.

use std::sync::Arc;
use std::task::{Poll, Waker};

use futures_util::future::BoxFuture;
use salvo::http::StatusError;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::loads::{Loaded, Loads};
use crate::handler::served::{ConnectionKind, Served};
use crate::handler::watch::watches::Watches;
use crate::message::Message;
use crate::store::Store;
use crate::store::entry::Entry;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;

/// A subscriber, and the keys that its client watches.
pub(crate) struct Watching<M: Message> {
    served: CatchDrop<dyn Served<M>>,
    watches: Watches<M>,
}

impl<M: Message> Watching<M> {
    pub(crate) fn new(served: CatchDrop<dyn Served<M>>, watches: Watches<M>) -> Self {
        Self { served, watches }
    }
}

impl<M: Message> Served<M> for Watching<M> {
    fn kind(&self) -> ConnectionKind {
        ConnectionKind::new(self.served.kind().loads(), true)
    }

    fn filter(&self, message: &M) -> bool {
        self.served.filter(message)
    }

    fn count_passing(&self, entries: &[Arc<Entry<M>>]) -> usize {
        self.served.count_passing(entries)
    }

    fn receive<'a>(
        &'a mut self,
        text: &'a str,
        store: &'a Store<M>,
    ) -> BoxFuture<'a, Result<Option<Reply>, ReceiveError>> {
        self.served.receive(text, store)
    }

    fn load<'a>(&'a self, keys: &'a [M::Key], store: &'a Store<M>) -> BoxFuture<'a, Result<Vec<M>, StatusError>> {
        self.served.load(keys, store)
    }

    fn parse_key(&self, json: &str) -> Option<M::Key> {
        self.served.parse_key(json)
    }

    fn watch<'a>(&'a mut self, key: &'a M::Key, store: &'a Store<M>) -> BoxFuture<'a, Result<(), String>> {
        self.served.watch(key, store)
    }

    fn loads_mut(&mut self) -> Option<&mut Loads<M>> {
        self.served.loads_mut()
    }

    fn watches_mut(&mut self) -> Option<&mut Watches<M>> {
        Some(&mut self.watches)
    }

    fn start_load(&mut self, keys: Vec<M::Key>) {
        self.served.start_load(keys);
    }

    fn poll_load(&mut self, waker: &Waker) -> Poll<Result<Loaded<M>, LoadFailure>> {
        self.served.poll_load(waker)
    }
}
