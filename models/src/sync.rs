//! Loom's atomics and locks, under the names that the library imports.

use std::pin::Pin;
pub(crate) use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// Loom's atomic, but a store is a swap.
///
/// Loom lets a thread that has seen a plain store read an older value that another thread wrote by compare-and-swap,
/// if nothing orders the two writes. The memory model of Rust does not: the swap took the place right after the value
/// that it read, so the store comes later.
pub(crate) struct AtomicU8(loom::sync::atomic::AtomicU8);

impl AtomicU8 {
    pub(crate) fn new(value: u8) -> Self {
        Self(loom::sync::atomic::AtomicU8::new(value))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u8 {
        self.0.load(ordering)
    }

    pub(crate) fn store(&self, value: u8, ordering: Ordering) {
        self.0.swap(value, ordering);
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u8,
        new: u8,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u8, u8> {
        self.0.compare_exchange(current, new, success, failure)
    }

    pub(crate) fn fetch_or(&self, bits: u8, ordering: Ordering) -> u8 {
        self.0.fetch_or(bits, ordering)
    }

    pub(crate) fn fetch_and(&self, bits: u8, ordering: Ordering) -> u8 {
        self.0.fetch_and(bits, ordering)
    }
}

/// Stands in for `tokio::sync::Notify`, as far as `notify_waiters` goes: it wakes the futures that exist when it is
/// called.
#[derive(Default)]
pub(crate) struct Notify(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    notified: usize,
    wakers: Vec<Waker>,
}

impl Notify {
    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified { notify: self, created_at: self.lock().notified }
    }

    pub(crate) fn notify_waiters(&self) {
        let mut waiters = self.lock();
        waiters.notified += 1;
        let wakers = std::mem::take(&mut waiters.wakers);
        drop(waiters);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    created_at: usize,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiters = self.notify.lock();
        if waiters.notified > self.created_at {
            return Poll::Ready(());
        }
        waiters.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
