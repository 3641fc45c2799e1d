//! What is alive of the messages of a store, and what their `Drop` may do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tornadose::prelude::*;
use tornadose::{EncodeError, Event, Retention, SubmitError};

static STORE: OnceLock<Store<CallsStore>> = OnceLock::new();

struct CallsStore(u64);

impl Message for CallsStore {
    type Key = u8;
    const CHANNEL: &'static str = "calls_store";
    const CAPACITY: usize = 4;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(&self.0)
    }
}

impl Drop for CallsStore {
    fn drop(&mut self) {
        STORE.get().map(Store::subscribers);
    }
}

#[test]
fn the_drop_of_a_message_may_call_its_store_from_a_plain_thread() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let store = STORE.get_or_init(Store::new);
        let mut reader = store.subscribe();
        for number in 0..100 {
            store.try_submit(CallsStore(number)).unwrap();
            store.try_submit(CallsStore(number)).unwrap();
            while reader.next().now_or_never().flatten().is_some() {}
        }
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(10)).expect("a deadlock");
}

/// The bytes of all messages that are not dropped.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Big(Vec<u8>);

impl Big {
    fn of(bytes: usize) -> Self {
        ALIVE.fetch_add(bytes, SeqCst);
        Self(vec![b'x'; bytes])
    }
}

impl Message for Big {
    type Key = u8;
    const CHANNEL: &'static str = "big";
    const MEMORY: usize = 4 << 20;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(String::from_utf8_lossy(&self.0)))
    }
}

impl Drop for Big {
    fn drop(&mut self) {
        ALIVE.fetch_sub(self.0.len(), SeqCst);
    }
}

#[test]
fn memory_bounds_the_bytes_of_all_messages_that_are_alive() {
    let store = Store::new();
    let mut reader = store.subscribe();
    for _ in 0..100 {
        store.try_submit(Big::of(10)).unwrap();
        store.try_submit(Big::of(3 << 20)).unwrap();
        while reader.next().now_or_never().flatten().is_some() {}
    }
    let alive = ALIVE.load(SeqCst);
    assert!(alive <= 5 << 20, "{} MiB of messages are alive, and `MEMORY` is 4 MiB", alive >> 20);
}

#[store(queue, memory = "1KiB")]
#[derive(Serialize)]
struct Small(String);

#[test]
fn a_message_that_can_never_fit_is_too_large() {
    let store = Store::new();
    for length in 0..1024 {
        let result = store.try_submit(Small("x".repeat(length)));
        assert!(!matches!(result, Err(SubmitError::Full { .. })), "{length} bytes, an empty store: full");
    }
}
