//! What passes between a store and one of its readers without the store's lock: whether there is anything new, and, for a reader that
//! has read all before it, the one message that is. What else there is to read is asked of the log, under the lock.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::store::entry::Entry;

/// There may be something new, for which the log must be asked.
const AWAKE: u8 = 0;
/// It was handed all there is, and has not come for more.
const HANDED: u8 = 1;
/// It has come for more, and its waker is kept.
const RESTING: u8 = 2;
/// It has read all but the message that lies here.
const NEWS: u8 = 3;

/// Between one reader and its store. The store writes under its lock; the reader moves from `HANDED` to `RESTING`, and from `NEWS` to
/// `HANDED`, without.
pub(crate) struct Rest<M> {
    state: AtomicU8,
    own: Mutex<Own<M>>,
}

/// What is under a lock that a reader shares with nobody but those who submit.
struct Own<M> {
    /// The message, or one that the reader has read by another way or will.
    news: Option<Arc<Entry<M>>>,
    /// When the reader last read, or was woken to.
    moved: Instant,
}

/// What became of a message that was held out to a reader.
pub(crate) enum Handed<M> {
    /// It lies there for the reader, where another may have lain, to be dropped without a lock.
    Taken { stale: Option<Arc<Entry<M>>> },
    /// The reader has something before it to read.
    MustAsk,
}

impl<M> Rest<M> {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(AWAKE), own: Mutex::new(Own { news: None, moved: Instant::now() }) }
    }

    fn own(&self) -> MutexGuard<'_, Own<M>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the reader comes for more; true when there is nothing, and its waker is kept.
    #[inline]
    pub(crate) fn comes_for_more(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            RESTING => true,
            HANDED => self.state.compare_exchange(HANDED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok(),
            _ => false,
        }
    }

    /// The one new message and when it is taken, if the reader has read all before it; then it has read all again.
    pub(crate) fn take_news(&self) -> Option<(Arc<Entry<M>>, Instant)> {
        if self.state.load(Ordering::Acquire) != NEWS {
            return None;
        }
        let mut own = self.own();
        self.state.compare_exchange(NEWS, HANDED, Ordering::AcqRel, Ordering::Acquire).ok()?;
        own.moved = Instant::now();
        Some((own.news.take()?, own.moved))
    }

    /// What lies here for a reader that asks the log instead, to be dropped without a lock.
    pub(crate) fn take_stale(&self) -> Option<Arc<Entry<M>>> {
        self.own().news.take()
    }

    // What follows is called under the store's lock.

    /// Lays a message out for a reader that was handed all before it.
    pub(crate) fn hand(&self, entry: &Arc<Entry<M>>, now: Instant) -> Handed<M> {
        let mut own = self.own();
        match self.state.load(Ordering::Acquire) {
            HANDED | RESTING => {
                own.moved = now;
                let stale = own.news.replace(Arc::clone(entry));
                self.state.store(NEWS, Ordering::Release);
                Handed::Taken { stale }
            }
            // It has been woken already, and that stays the time.
            NEWS => Handed::MustAsk,
            _ => {
                own.moved = now;
                Handed::MustAsk
            }
        }
    }

    /// Has the reader ask the log the next time.
    pub(crate) fn ends(&self) {
        self.state.store(AWAKE, Ordering::Release);
    }

    /// Notes that the reader was handed all there is, and that its waker is kept.
    pub(crate) fn is_handed_all(&self) {
        self.state.store(HANDED, Ordering::Release);
    }

    /// Notes that the reader reads, and when.
    pub(crate) fn moves(&self) -> Instant {
        let mut own = self.own();
        own.moved = Instant::now();
        own.moved
    }

    /// Whether there is something that it has not come for, or has come for and not yet written.
    pub(crate) fn is_owed(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), HANDED | NEWS)
    }

    pub(crate) fn moved(&self) -> Instant {
        self.own().moved
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::task::Waker;
    use std::thread;
    use std::time::Duration;

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
            // One and the same: what never wakes has no address of its own.
            let waker = Waker::noop().clone();
            let store = Store::<Note>::new();
            let mut reader = Reader::open(store.shared(), keys, Seen::Nothing, Terms { replay: 0, connection: false });
            assert_eq!(numbers(reader.step(&waker)), None);
            store.try_submit(Note(0)).unwrap();
            assert_eq!(numbers(reader.step(&waker)), Some(vec![0]));
            for number in 1..4 {
                assert!(reader.rests(&waker));
                store.try_submit(Note(number)).unwrap();
                let ((tell, told), waker) = (channel(), waker.clone());
                let locked = store.shared().lock();
                let reading = thread::spawn(move || {
                    let rested = reader.rests(&waker);
                    tell.send((rested, numbers(reader.step(&waker)))).unwrap();
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
            assert_eq!(numbers(reader.step(&waker)), Some(vec![4, 5]));
            assert!(reader.rests(&waker));
        }
    }
}
