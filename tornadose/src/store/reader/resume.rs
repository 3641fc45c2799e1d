//! Where a reader starts: the position that its client asks for, and one that has yet to arrive.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::id::Id;
use crate::message::Message;
use crate::store::log::Log;

/// Where a reader is to start, as its client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// With what a new reader is sent first.
    New,
    /// After the message of this id.
    After(Id),
    /// After a message whose id is not an id of any log.
    Unknown,
}

impl Resume {
    /// Resumes from an id that a client sends as text.
    pub(crate) fn after_text(text: &str) -> Self {
        text.parse().map_or(Self::Unknown, Self::After)
    }

    /// Returns whether the id may be that of a message which is on its way here.
    pub(super) fn may_arrive<M: Message>(self, log: &Log<M>) -> bool {
        matches!(self, Self::After(id) if log.may_arrive(id))
    }
}

/// How long a resume id may take to arrive while the backend is reachable.
const PENDING_TIMEOUT: Duration = Duration::from_secs(2);

/// A resume that cannot be decided yet: the log is being loaded, or the message of its id is on its way here from
/// another process.
pub(crate) struct PendingResume {
    pub(super) resume: Resume,
    pub(super) replay: usize,
    /// Runs while the backend is reachable.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl PendingResume {
    pub(crate) fn new(resume: Resume, replay: usize) -> Self {
        Self { resume, replay, timeout: None }
    }

    /// Returns whether the wait is over. Otherwise `waker` is woken when it is.
    pub(super) fn poll_timeout(&mut self, is_reachable: bool, waker: &Waker) -> bool {
        if !is_reachable {
            self.timeout = None;
            return false;
        }
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(sleep(PENDING_TIMEOUT)));
        timeout.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    }
}
