//! A reader's place in a store: resume, snapshot, replay, live, gap, end. Bytes and sockets are the handler's affair.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::message::{Keys, Message};
use crate::store::entry::Run;
use crate::store::id::{Id, Offset};
use crate::store::log::place::{Place, Reading, Start};
use crate::store::readers::{End, Ticket};
use crate::store::shared::{Shared, State};
use crate::store::view::View;

/// A loss, said aloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) missed: Option<u64>,
}

/// Why messages are missing.
///
/// ```
/// assert_eq!(tornadose::GapReason::Lagged.to_string(), "lagged");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// Messages after the reader's id were dropped to make room.
    Trimmed,
    /// The reader was slower than the store can keep messages for it.
    Lagged,
    /// The id is of no place in this life of the store; what follows may repeat what was seen.
    Restarted,
    /// The store could not hear its backend for a while.
    Outage,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trimmed => "trimmed",
            Self::Lagged => "lagged",
            Self::Restarted => "restarted",
            Self::Outage => "outage",
        })
    }
}

/// What a reader has seen before it came.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    Nothing,
    /// The text of an id, as a client sends it.
    UpTo(&'a str),
}

/// What a reader does next.
pub(crate) enum Step<M> {
    Gap(Gap),
    /// Messages; `before` them stands a position of its own. `numbered`: they carry their ids.
    Run {
        before: Option<Id>,
        run: Run<M>,
        numbered: bool,
    },
    /// It has read to its end, which is this position. `opening`: for the first time since it began or lost its place.
    /// It is woken by the next message.
    Wait {
        head: Id,
        opening: bool,
    },
    Ended(End),
}

/// A place in a log, and a seat among its readers.
pub(crate) struct Reader<M: Message> {
    shared: Arc<Shared<M>>,
    ticket: Ticket,
    view: View,
    place: Place,
    gap: Option<Gap>,
    /// Whether the id-only frame at [`Place::unnumbered`] is still to come.
    mark: bool,
    opening: bool,
}

/// What kind of reader a store serves.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) replay: usize,
    /// Whether [`Store::closed`](crate::Store::closed) waits for it.
    pub(crate) connection: bool,
}

impl<M: Message> Reader<M> {
    /// Takes a seat and a place under one lock, so that nothing comes twice or is lost between snapshot and live.
    pub(crate) fn open(shared: &Arc<Shared<M>>, keys: Keys<M::Key>, seen: Seen<'_>, terms: Terms) -> Self {
        let mut state = shared.lock();
        let log = &mut state.log;
        let view = match keys {
            Keys::All => View::All,
            Keys::One(key) => View::One(log.hold(&key)),
            Keys::Set(keys) => {
                let mut named = HashSet::with_capacity(keys.len());
                let once = keys.into_iter().filter(|key| named.insert(key.clone()));
                View::Set(once.map(|key| log.hold(&key)).collect())
            }
        };
        let told = |reason| Some(Gap { reason, missed: None }).filter(|_| M::QUEUED);
        let (place, gap, resumed) = match seen {
            Seen::Nothing => (log.place_new(&view, terms.replay), None, false),
            Seen::UpTo(text) => match text.parse().ok().map(|id: Id| (id.offset, log.start(&view, id))) {
                Some((offset, Start::Resumed)) => (log.place_after(&view, offset), None, true),
                Some((offset, Start::Trimmed)) => (log.place_after(&view, offset), told(GapReason::Trimmed), false),
                Some((_, Start::Restarted)) | None => (log.place_first(&view), told(GapReason::Restarted), false),
            },
        };
        let mark = gap.is_some() || (!resumed && place.unnumbered > Offset::START);
        let end = state.closed.then_some(End::Closed);
        let ticket = state.readers.enter(&view, terms.connection, end);
        drop(state);
        Self { shared: Arc::clone(shared), ticket, view, place, gap, mark, opening: !resumed }
    }

    /// What comes next, without waiting. At the end of what there is, `waker` is kept for the next message.
    pub(crate) fn step(&mut self, waker: &Waker) -> Step<M> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let step = self.step_in(&mut state, waker);
        let discarded = state.log.take_discarded();
        let end = state.readers.end_of(self.ticket);
        drop(state);
        // After unlocking, for a message's own `Drop` may call the store.
        drop(discarded);
        if matches!(step, Step::Wait { .. }) && end.is_some() {
            // It is told where it stands, and then that it has ended, which nobody else will wake it for.
            waker.wake_by_ref();
        }
        step
    }

    fn step_in(&mut self, state: &mut State<M>, waker: &Waker) -> Step<M> {
        state.readers.moves(self.ticket);
        let end = state.readers.end_of(self.ticket);
        if let Some(end) = end.filter(|end| !end.lets_read_on()) {
            return Step::Ended(end);
        }
        if let Some(gap) = self.gap.take() {
            return Step::Gap(gap);
        }
        match state.log.read(&self.view, &mut self.place) {
            Reading::Run { run, numbered } => {
                let before = (numbered && std::mem::take(&mut self.mark)).then(|| state.log.id(self.place.unnumbered));
                Step::Run { before, run, numbered }
            }
            Reading::End => {
                if let (Some(end), false) = (end, self.opening) {
                    return Step::Ended(end);
                }
                state.readers.wait(self.ticket, waker, true);
                self.mark = false;
                Step::Wait { head: state.log.head(), opening: std::mem::take(&mut self.opening) }
            }
            Reading::Lagged { missed } => {
                self.place = state.log.place_after_loss(&self.view, &self.place);
                self.mark = true;
                self.opening = true;
                Step::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) })
            }
        }
    }

    /// Ends the reader from elsewhere.
    pub(crate) fn ender(&self) -> impl Fn(End) + Send + Sync + use<M> {
        let (shared, ticket) = (Arc::clone(&self.shared), self.ticket);
        move |end| {
            let waker = shared.lock().readers.end(ticket, end);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Notes that its connection still takes what it was given.
    pub(crate) fn moves(&self) {
        self.shared.lock().readers.moves(self.ticket);
    }

    /// Since when the reader has not come for what it is owed, to be asked from elsewhere.
    pub(crate) fn owed_since(&self) -> impl Fn() -> Option<Instant> + Send + Sync + use<M> {
        let (shared, ticket) = (Arc::clone(&self.shared), self.ticket);
        move || shared.lock().readers.owed_since(ticket)
    }

    /// Why the reader has ended, read to its end or not. Has `waker` woken at its end: who cannot take a message now need
    /// not hear of every one.
    pub(crate) fn wait_for_end(&self, waker: &Waker) -> Option<End> {
        let mut state = self.shared.lock();
        let end = state.readers.end_of(self.ticket);
        if end.is_none() {
            state.readers.wait(self.ticket, waker, false);
        }
        end
    }
}

impl<M: Message> Drop for Reader<M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.readers.leave(&self.view, self.ticket);
        for &topic in self.view.topics() {
            state.log.release(topic);
        }
        let last = state.closed && state.readers.connections() == 0;
        drop(state);
        if last {
            self.shared.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod model;
