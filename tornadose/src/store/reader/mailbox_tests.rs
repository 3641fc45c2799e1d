//! The promises of a mailbox, through a store and a reader: no lock for a delivery, and no lost wake-up. They are not
//! in `mailbox.rs`, which the crate of the models includes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::message::{Keys, Message, Retention};
use crate::store::Store;
use crate::store::reader::mailbox::{NOOP_WAKER, WakeFlag};
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;

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

fn numbers(step: ReadStep<Note>) -> Option<Vec<u64>> {
    match step {
        ReadStep::Batch { batch, .. } => Some(batch.entries().iter().map(|entry| entry.message.0).collect()),
        ReadStep::AtHead { .. } => None,
        _ => panic!("neither messages nor the end"),
    }
}

fn open(store: &Store<Note>, keys: Keys<()>) -> Reader<Note> {
    Reader::open(
        store.shared(),
        keys,
        Resume::New,
        ReaderOptions { replay: 0, kind: ReaderKind::Subscription, gets_snapshots: true },
    )
}

#[test]
fn a_live_reader_reads_while_the_store_is_locked() {
    for keys in [Keys::All, Keys::One(()), Keys::Set(vec![()])] {
        let store = Store::<Note>::new();
        let mut reader = open(&store, keys);
        assert_eq!(numbers(reader.poll(&NOOP_WAKER)), None);
        store.try_submit(Note(0)).unwrap();
        assert_eq!(numbers(reader.poll(&NOOP_WAKER)), Some(vec![0]));
        for number in 1..4 {
            assert!(reader.try_park(&NOOP_WAKER));
            store.try_submit(Note(number)).unwrap();
            let (sender, result) = channel();
            let locked = store.shared().lock();
            let reading = thread::spawn(move || {
                let is_parked = reader.try_park(&NOOP_WAKER);
                sender.send((is_parked, numbers(reader.poll(&NOOP_WAKER)))).unwrap();
                reader
            });
            let result = result.recv_timeout(Duration::from_secs(20));
            drop(locked);
            reader = reading.join().unwrap();
            assert_eq!(result.expect("the reader waits for the lock"), (false, Some(vec![number])));
        }
        // Two messages at once are read from the log, and neither is repeated.
        store.try_submit(Note(4)).unwrap();
        store.try_submit(Note(5)).unwrap();
        assert_eq!(numbers(reader.poll(&NOOP_WAKER)), Some(vec![4, 5]));
        assert!(reader.try_park(&NOOP_WAKER));
    }
}

/// The latest number that each source has sent, or that the reader has seen of it: the store, and the two flags.
type Numbers = [AtomicU64; 3];

/// Waits until the reader has seen these numbers. It does not wake the reader.
async fn wait_until_seen(seen: &Numbers, expected: [u64; 3]) {
    let all_seen = async {
        while [0, 1, 2].map(|source| seen[source].load(Ordering::Acquire)) != expected {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), all_seen).await.unwrap_or_else(|_| panic!("expected {expected:?}: {seen:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_wake_and_no_message_is_lost_among_the_others() {
    const FLAGS: [WakeFlag; 2] = [WakeFlag::First, WakeFlag::Second];
    const ROUNDS: u64 = 20_000;
    let store = Store::<Note>::new();
    let mut reader = open(&store, Keys::All);
    let (emitted, seen) = (Arc::new(Numbers::default()), Arc::new(Numbers::default()));
    let wakers = FLAGS.map(|flag| reader.waker_for(flag));
    let (sent_to, seen_by) = (Arc::clone(&emitted), Arc::clone(&seen));
    let mut polls = 0;
    let reading = tokio::spawn(poll_fn(move |cx| {
        polls += 1;
        if polls % 3 == 0 {
            // As a connection whose socket accepts no data.
            reader.poll_ended(cx.waker());
        }
        loop {
            match reader.poll(cx.waker()) {
                ReadStep::Batch { batch, .. } => {
                    seen_by[0].store(batch.entries().last().unwrap().message.0, Ordering::Release);
                }
                ReadStep::Gap(_) => {}
                ReadStep::AtHead { .. } | ReadStep::Pending => break,
                ReadStep::Expired { .. }
                | ReadStep::Snapshot { .. }
                | ReadStep::Finished { .. }
                | ReadStep::Ended(_) => return Poll::Ready(()),
            }
        }
        for flag in FLAGS {
            if reader.take_wake(flag) {
                let index = flag as usize;
                seen_by[index].store(sent_to[index].load(Ordering::Acquire), Ordering::Release);
            }
        }
        Poll::Pending
    }));
    let emit = |source: usize| {
        let number = emitted[source].fetch_add(1, Ordering::AcqRel) + 1;
        match source {
            0 => drop(store.try_submit(Note(number)).unwrap()),
            source => wakers[source - 1].wake_by_ref(),
        }
    };
    thread::scope(|scope| {
        for source in 0..3 {
            scope.spawn(move || (0..ROUNDS).for_each(|_| emit(source)));
        }
    });
    wait_until_seen(&seen, [ROUNDS; 3]).await;
    // Then each source alone, while no other would wake the reader.
    for round in 1..=50 {
        for source in 0..3 {
            emit(source);
            let expected = [0, 1, 2].map(|other| ROUNDS + round - u64::from(other > source));
            wait_until_seen(&seen, expected).await;
        }
    }
    store.close();
    reading.await.unwrap();
}
