//! The engine, as a test holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::simulation::backend::SimulatedBackend;
use crate::simulation::link::ProcessLink;
use crate::simulation::process::Process;
use crate::simulation::state::Shared;
use crate::simulation::stream::{Body, Stream};

/// An engine in memory, with a stream of entries and a table of latest values for each channel. A cheap clone: all
/// clones are the same engine.
///
/// Everything that happens is decided by the seed and by the calls of the test. In a runtime with one thread and a
/// paused clock, each run is the same.
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::simulation::Engine;
///
/// #[store(queue)]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(7);
/// let (one, other) = (Store::<Line>::open(engine.backend()).await?, Store::<Line>::open(engine.backend()).await?);
/// let id = one.submit(Line("hi".into())).await?;
/// tokio::time::sleep(std::time::Duration::from_millis(1)).await;
/// assert_eq!(other.head(), id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

/// The streams of an [`Engine`] at one moment, from [`Engine::snapshot`].
#[derive(Clone)]
pub struct Snapshot(BTreeMap<String, Stream>);

impl Engine {
    /// Returns the engine of a process.
    pub(super) fn of(link: &ProcessLink) -> Self {
        Self { shared: Arc::clone(&link.engine) }
    }

    /// Creates an empty engine. The seed decides whatever is not decided by the test: how many turns of the scheduler
    /// each request takes, and what of an interrupted request arrives.
    ///
    /// ```
    /// let engine = tornadose::simulation::Engine::new(7);
    /// # drop(engine);
    /// ```
    pub fn new(seed: u64) -> Self {
        Self { shared: Arc::new(Shared::new(seed)) }
    }

    /// Sets how many entries each stream keeps; 100,000. Zero counts as 1. Of a message type with snapshots it keeps up
    /// to twice as many, until they are in those.
    ///
    /// ```
    /// use tornadose::simulation::Engine;
    ///
    /// let engine = Engine::new(7).history(100);
    /// # drop(engine);
    /// ```
    #[must_use]
    pub fn history(self, entries: usize) -> Self {
        self.shared.lock().history = entries.max(1);
        self
    }

    /// Adds a process, whose stores are opened over [`Process::backend`]. The name appears in errors.
    ///
    /// ```
    /// let process = tornadose::simulation::Engine::new(7).process("web-1");
    /// assert_eq!(process.name(), "web-1");
    /// ```
    pub fn process(&self, name: impl Into<String>) -> Process {
        Process::new(ProcessLink::new(&self.shared, name.into()))
    }

