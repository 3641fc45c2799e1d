//! A waker that remembers that it was called: what a socket wakes is told from what anything else does. What is then asked of
//! the socket is `link`'s affair.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Hangs at one task, and rings for it.
pub(crate) struct Bell {
    wire: Arc<Wire>,
    waker: Waker,
}

struct Wire {
    rung: AtomicBool,
    task: Waker,
}

impl Default for Bell {
    fn default() -> Self {
        Self::at(Waker::noop())
    }
}

impl Bell {
    fn at(task: &Waker) -> Self {
        let wire = Arc::new(Wire { rung: AtomicBool::new(false), task: task.clone() });
        Self { waker: Waker::from(Arc::clone(&wire)), wire }
    }

    /// Hangs it at this task. True when it hung at another: who was to ring there must be told anew.
    #[inline]
    pub(crate) fn hangs_at(&mut self, task: &Waker) -> bool {
        let moves = !self.wire.task.will_wake(task);
        if moves {
            *self = Self::at(task);
        }
        moves
    }

    #[inline]
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it has rung since this was last asked. Who asks a socket does so after this, so that what rings meanwhile is
    /// not lost.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        // A ring that is not seen here has not woken its task yet, which will ask again.
        self.wire.rung.load(Ordering::Relaxed) && self.wire.rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Wire {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // First the note, then the task that looks for it.
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const RINGS: usize = 20_000;

    #[tokio::test]
    async fn what_rings_while_one_looks_is_not_lost() {
        let said = Arc::new(AtomicUsize::new(0));
        let (mut bell, mut ringing) = (Bell::default(), None);
        let all_heard = poll_fn(|cx| {
            bell.hangs_at(cx.waker());
            ringing.get_or_insert_with(|| {
                let (said, waker) = (Arc::clone(&said), bell.waker().clone());
                std::thread::spawn(move || {
                    for ring in 1..=RINGS {
                        said.store(ring, Ordering::Release);
                        waker.wake_by_ref();
                    }
                })
            });
            let heard = bell.has_rung().then(|| said.load(Ordering::Acquire));
            if heard == Some(RINGS) { Poll::Ready(()) } else { Poll::Pending }
        });
        timeout(Duration::from_secs(60), all_heard).await.expect("the last ring is heard");
    }

    #[test]
    fn a_bell_that_moves_to_another_task_says_so() {
        // One and the same: what never wakes has no address of its own.
        let task = Waker::noop().clone();
        let mut bell = Bell::at(&task);
        assert!(!bell.hangs_at(&task));
        let other = Bell::at(Waker::noop());
        assert!(bell.hangs_at(other.waker()));
        assert!(!bell.hangs_at(other.waker()));
        bell.waker().wake_by_ref();
        assert!(bell.has_rung() && other.has_rung());
        assert!(!bell.has_rung() && !other.has_rung());
    }
}
