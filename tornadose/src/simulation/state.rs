//! The state of the engine: its streams, the connections of its processes, and the clock that orders what it appends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::id::{Epoch, Offset};
use crate::simulation::random::Random;
use crate::simulation::stream::{Body, Finish, Stream};

/// How many entries a stream keeps unless it is set.
const HISTORY: usize = 100_000;

/// The state that all handles of an engine share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Notified after every change of the state. Not a `watch` channel, whose receivers wake in an order by chance.
    changed: Notify,
    pub(super) seed: u64,
    started: Instant,
}

pub(super) struct State {
    pub(super) random: Random,
    pub(super) links: Vec<LinkState>,
    pub(super) streams: BTreeMap<String, Stream>,
    pub(super) history: usize,
    /// How many stores were opened.
    senders: u64,
    /// How often the engine was restored. Redis has a new `run_id` then.
    pub(super) runs: u64,
    /// The newest offset of all streams. It does not go back when a snapshot is restored, as time does not.
    newest: Offset,
}

/// The state of a process' connections.
pub(super) struct LinkState {
    pub(super) name: String,
    pub(super) is_connected: bool,
    /// How often the connections were lost.
    pub(super) cuts: u64,
    /// How often the process was killed.
    pub(super) kills: u64,
    pub(super) delay: Duration,
    pub(super) refusal: Option<String>,
    pub(super) next_append: AppendFault,
    /// How often entries were to be delivered again.
    pub(super) redeliveries: u64,
}

/// The fault of the next append of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppendFault {
    None,
    LoseRequest,
    LoseReply,
    /// Some of its messages are appended, and the reply is lost.
    Interrupt,
    Duplicate,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            links: Vec::new(),
            streams: BTreeMap::new(),
            history: HISTORY,
            senders: 0,
            runs: 0,
            newest: Offset::START,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), seed, started: Instant::now() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Returns the id of a new sender, which the seed decides.
    pub(super) fn next_sender_id(&self) -> String {
        let mut state = self.lock();
        state.senders += 1;
        Epoch::of_bits(Random::new(self.seed.rotate_left(32) ^ state.senders).next()).to_string()
    }

    /// Waits until the state passes a test.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has no effect.
    pub(super) async fn wait_for<T>(&self, mut test: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(result) = test(&mut self.lock()) {
                return result;
            }
            changed.await;
        }
    }

    /// Returns the engine's clock, in milliseconds. It begins at 1, so that no offset is 0.
    pub(super) fn now(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl State {
    /// Returns the stream of a channel, which is created when it does not exist.
    pub(super) fn stream(&mut self, channel: &str) -> &mut Stream {
        if !self.streams.contains_key(channel) {
            let epoch = Epoch::of_bits(self.random.next());
            self.streams.insert(channel.to_owned(), Stream::new(epoch, self.runs));
        }
        self.streams.get_mut(channel).expect("it was inserted")
    }

    /// Appends an entry to a channel, and returns its offset.
    pub(super) fn append(&mut self, now: u64, channel: &str, sender: Option<(String, u64)>, body: Body) -> Offset {
        let (offset, history) = (Offset::new(now, 0).max(self.newest.next()), self.history);
        self.newest = offset;
        self.stream(channel).append(offset, sender, body, history);
        offset
    }

    /// Finishes a key at an offset of its own.
    pub(super) fn finish(
        &mut self,
        now: u64,
        channel: &str,
        key: String,
        by: (String, u64),
        message: Option<Offset>,
    ) -> Offset {
        // A finish alone is acknowledged by its own offset.
        let sender = message.is_none().then(|| by.clone());
        let offset = self.append(now, channel, sender, Body::Finish { key: key.clone() });
        let appended = message.unwrap_or(offset);
        self.stream(channel).finishes.insert(key, Finish { offset, by, appended });
        appended
    }

    /// Begins a new epoch of a channel, unless another process has.
    pub(super) fn change_epoch(&mut self, channel: &str, old: Epoch) {
        let epoch = Epoch::of_bits(self.random.next());
        let run = self.runs;
        let stream = self.stream(channel);
        if stream.epoch == old {
            (stream.epoch, stream.epoch_run) = (epoch, run);
        }
    }
}

impl LinkState {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            is_connected: true,
            cuts: 0,
            kills: 0,
            delay: Duration::ZERO,
            refusal: None,
            next_append: AppendFault::None,
            redeliveries: 0,
        }
    }

    pub(super) fn is_lost(&self, connection: u64) -> bool {
        !self.is_connected || self.cuts != connection
    }

    /// Takes the fault of this append. One that loses the reply breaks the connections.
    pub(super) fn take_append_fault(&mut self) -> AppendFault {
        let fault = std::mem::replace(&mut self.next_append, AppendFault::None);
        if !matches!(fault, AppendFault::None | AppendFault::Duplicate) {
            self.cuts += 1;
        }
        fault
    }
}