    /// Returns the backend of a process of its own. This is [`process`](Self::process) and [`Process::backend`], for
    /// a process without faults.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), tornadose::backend::OpenError> {
    /// let engine = tornadose::simulation::Engine::new(7);
    /// let store = Store::<Line>::open(engine.backend()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn backend(&self) -> SimulatedBackend {
        let number = self.shared.lock().links.len() + 1;
        self.process(format!("process {number}")).backend()
    }

    /// Appends a message of another program to a channel: JSON, as `serde_json` writes the message's type. Anything
    /// else is an entry that no store can decode.
    ///
    /// ```
    /// # use futures_util::StreamExt;
    /// # use tornadose::{Received, prelude::*};
    /// # #[store(queue, channel = "lines")]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), tornadose::backend::OpenError> {
    /// let engine = tornadose::simulation::Engine::new(7);
    /// let store = Store::<Line>::open(engine.backend()).await?;
    /// let mut lines = store.subscribe();
    /// engine.append_foreign("lines", r#""hi""#);
    /// let Some(Received::Message { message, .. }) = lines.next().await else { panic!("expected a line") };
    /// assert_eq!(message.0, "hi");
    /// # Ok(())
    /// # }
    /// ```
    pub fn append_foreign(&self, channel: &str, payload: impl Into<Vec<u8>>) {
        let body = Body::Message { payload: payload.into(), slot: None, key: None };
        self.shared.change(|state| state.append(self.shared.now(), channel, None, body));
    }

    /// Appends an entry to a channel that is not a message at all, as an `XADD` without the field `data`.
    ///
    /// ```
    /// let engine = tornadose::simulation::Engine::new(7);
    /// engine.append_unreadable("lines");
    /// ```
    pub fn append_unreadable(&self, channel: &str) {
        self.shared.change(|state| state.append(self.shared.now(), channel, None, Body::Unreadable));
    }

    /// Trims the stream of a channel to its newest `kept` entries. Latest values and snapshots stay.
    ///
    /// A process that has not read the trimmed entries, because it was disconnected or delayed, reports a gap.
    ///
    /// ```
    /// let engine = tornadose::simulation::Engine::new(7);
    /// engine.append_foreign("lines", r#""hi""#);
    /// engine.trim("lines", 0);
    /// ```
    pub fn trim(&self, channel: &str, kept: usize) {
        self.shared.change(|state| {
            if let Some(stream) = state.streams.get_mut(channel) {
                stream.trim(kept);
            }
        });
    }

    /// Returns the streams, latest values and snapshots of keys as they are now.
    ///
    /// ```
    /// let engine = tornadose::simulation::Engine::new(7);
    /// let snapshot = engine.snapshot();
    /// engine.append_foreign("lines", r#""lost""#);
    /// engine.restore(&snapshot);
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.shared.lock().streams.clone())
    }

    /// Replaces the streams by an older state, as a failover to a replica that was behind does. What was appended
    /// since the snapshot is lost, whether it was acknowledged or not. Offsets are not given twice.
    ///
    /// A process that has read or acknowledged a lost entry begins a new epoch, and readers receive the gap
    /// `restarted`.
    ///
    /// ```
    /// # use futures_util::StreamExt;
    /// # use tornadose::{GapReason, Received, prelude::*};
    /// # #[store(queue)]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = tornadose::simulation::Engine::new(7);
    /// let store = Store::<Line>::open(engine.backend()).await?;
    /// let mut lines = store.subscribe();
    /// let snapshot = engine.snapshot();
    /// store.submit(Line("acknowledged and lost".into())).await?;
    /// engine.restore(&snapshot);
    /// let gap = lines.next().await;
    /// # let gap = if matches!(gap, Some(Received::Message { .. })) { lines.next().await } else { gap };
    /// assert!(matches!(gap, Some(Received::Gap { reason: GapReason::Restarted, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, snapshot: &Snapshot) {
        self.shared.change(|state| {
            state.streams.clone_from(&snapshot.0);
            state.runs += 1;
        });
    }
}

#[cfg(test)]
impl Engine {
    pub(super) fn epoch(&self, channel: &str) -> crate::id::Epoch {
        self.shared.lock().stream(channel).epoch
    }

    /// Appends an entry of a process of ours that runs another version.
    pub(super) fn append_as(&self, sender_id: &str, number: u64, channel: &str, key: String, payload: Vec<u8>) {
        let (sender, body) = ((sender_id.to_owned(), number), Body::Message { payload, slot: None, key: Some(key) });
        self.shared.change(|state| state.append(self.shared.now(), channel, Some(sender), body));
    }

    /// Returns all entries of the stream that were ever appended, without those that a rollback has lost.
    pub(super) fn appended(&self, channel: &str) -> Vec<crate::simulation::stream::Entry> {
        self.shared.lock().stream(channel).appended.clone()
    }

    /// Returns whether entries were trimmed whether or not snapshots contain them.
    pub(super) fn was_cut(&self, channel: &str) -> bool {
        self.shared.lock().stream(channel).was_cut
    }

    /// Returns the snapshots that are kept, the place, and up to where the stream was trimmed.
    pub(super) fn kept_snapshots(
        &self,
        channel: &str,
    ) -> (
        Vec<crate::backend::snapshots::KeptSnapshot>,
        Option<crate::backend::snapshots::SnapshotPlace>,
        crate::backend::checkpoints::TrimPoint,
    ) {
        let loaded = self.shared.lock().stream(channel).load();
        (loaded.snapshots, loaded.place, loaded.trimmed)
    }

    pub(super) fn newest(&self, channel: &str) -> crate::id::Offset {
        self.shared.lock().stream(channel).newest().offset
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("seed", &self.shared.seed).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("channels", &self.0.keys()).finish()
    }
}
