//! Waiting until the runtime of this thread is idle: no task is runnable, and the clock has not moved.

use std::cell::RefCell;

use tokio::sync::oneshot;

thread_local! {
    static WAITING: RefCell<Vec<oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

/// Waits until no task is runnable. It never returns on a runtime that does not call [`on_park`].
pub(crate) async fn wait_until_idle() {
    let (idle, when_idle) = oneshot::channel();
    WAITING.with_borrow_mut(|waiting| waiting.push(idle));
    when_idle.await.expect("the sender is dropped only after it has been used");
}

/// Wakes the waiters. The runtime calls this when no task is runnable, before the clock may move.
pub(crate) fn on_park() {
    for waiting in WAITING.take() {
        // A failed send means that the waiter was dropped, by a `select!` for example.
        let _ = waiting.send(());
    }
}

/// Drops the waiters that a test has left on this thread.
pub(crate) fn clear() {
    WAITING.take();
}
