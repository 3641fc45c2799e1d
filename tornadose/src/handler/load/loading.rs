//! A subscriber whose connection loads state from elsewhere. It is given to the task of the hook while that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_util::future::BoxFuture;
use salvo::http::StatusError;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::lifecycle::HookName;
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::hook;
use crate::handler::load::loads::{Loaded, Loads};
use crate::handler::served::{ConnectionKind, Served};
use crate::message::Message;
use crate::store::Store;
use crate::store::entry::Entry;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;
use crate::task;

/// A subscriber whose connection loads, and what its hook needs.
pub(crate) struct Loading<M: Message> {
    /// `None` while the hook runs, whose task has it.
    served: Option<CatchDrop<dyn Served<M>>>,
    loads: Loads<M>,
    task: Option<LoadTask<M>>,
    store: Store<M>,
    turns: Arc<Semaphore>,
    name: HookName,
}

const UNLESS_LOADING: &str = "nothing is delivered and no text is received while the hook runs";

impl<M: Message> Loading<M> {
    pub(crate) fn new(
        served: CatchDrop<dyn Served<M>>,
        loads: Loads<M>,
        store: Store<M>,
        turns: Arc<Semaphore>,
        name: HookName,
    ) -> Self {
        Self { served: Some(served), loads, task: None, store, turns, name }
    }

    fn served(&self) -> &dyn Served<M> {
        self.served.as_deref().expect(UNLESS_LOADING)
    }

    fn served_mut(&mut self) -> &mut dyn Served<M> {
        self.served.as_deref_mut().expect(UNLESS_LOADING)
    }
}

impl<M: Message> Served<M> for Loading<M> {
    fn kind(&self) -> ConnectionKind {
        ConnectionKind::Loading
    }

    fn filter(&self, message: &M) -> bool {
        self.served().filter(message)
    }

    fn count_passing(&self, entries: &[Arc<Entry<M>>]) -> usize {
        self.served().count_passing(entries)
    }

    fn receive<'a>(
        &'a mut self,
        text: &'a str,
        store: &'a Store<M>,
    ) -> BoxFuture<'a, Result<Option<Reply>, ReceiveError>> {
        self.served_mut().receive(text, store)
    }

    fn load<'a>(&'a self, keys: &'a [M::Key], store: &'a Store<M>) -> BoxFuture<'a, Result<Vec<M>, StatusError>> {
        self.served().load(keys, store)
    }

    fn parse_key(&self, json: &str) -> Option<M::Key> {
        self.served().parse_key(json)
    }

    fn watch<'a>(&'a mut self, key: &'a M::Key, store: &'a Store<M>) -> BoxFuture<'a, Result<(), String>> {
        self.served_mut().watch(key, store)
    }

    fn loads_mut(&mut self) -> Option<&mut Loads<M>> {
        Some(&mut self.loads)
    }

    fn start_load(&mut self, keys: Vec<M::Key>) {
        let Some(served) = self.served.take() else { return };
        let (store, turns, name, start) =
            (self.store.clone(), Arc::clone(&self.turns), self.name, self.loads.next_start());
        // A task of its own, so that a client that takes no bytes does not keep the turn of others.
        let (finish, finished) = oneshot::channel();
        let task = task::spawn(Box::pin(async move {
            if let Some(start) = start {
                sleep_until(start).await;
            }
            let _turn = turns.acquire_owned().await;
            let result = hook::run(&*served, &keys, &store, name).await;
            // When the connection is gone, the subscriber is dropped here.
            drop(finish.send(Finished { served, result }));
        }));
        self.task = Some(LoadTask { task: task.abort_handle(), finished });
    }

    fn poll_load(&mut self, waker: &Waker) -> Poll<Result<Loaded<M>, LoadFailure>> {
        let Some(task) = &mut self.task else { return Poll::Pending };
        let finished = ready!(Pin::new(&mut task.finished).poll(&mut Context::from_waker(waker)));
        self.task = None;
        let Ok(Finished { served, result }) = finished else {
            // The hook's future panicked when it was dropped. Otherwise the runtime has ended.
            self.name.log_panic();
            return Poll::Ready(Err(LoadFailure::Panicked));
        };
        if let Ok(loaded) = &result {
            self.loads.record_start(loaded.started_at);
        }
        self.served = Some(served);
        Poll::Ready(result)
    }
}

/// The result of the task of a hook.
struct Finished<M: Message> {
    served: CatchDrop<dyn Served<M>>,
    result: Result<Loaded<M>, LoadFailure>,
}

/// The task of a hook, which is aborted when this is dropped.
struct LoadTask<M: Message> {
    task: AbortHandle,
    finished: oneshot::Receiver<Finished<M>>,
}

impl<M: Message> Drop for LoadTask<M> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
