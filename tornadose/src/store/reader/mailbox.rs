//! What passes between a store and one of its readers without the store's lock: whether there is anything new, for a reader that has
//! read all before it the one message that is, whom to wake, and who else did. What else there is to read is asked of the log, under
//! the lock.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::time::Instant;

use crate::store::entry::Entry;

/// There may be something new, for which the reader asks the log; it may wait until it is woken to.
const ASKS: u8 = 0;
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

/// What is under a lock of each reader's own.
struct Own<M> {
    /// The message, or one that the reader has read by another way or will.
    news: Option<Arc<Entry<M>>>,
    /// When the reader last read, or was woken to.
    moved: Instant,
    /// Whom to wake: left by a reader that waits or was handed all there is, and taken by the store when it wakes it.
    waker: Option<Waker>,
}

/// What became of a message that was held out to a reader.
pub(crate) struct Handed<M> {
    /// Whether it lies there for the reader, or the reader has something before it to read.
    pub(crate) taken: bool,
    /// Whom to wake, unless it has been woken already.
    pub(crate) waker: Option<Waker>,
    /// What lay there before, to be dropped without a lock.
    pub(crate) stale: Option<Arc<Entry<M>>>,
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
        Self { state: AtomicU8::new(ASKS), calls: AtomicU8::new(0), own: Mutex::new(own) }
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

    /// The one new message and when it is taken, if the reader has read all before it. Then it has read all again, and the waker is
    /// kept for the next.
    pub(crate) fn take_news(&self, waker: &Waker) -> Option<(Arc<Entry<M>>, Instant)> {
        if self.state.load(Ordering::Acquire) != NEWS {
            return None;
        }
        let mut own = self.own();
        self.state.compare_exchange(NEWS, HANDED, Ordering::AcqRel, Ordering::Acquire).ok()?;
        own.waker = Some(waker.clone());
        own.moved = Instant::now();
        Some((own.news.take()?, own.moved))
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

    /// Notes who calls, and wakes the reader's task, whichever that is then.
    fn calls(&self, by: Call) {
        // First the note, then the task that looks for it. Without a waker the task is awake, or has been woken, and looks for calls
        // after it has left one.
        self.calls.fetch_or(by as u8, Ordering::Release);
        let waker = self.own().waker.clone();
        waker.iter().for_each(Waker::wake_by_ref);
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
            return Handed { taken: true, waker, stale };
        }
        self.state.store(ASKS, Ordering::Release);
        Handed { taken: false, waker, stale: None }
    }

    /// Has a reader that has not taken the message ask the log instead.
    pub(crate) fn take_back(&self) {
        let _unless_it_was_taken = self.state.compare_exchange(NEWS, ASKS, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Has the reader ask the log the next time. Answers whom to wake for that.
    pub(crate) fn ends(&self) -> Option<Waker> {
        let mut own = self.own();
        self.state.store(ASKS, Ordering::Release);
        own.waker.take()
    }

    /// Keeps whom to wake for a reader that is to ask the log then.
    pub(crate) fn waits(&self, waker: &Waker) {
        let mut own = self.own();
        self.state.store(ASKS, Ordering::Release);
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
    pub(crate) fn moves(&self) -> Instant {
        let mut own = self.own();
        self.state.store(ASKS, Ordering::Release);
        own.waker = None;
        own.moved = Instant::now();
        own.moved
    }

    /// Since when there is something that it has not come for, or has come for and not yet written; none while it waits.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        let own = self.own();
        let handed = matches!(self.state.load(Ordering::Acquire), HANDED | NEWS);
        (own.waker.is_none() || handed).then_some(own.moved)
    }
}

impl<M: Send + Sync + 'static> Rest<M> {
    /// The waker of one who calls.
    pub(crate) fn caller(self: &Arc<Self>, by: Call) -> Waker {
        let rest = Arc::clone(self);
        match by {
            Call::Timer => Waker::from(rest),
            Call::Socket => Waker::from(Arc::new(Socket(rest))),
        }
    }
}

/// Woken by a timer: every connection has one, which needs nothing of its own so.
impl<M: Send + Sync + 'static> Wake for Rest<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.calls(Call::Timer);
    }
}

