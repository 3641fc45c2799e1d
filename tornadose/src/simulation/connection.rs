//! Requests of a process to the engine: each takes its way there and back, and may be lost on either.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

use crate::simulation::link::ProcessLink;
use crate::simulation::state::State;

/// How long a reply may take.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most turns of the scheduler that a request or a reply takes.
const TURNS_MAX: u64 = 3;

/// One connection of a process to the engine.
pub(super) struct Connection<'a> {
    process: &'a ProcessLink,
    number: u64,
}

/// The reason why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Lost,
    /// No reply arrived in time.
    Timeout,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "connection lost",
            Self::Timeout => "no reply in time",
        })
    }
}

impl<'a> Connection<'a> {
    /// Waits until the engine accepts a connection.
    pub(super) async fn open(process: &'a ProcessLink) -> Self {
        Self { process, number: process.connected().await }
    }

    /// Executes a request at the engine, and returns its reply.
    pub(super) async fn call<T>(
        &self,
        limit: Duration,
        request: impl FnOnce(&mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let reply = async {
            self.travel().await?;
            let reply = self.process.engine.change(request)?;
            self.travel().await?;
            Ok(reply)
        };
        timeout(limit, reply).await.unwrap_or(Err(Fault::Timeout))
    }

    /// Takes one way between the process and the engine. The seed decides how many turns it takes, so that requests
    /// of different processes arrive in different orders.
    async fn travel(&self) -> Result<(), Fault> {
        let turns = self.process.engine.lock().random.below(TURNS_MAX + 1);
        let delay = self.process.read(|link| link.delay);
        let travel = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        };
        tokio::select! {
            biased;
            fault = self.lost() => Err(fault),
            () = travel => Ok(()),
        }
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) -> Fault {
        self.process.lost(self.number).await;
        Fault::Lost
    }
}
