//! A reader's place in a store: resume, snapshot, replay, live, gap, end. Bytes and sockets are the handler's affair.

pub(crate) mod mailbox;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::id::{Id, Offset};
use crate::message::{Keys, Message};
use crate::metrics::{self, Deliveries};
use crate::store::entry::{Entry, Run};
use crate::store::ledger::{Amount, Balance, Ledger};
use crate::store::log::Log;
use crate::store::log::cursor::{Place, Reading, Start};
use crate::store::log::gaps::Cause;
use crate::store::log::merge::View;
use crate::store::reader::mailbox::{Call, Rest};
use crate::store::registry::{End, Ticket};
use crate::store::shared::{Shared, State};

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
        f.write_str(self.name())
    }
}

impl GapReason {
    fn name(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Lagged => "lagged",
            Self::Restarted => "restarted",
            Self::Outage => "outage",
        }
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
    /// The log has not come as far as the id that the reader came with. It is woken when it has, or when that takes too long.
    Hold,
    Ended(End),
}

/// A place in a log, and a seat among its readers. What each message touches stands first, in few cache lines; the structs around a
/// reader are laid out for that too.
#[repr(C)]
pub(crate) struct Reader<M: Message> {
    following: Following<M>,
    view: View,
    shared: Arc<Shared<M>>,
    ticket: Ticket,
    place: Place,
    /// What it is to be told before all else.
    gap: Option<GapReason>,
    /// Whether the id-only frame at [`Place::unnumbered`] is still to come.
    mark: bool,
    opening: bool,
    /// What became of the id that it came with.
    start: Option<Start>,
    /// The id that is still to be judged.
    awaited: Option<Box<Awaited>>,
    ledger: Ledger,
    deliveries: Deliveries,
}

/// A reader that has read all there was, as it reads on. What it reads so is brought into the books before they are asked for.
struct Following<M> {
    rest: Arc<Rest<M>>,
    /// Who is woken for it.
    waker: Option<Waker>,
    /// Where it will stand once it has written what it was handed, and when it last read.
    head: Id,
    moved: Instant,
    /// What it has read, and what of all it has read was delivered, since the books were last kept.
    read: Amount,
    delivered: u64,
}

impl<M> Following<M> {
    fn is_woken_by(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker))
    }
}

/// What a reader came with.
enum Came {
    New,
    With(Id),
    /// With a text that is no id.
    Lost,
}

/// A reader that is not placed yet: the log is being loaded, or another process has given out its id, whose message may be on its
/// way here.
struct Awaited {
    came: Came,
    replay: usize,
    /// When that takes too long; nothing while the backend cannot be reached.
    too_late: Option<Pin<Box<Sleep>>>,
}

