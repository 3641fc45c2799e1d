//! Checks what a store promises: what was acknowledged is delivered or its loss is reported, to each reader once and in
//! one order.

pub(super) mod record;
pub(super) mod rules;
pub(super) mod client;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::id::Id;
use crate::message::{Keys, Message};
use crate::simulation::checker::client::Client;
use crate::simulation::checker::record::{Answer, SharedRecord, describe};
use crate::store::Store;
use crate::store::error::SubmitError;

/// Records what was submitted to stores and what their readers received, and checks it. A cheap clone.
///
/// - A reader receives each message of its keys in the order of the log, or a gap where messages are missing.
/// - No two readers receive two messages in different orders.
/// - What was acknowledged is received by every reader that was there when it was submitted, or the reader is sent a
///   gap in its place. So is what was taken by [`try_submit`](Self::try_submit), unless its store was closed. Of
///   `latest` messages only the newest is owed.
/// - A reader receives a message twice only after a gap `restarted`, and a `latest` message only after a gap. Of a
///   message that was appended twice, because its outcome was unknown, the second copy may also follow a gap `trimmed`.
/// - What was not sent, or was refused, is never received.
///
/// Messages are known by their key and their event, so submit each of them once.
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::simulation::{Checker, Engine};
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(u32);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (engine, checker) = (Engine::new(7), Checker::new());
/// let (one, two) = (Store::<Line>::open(engine.backend()).await?, Store::<Line>::open(engine.backend()).await?);
/// checker.watch("ada at one", &one);
/// checker.watch("bob at two", &two);
/// checker.submit(&one, Line(1)).await?;
/// tokio::time::sleep(std::time::Duration::from_secs(1)).await;
/// checker.check()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Checker {
    record: SharedRecord,
}

/// A reader that a [`Checker`] watches, from [`Checker::watch`].
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::simulation::{Checker, Engine};
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(u32);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (engine, checker) = (Engine::new(7), Checker::new());
/// let (one, two) = (Store::<Line>::open(engine.backend()).await?, Store::<Line>::open(engine.backend()).await?);
/// let mut ada = checker.watch("ada", &one);
/// checker.submit(&one, Line(1)).await?;
/// ada.move_to(&two);
/// checker.submit(&one, Line(2)).await?;
/// tokio::time::sleep(std::time::Duration::from_secs(10)).await;
/// checker.check()?;
/// # Ok(())
/// # }
/// ```
pub struct Watch<M: Message> {
    client: Arc<Mutex<Client<M>>>,
    task: JoinHandle<()>,
}

/// A promise that was not kept, from [`Checker::check`], with what was recorded about it.
///
/// ```
/// use tornadose::simulation::Checker;
///
/// assert!(Checker::new().check().is_ok(), "nothing was recorded");
/// ```
#[derive(Debug)]
pub struct Violation {
    promise: &'static str,
    transcript: String,
}

impl Checker {
    /// Creates a checker.
    ///
    /// ```
    /// let checker = tornadose::simulation::Checker::new();
    /// # drop(checker);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn record_handle(&self) -> SharedRecord {
        self.record.clone()
    }

    /// Submits a message, and records it with its outcome.
    ///
    /// # Errors
    ///
    /// As [`Store::submit`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`]; the outcome of a submit that was dropped is unknown.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(u32);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tornadose::SubmitError<Line>> {
    /// let store = Store::new();
    /// let id = tornadose::simulation::Checker::new().submit(&store, Line(1)).await?;
    /// assert_eq!(id, store.head());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit<M: Message>(&self, store: &Store<M>, message: M) -> Result<Id, SubmitError<M>> {
        let index = self.record.lock().submit(describe(&message));
        let result = store.submit(message).await;
        self.record.lock().answer(index, Answer::of(&result));
        result
    }

    /// Submits a message without waiting, and records it.
    ///
    /// # Errors
    ///
    /// As [`Store::try_submit`].
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(u32);
    /// let store = Store::new();
    /// let checker = tornadose::simulation::Checker::new();
    /// assert_eq!(checker.try_submit(&store, Line(1)).unwrap(), Some(store.head()));
    /// ```
    pub fn try_submit<M: Message>(&self, store: &Store<M>, message: M) -> Result<Option<Id>, SubmitError<M>> {
        let index = self.record.lock().submit(describe(&message));
        let result = store.try_submit(message);
        let answer = match &result {
            Ok(Some(id)) => Answer::Acknowledged(*id),
            Ok(None) => Answer::HandedOff(liveness(store)),
            Err(error) => Answer::of_error(error),
        };
        self.record.lock().answer(index, answer);
        result
    }

    /// Starts a reader of all keys, in a task of its own, that records what it receives until the store is closed. It
    /// reads on when the [`Watch`] is dropped.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(u32);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store: Store<Line> = Store::new();
    /// tornadose::simulation::Checker::new().watch("ada", &store);
    /// assert_eq!(store.subscribers(), 1);
    /// # }
    /// ```
    pub fn watch<M: Message>(&self, reader: impl Into<String>, store: &Store<M>) -> Watch<M> {
        let client = Client::open(&self.record, reader.into(), store, Keys::All, 0);
        Watch::start(Arc::new(Mutex::new(client)))
    }

    /// Checks what was recorded. Call this when the faults are undone and every reader has had the time to read on,
    /// for example after ten seconds of virtual time.
    ///
    /// # Errors
    ///
    /// [`Violation`], the first promise that was not kept.
    ///
    /// ```
    /// assert!(tornadose::simulation::Checker::new().check().is_ok());
    /// ```
    pub fn check(&self) -> Result<(), Violation> {
        let record = self.record.lock();
        match rules::find_violation(&record) {
            None => Ok(()),
            Some(finding) => {
                let transcript = record.transcript(&finding.messages, &finding.readers);
                Err(Violation { promise: finding.promise, transcript })
            }
        }
    }
}

impl<M: Message> Watch<M> {
    fn start(client: Arc<Mutex<Client<M>>>) -> Self {
        let reading = Arc::clone(&client);
        let task = tokio::spawn(poll_fn(move |cx| {
            reading.lock().unwrap_or_else(PoisonError::into_inner).poll_to_end(cx.waker())
        }));
        Self { client, task }
    }

    /// Cuts the reader off, and lets it resume at another store from the newest id that it has received. Without an id
    /// it is a new reader there.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(u32);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let stores: [Store<Line>; 2] = [Store::new(), Store::new()];
    /// let mut ada = tornadose::simulation::Checker::new().watch("ada", &stores[0]);
    /// ada.move_to(&stores[1]);
    /// assert_eq!((stores[0].subscribers(), stores[1].subscribers()), (0, 1));
    /// # }
    /// ```
    pub fn move_to(&mut self, store: &Store<M>) {
        self.task.abort();
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.detach();
        client.resume(store, 0);
        drop(client);
        *self = Self::start(Arc::clone(&self.client));
    }
}

impl<M: Message> fmt::Debug for Watch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Returns a function that returns whether the store is open, and does not keep it alive.
fn liveness<M: Message>(store: &Store<M>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let shared = Arc::downgrade(store.shared());
    Arc::new(move || shared.upgrade().is_some_and(|shared| !shared.lock().closed))
}

impl Violation {
    /// Returns the promise that was not kept.
    #[cfg(test)]
    pub(super) fn promise(&self) -> &'static str {
        self.promise
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.promise, self.transcript)
    }
}

impl std::error::Error for Violation {}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
