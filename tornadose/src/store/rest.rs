//! What passes between a store and one of its readers without the store's lock: whether there is anything new, and, for a reader that
//! has read all before it, the one message that is. What else there is to read is asked of the log, under the lock.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::time::Instant;

use crate::store::entry::Entry;

/// There may be something new, for which the log must be asked.
const AWAKE: u8 = 0;
/// It was handed all there is, and has not come for more.
const HANDED: u8 = 1;
/// It has come for more.
const RESTING: u8 = 2;
/// It has read all but the message that lies here.
const NEWS: u8 = 3;

/// Between one reader and its store. The store writes under its lock; the reader moves from `HANDED` to `RESTING`, and from `NEWS` to
/// `HANDED`, without.
pub(crate) struct Rest<M> {
    state: AtomicU8,
    /// Bit by bit, who else has called the reader's task.
    calls: AtomicU8,
    own: Mutex<Own<M>>,
}

/// What is under a lock that a reader shares with nobody but those who submit to it or call it.
struct Own<M> {
    /// The message, or one that the reader has read by another way or will.
    news: Option<Arc<Entry<M>>>,
    /// When the reader last read, or was woken to.
    moved: Instant,
    /// Whom to wake; none when it is awake, or has been woken. While it is handed all or rests, it is there.
    waker: Option<Waker>,
}

/// What became of a message that was held out to a reader, and whom to wake, unless it has been woken already.
pub(crate) enum Handed<M> {
    /// It lies there for the reader, where another may have lain, to be dropped without a lock.
    Taken { waker: Option<Waker>, stale: Option<Arc<Entry<M>>> },
    /// The reader has something before it to read.
    MustAsk { waker: Option<Waker> },
}

/// Who calls a reader's task besides its store. It is noted, so that they need not be asked whenever a message wakes it.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Timer = 1,
    Socket = 2,
}

impl<M> Rest<M> {
    pub(crate) fn new() -> Self {
        let own = Own { news: None, moved: Instant::now(), waker: None };
        Self { state: AtomicU8::new(AWAKE), calls: AtomicU8::new(0), own: Mutex::new(own) }
    }

    fn own(&self) -> MutexGuard<'_, Own<M>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the reader comes for more; true when there is nothing, and it is woken when there is.
    #[inline]
    pub(crate) fn comes_for_more(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            RESTING => true,
            HANDED => self.state.compare_exchange(HANDED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok(),
            _ => false,
        }
    }

    /// The one new message, if the reader has read all before it; then it has read all again, and the waker is kept for the next.
    pub(crate) fn take_news(&self, waker: &Waker) -> Option<Arc<Entry<M>>> {
        if self.state.load(Ordering::Acquire) != NEWS {
            return None;
        }
        let mut own = self.own();
        self.state.compare_exchange(NEWS, HANDED, Ordering::AcqRel, Ordering::Acquire).ok()?;
        own.waker = Some(waker.clone());
        own.moved = Instant::now();
        own.news.take()
    }

    /// What lies here for a reader that asks the log instead, to be dropped without a lock.
    pub(crate) fn take_stale(&self) -> Option<Arc<Entry<M>>> {
        self.own().news.take()
    }

    /// Whether this one has called since the call was last taken.
    #[inline]
    pub(crate) fn is_called(&self, by: Call) -> bool {
        // A call that is not seen here has not woken its task yet, which will ask again.
        self.calls.load(Ordering::Relaxed) & by as u8 != 0
    }

    /// As `is_called`, and takes the call. Who asks the caller what there is does so after this, so that no call is lost.
    #[inline]
    pub(crate) fn take_call(&self, by: Call) -> bool {
        self.is_called(by) && self.calls.fetch_and(!(by as u8), Ordering::AcqRel) & by as u8 != 0
    }

    // What follows is called under the store's lock.

    /// Lays a message out for a reader that was handed all before it in this turn of the log, or has it ask.
    pub(crate) fn hand(&self, entry: &Arc<Entry<M>>, same_turn: bool, now: impl FnOnce() -> Instant) -> Handed<M> {
        let mut own = self.own();
        let waker = own.waker.take();
        // Who has been woken already was so before, and that stays the time.
        if waker.is_some() {
            own.moved = now();
        }
        if same_turn && matches!(self.state.load(Ordering::Acquire), HANDED | RESTING) {
            let stale = own.news.replace(Arc::clone(entry));
            self.state.store(NEWS, Ordering::Release);
            return Handed::Taken { waker, stale };
        }
        self.state.store(AWAKE, Ordering::Release);
        Handed::MustAsk { waker }
    }