struct Socket<M>(Arc<Rest<M>>);

impl<M: Send + Sync + 'static> Wake for Socket<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.calls(Call::Socket);
    }
}

/// Wakes nobody. `Waker::noop()` is another wherever it is called, and so is its clone; this is one and the same.
#[cfg(test)]
pub(crate) static NOBODY: std::sync::LazyLock<Waker> = std::sync::LazyLock::new(|| Waker::noop().clone());

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::channel;
    use std::task::Poll;
    use std::thread;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::event::Event;
    use crate::event::error::EncodeError;
    use crate::message::{Keys, Message, Retention};
    use crate::store::Store;
    use crate::store::reader::{Reader, Seen, Step, Terms};

    struct Note(u64);

    impl Message for Note {
        type Key = ();
        const HAS_LATEST: bool = false;
        const CHANNEL: &'static str = "notes";
        fn key(&self) {}
        fn retention(&self) -> Retention {
            Retention::Queue
        }
        fn event(&self) -> Result<Event, EncodeError> {
            Event::json(&self.0)
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

    /// How often each has spoken, or was heard last: messages, a timer, a socket.
    type Times = [AtomicU64; 3];

    /// Waits until all are heard, and wakes nobody meanwhile.
    async fn all_are_heard(heard: &Times, times: [u64; 3]) {
        let all_heard = async {
            while [0, 1, 2].map(|one| heard[one].load(Ordering::Acquire)) != times {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), all_heard).await.unwrap_or_else(|_| panic!("{times:?} heard as {heard:?}"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_call_and_no_message_is_lost_among_the_others() {
        const CALLS: [Call; 2] = [Call::Timer, Call::Socket];
        const TIMES: u64 = 20_000;
        let store = Store::<Note>::new();
        let mut reader = Reader::open(store.shared(), Keys::All, Seen::Nothing, Terms { replay: 0, connection: false });
        let (spoken, heard) = (Arc::new(Times::default()), Arc::new(Times::default()));
        let callers = CALLS.map(|by| reader.caller(by));
        let (calls, notes) = (Arc::clone(&spoken), Arc::clone(&heard));
        let mut polls = 0;
        let reading = tokio::spawn(poll_fn(move |cx| {
            polls += 1;
            if polls % 3 == 0 {
                // As one that could not write.
                reader.wait_for_end(cx.waker());
            }
            loop {
                match reader.step(cx.waker()) {
                    Step::Run { run, .. } => notes[0].store(run.entries().last().unwrap().message.0, Ordering::Release),
                    Step::Gap(_) => {}
                    Step::Wait { .. } | Step::Hold => break,
                    Step::Ended(_) => return Poll::Ready(()),
                }
            }
            for by in CALLS {
                if reader.take_call(by) {
                    notes[by as usize].store(calls[by as usize].load(Ordering::Acquire), Ordering::Release);
                }
            }
            Poll::Pending
        }));
        let speaks = |one: usize| {
            let time = spoken[one].fetch_add(1, Ordering::AcqRel) + 1;
            match one {
                0 => drop(store.try_submit(Note(time)).unwrap()),
                caller => callers[caller - 1].wake_by_ref(),
            }
        };
        thread::scope(|scope| {
            for one in 0..3 {
                scope.spawn(move || (0..TIMES).for_each(|_| speaks(one)));
            }
        });
        all_are_heard(&heard, [TIMES; 3]).await;
        // And each alone, while nobody else would wake the reader.
        for round in 1..=50 {
            for one in 0..3 {
                speaks(one);
                let times = [0, 1, 2].map(|other| TIMES + round - u64::from(other > one));
                all_are_heard(&heard, times).await;
            }
        }
        store.close();
        reading.await.unwrap();
    }
}