/// How long an id may take to come, while the backend can be reached.
const PATIENCE: Duration = Duration::from_secs(2);

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
        let came = match seen {
            Seen::Nothing => Came::New,
            Seen::UpTo(text) => text.parse().map_or(Came::Lost, Came::With),
        };
        let end = state.closed.then_some(End::Closed);
        let rest = Arc::new(Rest::new());
        let ticket = state.readers.enter(&view, terms.connection, end, &rest);
        // Until it is placed it stands at the head, and is owed what comes.
        let place = state.log.place_after(&view, state.log.head().offset);
        let ledger = Ledger::open(state.log.came(&view), state.log.left(&view, &place));
        let mut reader = Self {
            shared: Arc::clone(shared),
            ticket,
            view,
            place,
            gap: None,
            mark: false,
            opening: true,
            start: None,
            awaited: None,
            ledger,
            deliveries: Deliveries::open(),
            following: Following {
                rest,
                waker: None,
                head: state.log.head(),
                moved: Instant::now(),
                read: Amount::default(),
                delivered: 0,
            },
        };
        if state.loading || matches!(came, Came::With(id) if state.log.may_come_to(id)) {
            reader.start = Some(Start::Awaited).filter(|_| !matches!(came, Came::New));
            reader.awaited = Some(Box::new(Awaited { came, replay: terms.replay, too_late: None }));
        } else {
            reader.begins(&state.log, &came, terms.replay);
        }
        drop(state);
        if let Some(start) = reader.start {
            metrics::resumed(start.name());
        }
        reader
    }

    /// Takes its place, by what the log knows of its id.
    fn begins(&mut self, log: &Log<M>, came: &Came, replay: usize) {
        let told = |reason| Some(reason).filter(|_| M::HAS_QUEUE);
        let view = &self.view;
        (self.place, self.start) = match came {
            Came::New => (log.place_new(view, replay), None),
            Came::Lost => (log.place_first(view), Some(Start::Restarted)),
            Came::With(id) => match log.start(view, *id) {
                Start::Restarted => (log.place_first(view), Some(Start::Restarted)),
                start => (log.place_after(view, id.offset), Some(start)),
            },
        };
        self.gap = match self.start {
            Some(Start::Trimmed) => told(GapReason::Trimmed),
            Some(Start::Restarted) => told(GapReason::Restarted),
            _ => None,
        };
        let resumed = matches!(self.start, Some(Start::Resumed));
        let mark = self.gap.is_some() || (!resumed && self.place.unnumbered > Offset::START);
        self.mark = mark && log.may_mark(&self.place);
        self.opening = !resumed;
        self.ledger = Ledger::open(log.came(view), log.left(view, &self.place));
    }

    /// Takes its place when the log has come as far as its id, or that takes too long. False while it is to wait.
    fn arrives(&mut self, state: &mut State<M>, waker: &Waker) -> bool {
        if state.loading {
            state.readers.wait(self.ticket, waker, false);
            return false;
        }
        let Some(awaited) = &mut self.awaited else { return true };
        if let Came::With(id) = awaited.came
            && state.log.may_come_to(id)
            && !awaited.is_too_late(state.reachable, waker)
        {
            state.readers.wait(self.ticket, waker, false);
            state.readers.wait_until(self.ticket, id.offset);
            return false;
        }
        if let Some(awaited) = self.awaited.take() {
            self.begins(&state.log, &awaited.came, awaited.replay);
        }
        true
    }

    /// How many keys it reads; nothing when it reads all.
    pub(crate) fn keys(&self) -> Option<usize> {
        (!matches!(self.view, View::All)).then(|| self.view.topics().len())
    }

    /// What the log knew of the id that it came with; nothing when it came without.
    pub(crate) fn start(&self) -> Option<Start> {
        self.start
    }

    /// Notes that so many messages that it read were handed out to be written.
    pub(crate) fn delivers(&mut self, messages: usize) {
        self.following.delivered += messages as u64;
    }

    /// Has the counters hear of what was delivered and filtered.
    pub(crate) fn reports(&mut self) {
        if cfg!(feature = "metrics") {
            self.keeps_books();
            self.deliveries.report(self.ledger.delivered, self.ledger.filtered);
        }
    }

    /// Brings into the books what was read live.
    fn keeps_books(&mut self) {
        (self.place, self.ledger) = self.books();
        (self.following.read, self.following.delivered) = (Amount::default(), 0);
    }

    /// The books as they would be kept now.
    fn books(&self) -> (Place, Ledger) {
        let (mut place, mut ledger) = (self.place.clone(), self.ledger.clone());
        let Following { head, read, delivered, .. } = self.following;
        if read != Amount::default() {
            place.passes(head.offset, read.queue);
            ledger.reads(read);
        }
        ledger.delivered += delivered;
        (place, ledger)
    }

    /// Notes that a message that it read is withheld.
    pub(crate) fn filters(&mut self) {
        self.ledger.filtered += 1;
    }

    /// What has become of what it was owed.
    pub(crate) fn balance(&self) -> Balance {
        self.balance_in(&self.shared.lock())
    }

    fn balance_in(&self, state: &State<M>) -> Balance {
        let (place, ledger) = self.books();
        ledger.balance(state.log.came(&self.view), state.log.left(&self.view, &place))
    }

    /// Whether nothing has come since it was handed all there was; found without the store's lock.
    pub(crate) fn rests(&self, waker: &Waker) -> bool {
        self.following.is_woken_by(waker) && self.following.rest.comes_for_more()
    }

    /// Where it stands, when it has read to its end.
    pub(crate) fn head(&self) -> Id {
        self.following.head
    }

    /// What comes next, without waiting. At the end of what there is, `waker` is kept for the next message.
    pub(crate) fn step(&mut self, waker: &Waker) -> Step<M> {
        self.reports();
        if self.rests(waker) {
            return Step::Wait { head: self.following.head, opening: false };
        }
        match self.step_live(waker) {
            Some(entry) => Step::Run { before: None, run: Run::One(entry), numbered: true },
            None => self.step_any(waker),
        }
    }

    /// As `step`, for who was told by `step_live` that it is not so simple. It finds anew where the reader stands, though nothing
    /// of its keys has come.
    pub(crate) fn step_any(&mut self, waker: &Waker) -> Step<M> {
        drop(self.following.rest.take_stale());
        self.keeps_books();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let awaits = self.awaited.is_some();
        let step = self.step_in(&mut state, waker);
        let discarded = state.log.take_discarded();
        let end = state.readers.end_of(self.ticket);
        drop(state);
        // After unlocking, for a message's own `Drop` may call the store.
        drop(discarded);
        if let (true, None, Some(start)) = (awaits, &self.awaited, self.start) {
            metrics::resumed(start.name());
        }
        if let Step::Gap(gap) = &step {
            metrics::gap(gap.reason.name(), gap.missed.unwrap_or(0));
        }
        if matches!(step, Step::Wait { .. }) && end.is_some() {
            // It is told where it stands, and then that it has ended, which nobody else will wake it for.
            waker.wake_by_ref();
        }
        step
    }

    /// The one message that is new, for a reader that has read all before it: what most steps are. It was handed over when it was
    /// submitted, and the store is not locked for it.
    pub(crate) fn step_live(&mut self, waker: &Waker) -> Option<Arc<Entry<M>>> {
        let following = &mut self.following;
        if !following.is_woken_by(waker) {
            return None;
        }
        let (entry, moved) = following.rest.take_news(waker)?;
        following.read += Amount::of(entry.retention);
        (following.head, following.moved) = (entry.id, moved);
        Some(entry)
    }

    /// When it last read.
    pub(crate) fn moved(&self) -> Instant {
        self.following.moved
    }

    /// A waker for one who calls the reader's task. That it called is noted.
    pub(crate) fn caller(&self, by: Call) -> Waker {
        self.following.rest.caller(by)
    }

    /// Whether its task was called by this one.
    #[inline]
    pub(crate) fn is_called(&self, by: Call) -> bool {
        self.following.rest.is_called(by)
    }

    /// As `is_called`, and takes the call.
    #[inline]
    pub(crate) fn take_call(&self, by: Call) -> bool {
        self.following.rest.take_call(by)
    }

    fn step_in(&mut self, state: &mut State<M>, waker: &Waker) -> Step<M> {
        self.following.moved = state.readers.moves(self.ticket);
        let end = state.readers.end_of(self.ticket);
        if let Some(end) = end.filter(|end| !end.lets_read_on()) {
            return Step::Ended(end);
        }
        if !self.arrives(state, waker) {
            // What is ended while it waits comes back with the same id, perhaps to a process that knows it.
            return end.map_or(Step::Hold, Step::Ended);
        }
        if let Some(reason) = self.gap.take() {
            return Step::Gap(Gap { reason, missed: None });
        }
        self.read_in(state, end, waker)
    }

    fn read_in(&mut self, state: &mut State<M>, end: Option<End>, waker: &Waker) -> Step<M> {
        match state.log.read(&self.view, &mut self.place) {
            Reading::Run { run, numbered, amount } => {
                self.ledger.reads(amount);
                let before = (numbered && std::mem::take(&mut self.mark)).then(|| state.log.id(self.place.unnumbered));
                if end.is_none() && !self.opening && !self.mark && state.log.ends_at(&self.place) {
                    self.is_handed_all(state, waker);
                }
                Step::Run { before, run, numbered }
            }
            Reading::End => {
                if let (Some(end), false) = (end, self.opening) {
                    return Step::Ended(end);
                }
                state.readers.wait(self.ticket, waker, true);
                self.mark = false;
                self.following.head = state.log.head();
                Step::Wait { head: self.following.head, opening: std::mem::take(&mut self.opening) }
            }
            Reading::Lagged { missed } => {
                self.ledger.misses(missed);
                self.place = state.log.place_after_loss(&self.view, &self.place);
                self.loses(&state.log);
                Step::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) })
            }
            Reading::Breach { cause, missed } => {
                self.ledger.misses_unseen(missed.unwrap_or(0));
                self.opening = true;
                let reason = match cause {
                    Cause::Trimmed => GapReason::Trimmed,
                    Cause::Outage => GapReason::Outage,
                };
                if M::HAS_QUEUE { Step::Gap(Gap { reason, missed }) } else { self.read_in(state, end, waker) }
            }
            Reading::Restarted => {
                // What it had not read of the former life is gone, told or not.
                let place = state.log.place_first(&self.view);
                self.ledger.misses(place.settled.saturating_sub(self.place.settled));
                self.place = place;
                self.loses(&state.log);
                let gap = Gap { reason: GapReason::Restarted, missed: None };
                if M::HAS_QUEUE { Step::Gap(gap) } else { self.read_in(state, end, waker) }
            }
        }
    }

    /// Notes under this lock that it was handed all there is: when it comes for more it need not be taken again.
    fn is_handed_all(&mut self, state: &mut State<M>, waker: &Waker) {
        state.readers.hands_all(self.ticket, state.log.turn(), waker);
        self.following.head = state.log.head();
        if !self.following.is_woken_by(waker) {
            self.following.waker = Some(waker.clone());
        }
    }

    /// What follows begins like a snapshot, with the position above which ids are written.
    fn loses(&mut self, log: &Log<M>) {
        self.mark = log.may_mark(&self.place);
        self.opening = true;
    }

    /// The reader as it is reached from elsewhere.
    pub(crate) fn remote(&self) -> RemoteReader<M> {
        RemoteReader { shared: Arc::clone(&self.shared), ticket: self.ticket }
    }

    /// Notes that its connection still takes what it was given.
    pub(crate) fn moves(&self) {
        self.shared.lock().readers.moves(self.ticket);
    }

    /// Why the reader has ended, read to its end or not. Has `waker` woken at its end: who cannot take a message now need
    /// not hear of every one.
    pub(crate) fn wait_for_end(&self, waker: &Waker) -> Option<End> {
        drop(self.following.rest.take_stale());
        let mut state = self.shared.lock();
        let end = state.readers.end_of(self.ticket);
        // One that may read on does so when it can, for which its socket calls it.
        if end.is_none_or(End::lets_read_on) {
            state.readers.wait(self.ticket, waker, false);
        }
        end
    }
}

