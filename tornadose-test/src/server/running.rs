//! A server that serves on a task, and how it is asked to stop.

use std::fmt;
use std::time::Duration;

use tokio::task::JoinHandle;

/// A server that serves on a task, from [`HarnessServer::spawn`](crate::HarnessServer::spawn).
pub struct RunningServer {
    stop: Box<dyn Fn(StopMode) + Send + Sync>,
    pub(crate) serving: JoinHandle<()>,
}

/// How a [`RunningServer`] is asked to stop.
///
/// ```
/// use std::time::Duration;
/// use tornadose_test::StopMode;
///
/// assert_ne!(StopMode::Forceful, StopMode::Graceful { limit: Duration::from_secs(5) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopMode {
    /// Accept no more connections, end the idle ones, and wait for the others.
    Graceful {
        /// The longest wait, in virtual time.
        limit: Duration,
    },
    /// End every connection at once.
    Forceful,
}

impl RunningServer {
    /// Returns a server whose task is `serving`. `stop` asks it to stop; the task then ends.
    ///
    /// ```
    /// use tokio::sync::watch;
    /// use tornadose_test::RunningServer;
    ///
    /// # tornadose_test::run(async {
    /// let (stop, mut stopped) = watch::channel(false);
    /// let serving = tokio::spawn(async move {
    ///     stopped.wait_for(|stopped| *stopped).await.ok();
    /// });
    /// let server = RunningServer::new(serving, move |_mode| drop(stop.send_replace(true)));
    /// # drop(server);
    /// # });
    /// ```
    pub fn new(serving: JoinHandle<()>, stop: impl Fn(StopMode) + Send + Sync + 'static) -> Self {
        Self { stop: Box::new(stop), serving }
    }

    pub(crate) fn stop(&self, mode: StopMode) {
        (self.stop)(mode);
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("serving", &self.serving).finish_non_exhaustive()
    }
}
