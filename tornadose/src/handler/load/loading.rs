//! A subscriber whose connection loads state from elsewhere. It is given to the task of the hook while that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use salvo::http::StatusError;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::lifecycle::HookName;
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::hook;
use crate::handler::load::loads::{Loaded, Loads};
use crate::handler::served::Served;
use crate::store::Store;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;

/// A subscriber whose connection loads, and what its hook needs.
pub(crate) struct Loading<T: Served> {
    /// `None` while the hook runs, whose task has it.
    served: Option<CatchDrop<T>>,
    loads: Loads<T::Message>,
    task: Option<LoadTask<T>>,
    store: Store<T::Message>,
    turns: Arc<Semaphore>,
    name: HookName,
}

const UNLESS_LOADING: &str = "nothing is delivered and no text is received while the hook runs";

impl<T: Served> Loading<T> {
    pub(crate) fn new(
        served: CatchDrop<T>,
        loads: Loads<T::Message>,
        store: Store<T::Message>,
        turns: Arc<Semaphore>,
        name: HookName,
    ) -> Self {
        Self { served: Some(served), loads, task: None, store, turns, name }
    }
}

impl<T: Served> Served for Loading<T> {
    type Message = T::Message;

    const LOADS: bool = true;

    #[inline]
    fn filter(&self, message: &T::Message) -> bool {
        self.served.as_ref().expect(UNLESS_LOADING).filter(message)
    }

    fn receive(
        &mut self,
        text: &str,
        store: &Store<T::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        let served: &mut T = self.served.as_mut().expect(UNLESS_LOADING);
        served.receive(text, store)
    }

    fn load(&self, store: &Store<T::Message>) -> impl Future<Output = Result<Vec<T::Message>, StatusError>> + Send {
        let served: &T = self.served.as_ref().expect(UNLESS_LOADING);
        served.load(store)
    }

    #[inline]
    fn loads_mut(&mut self) -> Option<&mut Loads<T::Message>> {
        Some(&mut self.loads)
    }

    fn start_load(&mut self) {
        let Some(served) = self.served.take() else { return };
        let (store, turns, name, start) =
            (self.store.clone(), Arc::clone(&self.turns), self.name, self.loads.next_start());
        // A task of its own, so that a client that takes no bytes does not keep the turn of others.
        self.task = Some(LoadTask(tokio::spawn(async move {
            if let Some(start) = start {
                sleep_until(start).await;
            }
            let _turn = turns.acquire_owned().await;
            let result = hook::run(&*served, &store, name).await;
            Finished { served, result }
        })));
    }

    fn poll_load(&mut self, waker: &Waker) -> Poll<Result<Loaded<T::Message>, LoadFailure>> {
        let Some(task) = &mut self.task else { return Poll::Pending };
        let finished = ready!(Pin::new(&mut task.0).poll(&mut Context::from_waker(waker)));
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
struct Finished<T: Served> {
    served: CatchDrop<T>,
    result: Result<Loaded<T::Message>, LoadFailure>,
}

/// The task of a hook, which is aborted when this is dropped.
struct LoadTask<T: Served>(JoinHandle<Finished<T>>);

impl<T: Served> Drop for LoadTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
