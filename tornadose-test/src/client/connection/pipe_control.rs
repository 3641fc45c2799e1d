//! What slows, splits or stops the bytes of a client's connections; the pipe of the moment asks it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::client::faults::{Chunks, ReadRate};

/// Stops and lets go what flows through a client's [`Pipe`](crate::client::connection::pipe::Pipe).
#[derive(Clone, Default)]
pub(crate) struct Valve {
    flow: Arc<Mutex<Flow>>,
}

#[derive(Default)]
struct Flow {
    state: State,
    waiting: Vec<Waker>,
    /// Who reads, to be told of what it cannot see in the bytes.
    reader: Option<Waker>,
    cut: bool,
    half_close: bool,
    chunks: Option<Splitting>,
    rate: Option<(ReadRate, bool)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The client reads no more, what it writes still goes out.
    Stalled,
    /// Nothing goes in or out.
    Vanished,
}

/// Which way bytes go, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Chunks in the making: how far each way has come, and whether it pauses between two pieces.
struct Splitting {
    chunks: Chunks,
    passed: [usize; 2],
    paused: [bool; 2],
    used: bool,
}

impl Valve {
    pub(crate) fn stall(&self) {
        self.set(State::Stalled);
    }

    pub(crate) fn resume(&self) {
        self.set(State::Open);
    }

    pub(crate) fn vanish(&self) {
        self.set(State::Vanished);
    }

    /// A word for where it stands, when it does not stand open.
    pub(crate) fn standing(&self) -> Option<&'static str> {
        match self.lock().state {
            State::Open => None,
            State::Stalled => Some("stalled"),
            State::Vanished => Some("vanished"),
        }
    }

    /// The connection of the moment breaks off.
    pub(crate) fn cut(&self) {
        self.lock().cut = true;
        self.stir();
    }

    /// The client says that it will send no more, and reads on.
    pub(crate) fn half_close(&self) {
        self.lock().half_close = true;
        self.stir();
    }

    pub(crate) fn split(&self, chunks: Chunks) {
        self.lock().chunks = Some(Splitting { chunks, passed: [0; 2], paused: [false; 2], used: false });
    }

    pub(crate) fn slow(&self, rate: ReadRate) {
        self.lock().rate = Some((rate, false));
    }

    /// What was asked for and has touched no byte.
    pub(crate) fn unused(&self) -> Vec<String> {
        let flow = self.lock();
        let chunks = flow.chunks.as_ref().filter(|splitting| !splitting.used).map(|splitting| &splitting.chunks);
        let rate = flow.rate.as_ref().filter(|(_, used)| !used).map(|(rate, _)| rate);
        chunks.map(ToString::to_string).into_iter().chain(rate.map(ToString::to_string)).collect()
    }

    /// A connection begins: what was meant for the last one is over.
    pub(crate) fn connected(&self) {
        let mut flow = self.lock();
        (flow.cut, flow.half_close) = (false, false);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    pub(crate) fn wants_half_close(&self) -> bool {
        self.lock().half_close
    }

    pub(crate) fn half_closed(&self) {
        self.lock().half_close = false;
    }

    pub(crate) fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.lock().reader = Some(context.waker().clone());
        self.poll(|state| state == State::Open, context)
    }

    pub(crate) fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(|state| state != State::Vanished, context)
    }

    /// How many bytes may pass together: all, or as many as the next piece has.
    pub(crate) fn poll_piece(&self, way: Direction, context: &Context<'_>, wanted: usize) -> Poll<usize> {
        let mut flow = self.lock();
        let Some(splitting) = &mut flow.chunks else { return Poll::Ready(wanted) };
        if std::mem::take(&mut splitting.paused[way as usize]) {
            // The other side gets to see the last piece alone.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(wanted.min(splitting.chunks.room(splitting.passed[way as usize])))
    }

    /// Takes note of what has passed.
    pub(crate) fn passed(&self, way: Direction, count: usize) {
        let mut flow = self.lock();
        if let Some(splitting) = flow.chunks.as_mut().filter(|_| count > 0) {
            splitting.passed[way as usize] += count;
            if splitting.chunks.ends_at(splitting.passed[way as usize]) {
                splitting.paused[way as usize] = true;
                splitting.used = true;
            }
        }
    }

    /// How many bytes a slow reader takes at once.
    pub(crate) fn at_once(&self) -> usize {
        self.lock().rate.as_ref().map_or(usize::MAX, |(rate, _)| rate.at_once())
    }

    /// How long a slow reader pauses after so many bytes.
    pub(crate) fn pause_after(&self, count: usize) -> Option<Duration> {
        let mut flow = self.lock();
        let (rate, used) = flow.rate.as_mut().filter(|_| count > 0)?;
        *used = true;
        Some(rate.pause_after(count))
    }

    fn set(&self, state: State) {
        let mut flow = self.lock();
        flow.state = state;
        let waiting = std::mem::take(&mut flow.waiting);
        drop(flow);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn stir(&self) {
        let mut flow = self.lock();
        let waiting = std::mem::take(&mut flow.waiting);
        let reader = flow.reader.take();
        drop(flow);
        waiting.into_iter().chain(reader).for_each(Waker::wake);
    }

    fn poll(&self, lets_through: impl Fn(State) -> bool, context: &Context<'_>) -> Poll<()> {
        let mut flow = self.lock();
        // Who is cut off is told at once, whether it reads or not.
        if flow.cut || lets_through(flow.state) {
            return Poll::Ready(());
        }
        flow.waiting.push(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
