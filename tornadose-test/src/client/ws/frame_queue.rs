//! The frames that a WebSocket client sends: the test's, its pongs, and its reply to a close.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A handle to the queue of the present connection.
#[derive(Clone, Default)]
pub(crate) struct FrameQueue {
    current: Arc<Mutex<Option<UnboundedSender<Vec<u8>>>>>,
}

impl FrameQueue {
    /// Begins the queue of a new connection, and returns its frames.
    pub(crate) fn begin(&self) -> UnboundedReceiver<Vec<u8>> {
        let (send, frames) = unbounded_channel();
        *self.lock() = Some(send);
        frames
    }

    pub(crate) fn push(&self, frame: Vec<u8>) {
        if let Some(current) = &*self.lock() {
            // A failed send means that the connection ends at this instant; the transcript then shows that.
            let _ = current.send(frame);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnboundedSender<Vec<u8>>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