/// A reader, or one that has left, in the hands of another.
pub(crate) struct RemoteReader<M: Message> {
    shared: Arc<Shared<M>>,
    ticket: Ticket,
}

impl<M: Message> RemoteReader<M> {
    pub(crate) fn end(&self, end: End) {
        let waker = self.shared.lock().readers.end(self.ticket, end);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Since when the reader has not come for what it is owed.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        self.shared.lock().readers.owed_since(self.ticket)
    }
}

impl Awaited {
    /// Whether it has been waited for long enough. Has `waker` woken when it has.
    fn is_too_late(&mut self, reachable: bool, waker: &Waker) -> bool {
        if !reachable {
            self.too_late = None;
            return false;
        }
        let too_late = self.too_late.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        too_late.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    }
}

impl<M: Message> Drop for Reader<M> {
    fn drop(&mut self) {
        self.reports();
        let mut state = self.shared.lock();
        let balance = cfg!(feature = "metrics").then(|| self.balance_in(&state));
        state.readers.leave(&self.view, self.ticket);
        for &topic in self.view.topics() {
            state.log.release(topic);
        }
        let last = state.closed && state.readers.connections() == 0;
        drop(state);
        if let Some(balance) = balance {
            metrics::conflated(balance.conflated);
        }
        if last {
            self.shared.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod model;
