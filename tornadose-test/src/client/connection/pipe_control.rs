//! Controls the bytes of a client's connections: it stops, splits, slows and cuts them. The present [`Pipe`] asks it.
//!
//! [`Pipe`]: crate::client::connection::pipe::Pipe

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::client::faults::chunks::Chunks;
use crate::client::faults::read_rate::ReadRate;

#[derive(Clone, Default)]
pub(crate) struct PipeControl {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    mode: Mode,
    waiting: Vec<Waker>,
    /// The waker of the reading task, for a cut or half-close, which it cannot see in the bytes.
    reader: Option<Waker>,
    cut: bool,
    half_close: bool,
    chunks: Option<ChunkState>,
    rate: Option<RateState>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    /// The client stops reading, and its writes still pass.
    Stalled,
    /// No bytes pass in either direction.
    Vanished,
}

/// The direction of bytes, from the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// The progress of [`Chunks`], by direction.
struct ChunkState {
    chunks: Chunks,
    passed: [usize; 2],
    /// Whether a chunk has ended, so that a pause is due before the next.
    pause_due: [bool; 2],
    used: bool,
}

struct RateState {
    rate: ReadRate,
    used: bool,
}

impl PipeControl {
    pub(crate) fn stall(&self) {
        self.set_mode(Mode::Stalled);
    }

    pub(crate) fn resume(&self) {
        self.set_mode(Mode::Open);
    }

    pub(crate) fn vanish(&self) {
        self.set_mode(Mode::Vanished);
    }

    /// A word for the status; `None` while bytes pass freely.
    pub(crate) fn status(&self) -> Option<&'static str> {
        match self.lock().mode {
            Mode::Open => None,
            Mode::Stalled => Some("stalled"),
            Mode::Vanished => Some("vanished"),
        }
    }

    /// Breaks off the present connection.
    pub(crate) fn cut(&self) {
        self.lock().cut = true;
        self.wake_all();
    }

    /// Ends the client's sending direction; it still reads.
    pub(crate) fn half_close(&self) {
        self.lock().half_close = true;
        self.wake_all();
    }

    pub(crate) fn set_chunks(&self, chunks: Chunks) {
        self.lock().chunks = Some(ChunkState { chunks, passed: [0; 2], pause_due: [false; 2], used: false });
    }

    pub(crate) fn set_read_rate(&self, rate: ReadRate) {
        self.lock().rate = Some(RateState { rate, used: false });
    }

    /// The faults that were set and have affected no byte.
    pub(crate) fn unused(&self) -> Vec<String> {
        let shared = self.lock();
        let chunks = shared.chunks.as_ref().filter(|state| !state.used).map(|state| state.chunks.to_string());
        let rate = shared.rate.as_ref().filter(|state| !state.used).map(|state| state.rate.to_string());
        chunks.into_iter().chain(rate).collect()
    }

    /// Begins a connection: a cut or half-close of the previous connection ends with it.
    pub(crate) fn start_connection(&self) {
        let mut shared = self.lock();
        (shared.cut, shared.half_close) = (false, false);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    pub(crate) fn wants_half_close(&self) -> bool {
        self.lock().half_close
    }

    pub(crate) fn mark_half_closed(&self) {
        self.lock().half_close = false;
    }

    pub(crate) fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.lock().reader = Some(context.waker().clone());
        self.poll_mode(|mode| mode == Mode::Open, context)
    }

    pub(crate) fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll_mode(|mode| mode != Mode::Vanished, context)
    }

    /// Returns the number of bytes that may pass together: all, or the rest of the present chunk.
    pub(crate) fn poll_chunk_len(&self, direction: Direction, context: &Context<'_>, wanted: usize) -> Poll<usize> {
        let mut shared = self.lock();
        let Some(state) = &mut shared.chunks else { return Poll::Ready(wanted) };
        if std::mem::take(&mut state.pause_due[direction as usize]) {
            // The other side gets to read the last chunk alone.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(wanted.min(state.chunks.len_to_boundary(state.passed[direction as usize])))
    }

    pub(crate) fn record_passed(&self, direction: Direction, count: usize) {
        let mut shared = self.lock();
        if let Some(state) = shared.chunks.as_mut().filter(|_| count > 0) {
            state.passed[direction as usize] += count;
            if state.chunks.is_boundary(state.passed[direction as usize]) {
                state.pause_due[direction as usize] = true;
                state.used = true;
            }
        }
    }

    /// Returns the number of bytes that a slow reader reads at once.
    pub(crate) fn read_limit(&self) -> usize {
        self.lock().rate.as_ref().map_or(usize::MAX, |state| state.rate.read_limit())
    }

    /// Returns the pause of a slow reader after this many bytes.
    pub(crate) fn pause_after(&self, count: usize) -> Option<Duration> {
        let mut shared = self.lock();
        let state = shared.rate.as_mut().filter(|_| count > 0)?;
        state.used = true;
        Some(state.rate.pause_after(count))
    }

    fn set_mode(&self, mode: Mode) {
        let mut shared = self.lock();
        shared.mode = mode;
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn wake_all(&self) {
        let mut shared = self.lock();
        let waiting = std::mem::take(&mut shared.waiting);
        let reader = shared.reader.take();
        drop(shared);
        waiting.into_iter().chain(reader).for_each(Waker::wake);
    }

    fn poll_mode(&self, passes: impl Fn(Mode) -> bool, context: &Context<'_>) -> Poll<()> {
        let mut shared = self.lock();
        // A cut is reported at once, even to a client that does not read.
        if shared.cut || passes(shared.mode) {
            return Poll::Ready(());
        }
        shared.waiting.push(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
