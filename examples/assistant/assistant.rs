//! The producers of answers. Each is a task of its own: it survives the page that has asked, and every other page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tornadose::prelude::*;
use tornadose::{KeyState, NoKey, Received, SubmitError};

use super::model::Model;
use super::{Answer, Run, RunId, RunSlot};

/// A third of the time in which a lease expires.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);

/// The time between two tries to finish a run while the backend is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a producer has for its last word, after the time in which it could have written all.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(3);

/// The producers of this process, and what they need. A cheap clone.
#[derive(Clone)]
pub(crate) struct Assistant(Arc<Shared>);

struct Shared {
    answers: Store<Answer>,
    runs: Store<Run>,
    model: Box<dyn Model>,
    /// The name of this process in its leases.
    process: String,
    /// `None` once the process stops: it takes no more questions.
    producers: Mutex<Option<JoinSet<()>>>,
    /// Whether the producers have to give up.
    giving_up: watch::Sender<bool>,
}

impl Assistant {
    pub(crate) fn new(
        answers: Store<Answer>,
        runs: Store<Run>,
        model: impl Model + 'static,
        process: impl Into<String>,
    ) -> Self {
        let producers = Mutex::new(Some(JoinSet::new()));
        let (model, process, giving_up) = (Box::new(model), process.into(), watch::Sender::new(false));
        Self(Arc::new(Shared { answers, runs, model, process, producers, giving_up }))
    }

    pub(crate) fn answers(&self) -> &Store<Answer> {
        &self.0.answers
    }

    pub(crate) fn runs(&self) -> &Store<Run> {
        &self.0.runs
    }

    /// Starts to answer a question.
    ///
    /// The lease comes first: whatever happens after it, the run is finished, by this process or by another.
    pub(crate) async fn start(&self, run: RunId, question: String) -> Result<(), String> {
        if self.producers(|producers| producers.is_none()) {
            return Err(STOPPING.into());
        }
        let lease = Run::Answering { run: run.clone(), process: self.0.process.clone() };
        self.runs().submit(lease).await.map_err(|error| error.to_string())?;
        let text = Answer::Question { run: run.clone(), text: question.clone() };
        self.answers().submit(text).await.map_err(|error| error.to_string())?;
        let asked = Run::Asked { run: run.clone(), question: question.clone() };
        self.runs().submit(asked).await.map_err(|error| error.to_string())?;
        self.producers(|producers| {
            let producers = producers.as_mut().ok_or(STOPPING)?;
            while producers.try_join_next().is_some() {}
            producers.spawn(self.clone().produce(run, question));
            Ok(())
        })
    }

    async fn produce(self, run: RunId, question: String) {
        if let Some(last) = self.write(&run, &question).await {
            self.finish_surely(last).await;
        }
    }

    /// Writes the tokens of an answer. Returns its last word, or `None` when it has one already.
    async fn write(&self, run: &RunId, question: &str) -> Option<Answer> {
        let mut tokens = self.0.model.answer(question);
        let mut finished = self.answers().finished(&run.key());
        let mut giving_up = self.0.giving_up.subscribe();
        let mut renewal = interval_at(Instant::now() + RENEWAL_INTERVAL, RENEWAL_INTERVAL);
        loop {
            let token = tokio::select! {
                biased;
                // Somebody has stopped it, at whatever process.
                _ = &mut finished => return None,
                _ = giving_up.wait_for(|is_over| *is_over) => Some(Err("the server was stopped".into())),
                _ = renewal.tick() => {
                    let lease = Run::Answering { run: run.clone(), process: self.0.process.clone() };
                    // A backend that is away takes it when it returns. If the lease expires before, the run is finished.
                    self.runs().try_submit(lease).ok();
                    continue;
                }
                token = tokens.next() => token,
            };
            let run = run.clone();
            match token {
                // Tokens are handed off, in order: the model does not wait for a round trip to the backend.
                Some(Ok(text)) => match self.answers().try_submit(Answer::Token { run: run.clone(), text }) {
                    Ok(_) => {}
                    Err(SubmitError::Finished { .. } | SubmitError::Closed { .. }) => return None,
                    Err(error) => return Some(Answer::Failed { run, why: error.to_string() }),
                },
                Some(Err(why)) => return Some(Answer::Failed { run, why }),
                None => return Some(Answer::Done { run }),
            }
        }
    }

    /// Submits the last word of a run, and tells the lists. Of two last words the first counts: of the other this returns
    /// `SubmitError::Finished`.
    pub(crate) async fn finish(&self, last: Answer) -> Result<(), SubmitError<Answer>> {
        let ended = last.ending();
        self.answers().submit(last).await?;
        if let Some(ended) = ended {
            // If this fails the lists learn that it has ended when the lease expires.
            self.runs().submit(ended).await.ok();
        }
        Ok(())
    }

    /// Submits the last word of a run as often as it takes.
    async fn finish_surely(&self, last: Answer) {
        while let Err(error) = self.finish(last.clone()).await {
            if matches!(error, SubmitError::Finished { .. } | SubmitError::Closed { .. }) {
                return;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Finishes the runs whose producer is gone, of whatever process, so that nobody waits for ever. Every process does
    /// this, until the store is closed.
    pub(crate) async fn watch_leases(self) {
        let mut runs = self.runs().subscribe();
        while let Some(received) = runs.next().await {
            let run = match &received {
                Received::Expired { message, .. } => match &**message {
                    Run::Answering { run, .. } => run,
                    _ => continue,
                },
                // The runs of the last hour come first, and again after a gap. A lease is older than what is asked.
                Received::Message { message, .. } => match &**message {
                    Run::Asked { run, .. } if !self.is_leased(run) => run,
                    _ => continue,
                },
                _ => continue,
            };
            if self.answers().key_state(&run.key()) != KeyState::Finished {
                let why = "the process that wrote it is gone".into();
                self.finish_surely(Answer::Failed { run: run.clone(), why }).await;
            }
        }
    }

    fn is_leased(&self, run: &RunId) -> bool {
        self.runs().latest_in(&NoKey, &RunSlot::Answering { run: run.clone() }).is_some()
    }

    /// Takes no more questions, and waits until the answers are written. What is not in this time is finished as failed.
    pub(crate) async fn drain(&self, limit: Duration) {
        let Some(mut producers) = self.producers(Option::take) else { return };
        let mut wait = async |limit| timeout(limit, async { while producers.join_next().await.is_some() {} }).await;
        if wait(limit).await.is_err() {
            self.0.giving_up.send_replace(true);
            // The leases of those that are not in time expire.
            let _in_time = wait(LAST_WORD_TIMEOUT).await;
        }
    }

    fn producers<T>(&self, change: impl FnOnce(&mut Option<JoinSet<()>>) -> T) -> T {
        change(&mut self.0.producers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const STOPPING: &str = "this server is about to stop: ask again in a moment";
