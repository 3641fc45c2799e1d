//! Random faults, over a span of virtual time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::simulation::engine::{Engine, Snapshot};
use crate::simulation::process::Process;
use crate::simulation::random::Random;

/// The longest time between two faults.
const PAUSE_MS_MAX: u64 = 400;

/// The longest delay. It leaves time for a reply within the timeouts.
const DELAY_MS_MAX: u64 = 900;

/// A plan of random faults, decided by its seed: lost connections, delays, refusals, unknown outcomes and entries that
/// arrive twice. A good backend survives all of them without a loss.
///
/// ```
/// use std::time::Duration;
///
/// use tornadose::prelude::*;
/// use tornadose::simulation::{Checker, Engine, Faults};
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(u32);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for seed in 0..10 {
///     let (engine, checker) = (Engine::new(seed), Checker::new());
///     let processes = [engine.process("one"), engine.process("two")];
///     let one = Store::<Line>::open(processes[0].backend()).await?;
///     let two = Store::<Line>::open(processes[1].backend()).await?;
///     checker.watch("ada at one", &one);
///     checker.watch("bob at two", &two);
///     let submits = async {
///         for number in 0..50 {
///             // It may fail, and is checked too.
///             checker.submit(&one, Line(number)).await.ok();
///             tokio::time::sleep(Duration::from_millis(100)).await;
///         }
///     };
///     tokio::join!(submits, Faults::random(seed).inject(&processes, Duration::from_secs(5)));
///     tokio::time::sleep(Duration::from_secs(10)).await;
///     checker.check()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    random: Random,
    trimmed_channel: Option<String>,
}

impl Faults {
    /// Creates the plan of this seed.
    ///
    /// ```
    /// let faults = tornadose::simulation::Faults::random(7);
    /// # drop(faults);
    /// ```
    pub fn random(seed: u64) -> Self {
        Self { random: Random::new(seed), trimmed_channel: None }
    }

    /// Adds faults that lose messages of this channel: unread entries are trimmed, the engine goes back to an older
    /// state, and other programs append what is not a message. Readers are told of each loss.
    ///
    /// ```
    /// let faults = tornadose::simulation::Faults::random(7).with_losses("lines");
    /// # drop(faults);
    /// ```
    #[must_use]
    pub fn with_losses(mut self, channel: impl Into<String>) -> Self {
        self.trimmed_channel = Some(channel.into());
        self
    }

    /// Injects faults into these processes of one engine for so long, in virtual time, and then undoes them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the faults that last as they are: undo them with [`Process::heal`].
    ///
    /// ```
    /// use tornadose::simulation::{Engine, Faults};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let process = Engine::new(7).process("web-1");
    /// Faults::random(7).inject(&[process], std::time::Duration::from_secs(60)).await;
    /// # }
    /// ```
    pub async fn inject(mut self, processes: &[Process], duration: Duration) {
        let end = Instant::now() + duration;
        let mut snapshot = None;
        while let Some(process) = processes.get(self.random.index(processes.len())) {
            let pause = Duration::from_millis(self.random.below(PAUSE_MS_MAX));
            if Instant::now() + pause >= end {
                break;
            }
            sleep(pause).await;
            match &self.trimmed_channel {
                Some(channel) if self.random.below(4) == 0 => {
                    lose(&mut self.random, &Engine::of(&process.link), channel, &mut snapshot);
                }
                _ => disturb(&mut self.random, process),
            }
        }
        processes.iter().for_each(Process::heal);
    }
}

/// Injects a fault that loses nothing, or undoes one.
fn disturb(random: &mut Random, process: &Process) {
    match random.below(11) {
        0 | 1 => process.disconnect(),
        2 => process.delay(Duration::from_millis(random.below(DELAY_MS_MAX))),
        3 => process.refuse("OOM command not allowed when used memory > 'maxmemory'."),
        4 => process.lose_next_request(),
        5 => process.lose_next_reply(),
        6 => process.interrupt_next_append(),
        7 => process.duplicate_next_append(),
        8 => process.deliver_again(),
        _ => process.heal(),
    }
}

/// Injects a fault that loses messages.
fn lose(random: &mut Random, engine: &Engine, channel: &str, snapshot: &mut Option<Snapshot>) {
    match (random.below(5), snapshot.as_ref()) {
        (0 | 1, _) => engine.trim(channel, random.index(4)),
        (2, _) => engine.append_unreadable(channel),
        (3, Some(snapshot)) => engine.restore(snapshot),
        _ => *snapshot = Some(engine.snapshot()),
    }
}
