//! A process on the engine, and the faults of its connections.

use std::fmt;
use std::time::Duration;

use crate::simulation::backend::SimulatedBackend;
use crate::simulation::link::ProcessLink;
use crate::simulation::state::AppendFault;

/// One of the processes that share an [`Engine`](crate::simulation::Engine), with the faults of its connections. A cheap clone.
///
/// A fault lasts until it is undone, except those of the next append.
///
/// ```
/// use std::time::Duration;
///
/// use tornadose::SubmitError;
/// use tornadose::backend::SendOutcome;
/// use tornadose::prelude::*;
/// use tornadose::simulation::Engine;
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let process = Engine::new(7).process("web-1");
/// let store = Store::<Line>::open(process.backend()).await?;
/// process.disconnect();
/// let error = store.submit(Line("hi".into())).await.unwrap_err();
/// assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
/// process.reconnect();
/// store.submit(Line("hi".into())).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Process {
    pub(super) link: ProcessLink,
}

impl Process {
    pub(super) fn new(link: ProcessLink) -> Self {
        Self { link }
    }

    /// Returns the name of the process.
    ///
    /// ```
    /// assert_eq!(tornadose::simulation::Engine::new(7).process("web-1").name(), "web-1");
    /// ```
    pub fn name(&self) -> String {
        self.link.name()
    }

    /// Returns the backend over which the process opens a store, [`Store::open`](crate::Store::open). A process may
    /// open several stores, also one after another, as it does when it starts again.
    ///
    /// ```
    /// let backend = tornadose::simulation::Engine::new(7).process("web-1").backend();
    /// # drop(backend);
    /// ```
    pub fn backend(&self) -> SimulatedBackend {
        SimulatedBackend::new(self.link.clone())
    }

    /// Breaks the connections to the engine, and refuses new ones until [`reconnect`](Self::reconnect). A request that
    /// is on its way is lost; one that has arrived is executed, and its reply is lost.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.disconnect();
    /// # drop(process);
    /// ```
    pub fn disconnect(&self) {
        self.link.change(|link| {
            link.is_connected = false;
            link.cuts += 1;
        });
    }

    /// Accepts connections to the engine again. The backend connects at once.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.disconnect();
    /// process.reconnect();
    /// # drop(process);
    /// ```
    pub fn reconnect(&self) {
        self.link.change(|link| link.is_connected = true);
    }

    /// Makes each request and each reply take this much longer; zero at first. A reply that takes more than 5 s, or
    /// [`SimulatedBackend::ack_timeout`] for an append, is given up, and the backend connects again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.delay(std::time::Duration::from_millis(200));
    /// # drop(process);
    /// ```
    pub fn delay(&self, delay: Duration) {
        self.link.change(|link| link.delay = delay);
    }

    /// Makes the engine refuse the messages of this process, in these words, until [`accept`](Self::accept). Reading
    /// goes on.
    ///
    /// A `submit` fails. What came from `try_submit` or `forget` is kept, and sent when the engine accepts it again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.refuse("OOM command not allowed when used memory > 'maxmemory'.");
    /// # drop(process);
    /// ```
    pub fn refuse(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.link.change(|link| link.refusal = Some(reason));
    }

    /// Makes the engine accept the messages of this process again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.refuse("READONLY You can't write against a read only replica.");
    /// process.accept();
    /// # drop(process);
    /// ```
    pub fn accept(&self) {
        self.link.change(|link| link.refusal = None);
    }

    /// Breaks the connections when the next messages are sent, before the engine has received any of them. The
    /// outcome is unknown to the process, so the backend sends the messages again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.lose_next_request();
    /// # drop(process);
    /// ```
    pub fn lose_next_request(&self) {
        self.link.change(|link| link.next_append = AppendFault::LoseRequest);
    }

    /// Breaks the connections when the next messages are appended, before the process has received the reply. The
    /// outcome is unknown to the process, so the backend sends the messages again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.lose_next_reply();
    /// # drop(process);
    /// ```
    pub fn lose_next_reply(&self) {
        self.link.change(|link| link.next_append = AppendFault::LoseReply);
    }

    /// Breaks the connections in the middle of the next append: the engine has appended some of the messages that were
    /// sent together, and the seed decides how many. The backend sends them again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.interrupt_next_append();
    /// # drop(process);
    /// ```
    pub fn interrupt_next_append(&self) {
        self.link.change(|link| link.next_append = AppendFault::Interrupt);
    }

    /// Appends the next messages of this process twice, as a proxy does that sends a request again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.duplicate_next_append();
    /// # drop(process);
    /// ```
    pub fn duplicate_next_append(&self) {
        self.link.change(|link| link.next_append = AppendFault::Duplicate);
    }

    /// Delivers the newest entries to the stores of this process a second time.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.deliver_again();
    /// # drop(process);
    /// ```
    pub fn deliver_again(&self) {
        self.link.change(|link| link.redeliveries += 1);
    }

    /// Ends the backends of this process at once, as `kill -9` does. What was on its way is lost, or was appended
    /// without an acknowledgement. The process may open stores again.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.kill();
    /// # drop(process);
    /// ```
    pub fn kill(&self) {
        self.link.change(|link| {
            link.kills += 1;
            link.cuts += 1;
        });
    }

    /// Undoes every fault of the connections.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// process.disconnect();
    /// process.refuse("OOM");
    /// process.heal();
    /// # drop(process);
    /// ```
    pub fn heal(&self) {
        self.link.change(|link| {
            link.is_connected = true;
            link.delay = Duration::ZERO;
            link.refusal = None;
            link.next_append = AppendFault::None;
        });
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name()).finish_non_exhaustive()
    }
}
