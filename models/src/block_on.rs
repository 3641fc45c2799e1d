//! Runs a future on the current thread of a model.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

/// Whether the thread was woken since it last looked.
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock().expect("no holder panics") = true;
        self.changed.notify_one();
    }
}

/// Polls the future at every wake until it is ready. A wake that is lost is a deadlock.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let signal = Arc::new(Signal { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = signal.woken.lock().expect("no holder panics");
        while !*woken {
            woken = signal.changed.wait(woken).expect("no holder panics");
        }
        *woken = false;
    }
}
