//! Models of the mailbox between the store and one of its readers.
//!
//! The store is a log of numbers behind a lock, as in the library: a submit appends and pushes under the lock, and
//! wakes after unlocking; a reader parks, takes from its mailbox, or reads the log and registers its waker under the
//! lock.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Mutex, MutexGuard};
use loom::thread;
use tokio::time::Instant;

use crate::block_on::block_on;
use crate::check;
use crate::store::entry::Entry;
use crate::store::reader::mailbox::{Mailbox, WakeFlag};
use crate::sync::PoisonError;

/// A store with one reader.
struct Store {
    state: Mutex<State>,
    mailbox: Arc<Mailbox<usize>>,
}

struct State {
    log: Vec<Arc<Entry<usize>>>,
    generation: u64,
    /// The generation in which the reader became live.
    readers_generation: u64,
    wants_messages: bool,
    is_ended: bool,
}

impl Store {
    fn new() -> Arc<Self> {
        let state =
            State { log: Vec::new(), generation: 0, readers_generation: 0, wants_messages: false, is_ended: false };
        Arc::new(Self { state: Mutex::new(state), mailbox: Arc::new(Mailbox::new(0)) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self) {
        let mut state = self.lock();
        let entry = Arc::new(Entry { message: state.log.len() });
        state.log.push(Arc::clone(&entry));
        let mut waker = None;
        if state.wants_messages {
            let is_same_generation = state.readers_generation == state.generation;
            let pushed = self.mailbox.push(&entry, is_same_generation, Instant::now);
            state.wants_messages = pushed.is_accepted;
            waker = pushed.waker;
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Starts a new generation of the log, as a gap does: readers read the log again.
    fn start_generation(&self) {
        let mut state = self.lock();
        state.generation += 1;
        let waker = self.mailbox.take_waker_to_reread();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn end(&self) {
        let mut state = self.lock();
        state.is_ended = true;
        let waker = self.mailbox.take_waker_to_reread();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn retract(&self) {
        let _state = self.lock();
        self.mailbox.retract();
    }
}

/// A reader as the library's: what it does without the store's lock, and what with it.
struct Reader {
    store: Arc<Store>,
    read: usize,
    /// Whether it is live: it uses its mailbox. Its waker stays the same.
    is_live: bool,
}

impl Reader {
    fn new(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), read: 0, is_live: false }
    }

    /// Reads what there is. Returns whether the reader has ended; its waker is registered otherwise.
    fn poll(&mut self, waker: &Waker) -> bool {
        loop {
            if self.is_live && self.store.mailbox.try_park() {
                return false;
            }
            if self.is_live
                && let Some((entry, _)) = self.store.mailbox.pop(waker)
            {
                assert_eq!(entry.message, self.read, "a message twice, or one left out");
                self.read += 1;
                continue;
            }
            drop(self.store.mailbox.discard());
            let mut state = self.store.lock();
            self.store.mailbox.touch();
            if self.read < state.log.len() {
                self.read = state.log.len();
                // It has read everything, and is given the next message although it may not have written these. A reader that
                // ends reads the log once more, to see that.
                if !state.is_ended {
                    state.wants_messages = true;
                    self.store.mailbox.register_waker(waker);
                    state.readers_generation = state.generation;
                    self.store.mailbox.mark_live();
                    self.is_live = true;
                }
                continue;
            }
            if state.is_ended {
                return true;
            }
            state.wants_messages = true;
            self.store.mailbox.register_waker(waker);
            return false;
        }
    }

    /// Reads until it has read so many messages. A lost wake is a deadlock.
    fn read_until(&mut self, messages: usize) {
        block_on(poll_fn(|cx| {
            self.poll(cx.waker());
            if self.read >= messages { Poll::Ready(()) } else { Poll::Pending }
        }));
    }
}

/// Two threads submit while a reader reads: it gets every message once, in order.
pub fn every_message_is_read_once() {
    check(|| {
        let store = Store::new();
        let submits: Vec<_> = (0..2)
            .map(|_| {
                let store = Arc::clone(&store);
                thread::spawn(move || store.submit())
            })
            .collect();
        let mut reader = Reader::new(&store);
        reader.read_until(2);
        for submit in submits {
            submit.join().expect("no submit panics");
        }
        assert_eq!(reader.read, 2);
    });
}

/// One thread submits three times: the second message finds the first taken, or not.
pub fn a_second_message_before_the_first_is_taken_is_not_lost() {
    check(|| {
        let store = Store::new();
        let submit = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.submit();
                store.submit();
                store.submit();
            })
        };
        Reader::new(&store).read_until(3);
        submit.join().expect("no submit panics");
    });
}

/// A message is retracted, as `forget` does, while it is in the mailbox: the reader reads it from the log.
pub fn a_retracted_message_is_read_from_the_log() {
    check(|| {
        let store = Store::new();
        let submit = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.submit();
                store.submit();
            })
        };
        let retract = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.retract())
        };
        Reader::new(&store).read_until(2);
        submit.join().expect("no submit panics");
        retract.join().expect("no retract panics");
    });
}

/// A new generation of the log starts while messages are submitted: nothing of the old one is taken for the next
/// message of the new.
pub fn a_new_generation_loses_nothing() {
    check(|| {
        let store = Store::new();
        let submit = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.submit();
                store.submit();
            })
        };
        let generation = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.start_generation())
        };
        Reader::new(&store).read_until(2);
        submit.join().expect("no submit panics");
        generation.join().expect("no new generation panics");
    });
}

/// A reader ends, whatever is submitted meanwhile.
pub fn a_reader_sees_its_end() {
    check(|| {
        let store = Store::new();
        let submit = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.submit())
        };
        let end = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.end())
        };
        let mut reader = Reader::new(&store);
        block_on(poll_fn(|cx| if reader.poll(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }));
        submit.join().expect("no submit panics");
        end.join().expect("no end panics");
    });
}

/// The timer and the socket wake the task while messages arrive: the task polls each after its last wake.
pub fn every_wake_source_is_polled_after_it_woke() {
    check(|| {
        let store = Store::new();
        let sources = [WakeFlag::First, WakeFlag::Second].map(|source| {
            let events = Arc::new(AtomicUsize::new(0));
            let waker = store.mailbox.waker_for(source);
            let produced = Arc::clone(&events);
            let thread = thread::spawn(move || {
                produced.fetch_add(1, Ordering::Release);
                waker.wake_by_ref();
            });
            (source, events, thread)
        });
        let mut reader = Reader::new(&store);
        let mut seen = [0, 0];
        block_on(poll_fn(|cx| {
            reader.poll(cx.waker());
            for (seen, (source, events, _)) in seen.iter_mut().zip(&sources) {
                if store.mailbox.take_wake(*source) {
                    *seen = events.load(Ordering::Acquire);
                }
            }
            if seen == [1, 1] { Poll::Ready(()) } else { Poll::Pending }
        }));
        for (_, _, thread) in sources {
            thread.join().expect("no wake panics");
        }
    });
}