    /// Has a reader that has not taken the message ask the log instead.
    pub(crate) fn take_back(&self) {
        let _unless_it_was_taken = self.state.compare_exchange(NEWS, AWAKE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Has the reader ask the log the next time. Answers whom to wake for that.
    pub(crate) fn ends(&self) -> Option<Waker> {
        let mut own = self.own();
        self.state.store(AWAKE, Ordering::Release);
        own.waker.take()
    }

    /// Keeps whom to wake for a reader that is to ask the log then.
    pub(crate) fn waits(&self, waker: &Waker) {
        let mut own = self.own();
        self.state.store(AWAKE, Ordering::Release);
        match &mut own.waker {
            Some(waiting) => waiting.clone_from(waker),
            None => own.waker = Some(waker.clone()),
        }
    }

    /// Notes that the reader, which waits, was handed all there is.
    pub(crate) fn is_handed_all(&self) {
        self.state.store(HANDED, Ordering::Release);
    }

    /// Notes that the reader reads, and when.
    pub(crate) fn moves(&self) {
        let mut own = self.own();
        self.state.store(AWAKE, Ordering::Release);
        own.waker = None;
        own.moved = Instant::now();
    }

    pub(crate) fn moved(&self) -> Instant {
        self.own().moved
    }

    /// Since when there is something that it has not come for, or has come for and not yet written; none while it waits.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        let own = self.own();
        let handed = matches!(self.state.load(Ordering::Acquire), HANDED | NEWS);
        (own.waker.is_none() || handed).then_some(own.moved)
    }
}

impl<M: Send + Sync + 'static> Rest<M> {
    /// What wakes the reader's task, whichever that is then, and notes who did.
    pub(crate) fn caller(self: &Arc<Self>, by: Call) -> Waker {
        Waker::from(Arc::new(Caller { rest: Arc::clone(self), by }))
    }
}

struct Caller<M> {
    rest: Arc<Rest<M>>,
    by: Call,
}

impl<M: Send + Sync + 'static> Wake for Caller<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // First the note, then the task that looks for it. Without a waker the task is awake, or has been woken, and looks for calls
        // after it has left one.
        self.rest.calls.fetch_or(self.by as u8, Ordering::Release);
        let waker = self.rest.own().waker.clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }
}

/// Wakes nobody. `Waker::noop()` is another wherever it is called, and so is its clone; this is one and the same.
#[cfg(test)]
pub(crate) static NOBODY: std::sync::LazyLock<Waker> = std::sync::LazyLock::new(|| Waker::noop().clone());

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::NOBODY;
    use crate::event::Event;
    use crate::event::error::EncodeError;
    use crate::message::{Keys, Message, Retention};
    use crate::store::Store;
    use crate::store::reader::{Reader, Seen, Step, Terms};

    struct Note(u64);

    impl Message for Note {
        type Key = ();
        const LATEST: bool = false;
        const CHANNEL: &'static str = "notes";
        fn key(&self) {}
        fn retention(&self) -> Retention {
            Retention::Queue
        }
        fn event(&self) -> Result<Event, EncodeError> {
            Event::of(&self.0)
        }
    }

    fn numbers(step: Step<Note>) -> Option<Vec<u64>> {
        match step {
            Step::Run { run, .. } => Some(run.entries().iter().map(|entry| entry.message.0).collect()),
            Step::Wait { .. } => None,
            _ => panic!("neither messages nor the end"),
        }
    }

    #[test]
    fn a_live_reader_is_delivered_to_while_the_store_is_locked() {
        for keys in [Keys::All, Keys::One(()), Keys::Set(vec![()])] {
            let store = Store::<Note>::new();
            let mut reader = Reader::open(store.shared(), keys, Seen::Nothing, Terms { replay: 0, connection: false });
            assert_eq!(numbers(reader.step(&NOBODY)), None);
            store.try_submit(Note(0)).unwrap();
            assert_eq!(numbers(reader.step(&NOBODY)), Some(vec![0]));
            for number in 1..4 {
                assert!(reader.rests(&NOBODY));
                store.try_submit(Note(number)).unwrap();
                let (tell, told) = channel();
                let locked = store.shared().lock();
                let reading = thread::spawn(move || {
                    let rested = reader.rests(&NOBODY);
                    tell.send((rested, numbers(reader.step(&NOBODY)))).unwrap();
                    reader
                });
                let delivered = told.recv_timeout(Duration::from_secs(20));
                drop(locked);
                reader = reading.join().unwrap();
                assert_eq!(delivered.expect("it waits for the lock"), (false, Some(vec![number])));
            }
            // Two at once are asked of the log, and neither comes twice.
            store.try_submit(Note(4)).unwrap();
            store.try_submit(Note(5)).unwrap();
            assert_eq!(numbers(reader.step(&NOBODY)), Some(vec![4, 5]));
            assert!(reader.rests(&NOBODY));
        }
    }
}
