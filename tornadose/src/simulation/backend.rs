//! The backend of a simulated process: one task reads the stream, another appends to it.

use std::fmt;
use std::time::Duration;

use crate::backend::checkpoints::Checkpoints;
use crate::backend::engine::{Backend, Features, OpenError};
use crate::backend::link::BackendLink;
use crate::simulation::connection::Connection;
use crate::simulation::keeper::SnapshotKeeper;
use crate::simulation::link::ProcessLink;
#[cfg(test)]
use crate::simulation::mistakes::Mistake;
use crate::simulation::mistakes::Mistakes;
use crate::simulation::reader::StreamReader;
use crate::simulation::settlement::Settlement;
use crate::simulation::writer::StreamWriter;

/// The backend of a process on an [`Engine`](crate::simulation::Engine), from
/// [`Process::backend`](crate::simulation::Process::backend).
///
/// ```
/// use std::time::Duration;
/// use tornadose::backend::Backend;
///
/// let backend = tornadose::simulation::Engine::new(7).backend().ack_timeout(Duration::from_secs(1));
/// assert_eq!(Backend::ack_timeout(&backend), Duration::from_secs(1));
/// ```
pub struct SimulatedBackend {
    process: ProcessLink,
    ack_timeout: Duration,
    #[cfg(test)]
    mistake: Option<Mistake>,
    #[cfg(test)]
    cannot_read: Option<fn(&[u8]) -> bool>,
}

impl SimulatedBackend {
    pub(super) fn new(process: ProcessLink) -> Self {
        Self {
            process,
            ack_timeout: Duration::from_secs(3),
            #[cfg(test)]
            mistake: None,
            #[cfg(test)]
            cannot_read: None,
        }
    }

    /// Sets how long a submit waits for the engine; 3 s.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let backend = tornadose::simulation::Engine::new(7).backend().ack_timeout(Duration::from_secs(1));
    /// # drop(backend);
    /// ```
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    #[cfg(test)]
    pub(super) fn with_mistake(self, mistake: Option<Mistake>) -> Self {
        Self { mistake, ..self }
    }

    /// Lets this process be of an older version, which cannot read these payloads.
    #[cfg(test)]
    pub(super) fn unable_to_read(self, cannot_read: fn(&[u8]) -> bool) -> Self {
        Self { cannot_read: Some(cannot_read), ..self }
    }
}

impl Backend for SimulatedBackend {
    const SUPPORTS: Features = Features::FINISH
        .with(Features::REMOVE)
        .with(Features::EXPIRE)
        .with(Features::EPHEMERAL)
        .with(Features::SNAPSHOTS);

    fn ack_timeout(&self) -> Duration {
        self.ack_timeout
    }

    fn sender_id(&self) -> Option<String> {
        Some(self.process.engine.next_sender_id())
    }

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        let process = &self.process;
        let kills = process.read(|link| link.kills);
        if !process.read(|link| link.is_connected) {
            return Err(OpenError::new(format!("{} is disconnected from the simulated engine", process.name())));
        }
        let mistakes = Mistakes {
            #[cfg(test)]
            mistake: self.mistake,
            #[cfg(test)]
            cannot_read: self.cannot_read,
        };
        let (settlement, checkpoints) = (Settlement::default(), Checkpoints::default());
        let mut reader = StreamReader::new(process, &link, &settlement, &checkpoints, mistakes);
        let writer = StreamWriter::new(process, &link, &settlement, mistakes);
        let run = async {
            let connection = Connection::open(process).await;
            reader.start(&connection).await?;
            let keeper = SnapshotKeeper::new(process, &link, &checkpoints, mistakes, reader.engine_run());
            tokio::join!(reader.run(), writer.run(), keeper.run());
            Ok(())
        };
        tokio::select! {
            biased;
            () = process.killed(kills) => Err(OpenError::new(format!("{} was killed", process.name()))),
            result = run => result,
        }
    }
}

impl fmt::Debug for SimulatedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedBackend").field("process", &self.process.name()).finish_non_exhaustive()
    }
}
