//! The cuts of a client that have not been made yet, and the progress of its connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::faults::cut::{Cut, CutTarget};

#[derive(Clone, Default)]
pub(crate) struct ArmedCuts {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    armed: Vec<Cut>,
    /// The bytes and the whole events of the connection so far.
    bytes: usize,
    events: usize,
}

impl ArmedCuts {
    /// Arms a cut. The error is a failure: the connection has passed the place of the cut.
    pub(crate) fn arm(&self, cut: Cut) -> Result<(), String> {
        let mut state = self.lock();
        let is_passed = match cut.0 {
            CutTarget::Byte(byte) => byte <= state.bytes && state.bytes > 0,
            CutTarget::Inside(nth) | CutTarget::After(nth) => nth <= state.events,
        };
        if is_passed {
            let (bytes, events) = (state.bytes, state.events);
            return Err(format!(
                "the {cut} is too late: {bytes} bytes of the stream have arrived, with {events} whole events; to cut the \
                 beginning of a stream, give the fault to `app.client(…)` before it opens"
            ));
        }
        state.armed.push(cut);
        Ok(())
    }

    /// The cuts that have not been made.
    pub(crate) fn unused(&self) -> Vec<String> {
        self.lock().armed.iter().map(ToString::to_string).collect()
    }

    /// Removes a cut with this target; returns whether there was one.
    pub(crate) fn take(&self, target: CutTarget) -> bool {
        let mut state = self.lock();
        let found = state.armed.iter().position(|cut| cut.0 == target);
        found.map(|index| state.armed.remove(index)).is_some()
    }

    pub(crate) fn is_armed(&self, target: CutTarget) -> bool {
        self.lock().armed.iter().any(|cut| cut.0 == target)
    }

    pub(crate) fn set_progress(&self, bytes: usize, events: usize) {
        let mut state = self.lock();
        (state.bytes, state.events) = (bytes, events);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
