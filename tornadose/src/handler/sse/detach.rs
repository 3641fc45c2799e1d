//! How an SSE stream takes over the socket of its connection once the response head is written, so that hyper's
//! buffers and Salvo's futures can be dropped.
//!
//! The stream requests the socket only when the outermost middleware has agreed: the response's body must still be
//! the stream itself, in chunks of HTTP/1.1 (RFC 9112 §7.1), on a connection that closes with the response
//! (RFC 9112 §9.6). Every other stream stays *attached*: its server writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bytes::Bytes;
use salvo::Response;
use salvo::http::ResBody;
use salvo::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::handler::connection::attached::AttachedReason;
use crate::handler::connection::io::Socket;
use crate::handler::connection::socket_table::SocketHandle;

/// A stream that may take its socket over, until that is decided.
pub(crate) struct StreamHandover {
    /// What the stream begins with. It is written before the socket changes hands.
    first: Bytes,
    handle: Arc<SocketHandle>,
    agreed: Arc<AtomicBool>,
    state: State,
}

enum State {
    Begin,
    /// `first` is on its way to the socket; the body has nothing more until it is flushed.
    FirstReturned,
    Decided,
}

/// What a stream does next.
pub(crate) enum Step {
    /// Return these bytes as the body's first frame.
    First(Bytes),
    /// Wait until they are flushed.
    Wait,
    /// Go on by this socket, to which the first bytes are written.
    Detached(Box<dyn Socket>),
    /// Go on as a body: the stream stays with its server.
    Attached,
}

impl StreamHandover {
    pub(crate) fn new(first: Bytes, handle: Arc<SocketHandle>) -> Self {
        Self { first, handle, agreed: Arc::default(), state: State::Begin }
    }

    /// Returns what the stream does next. `waker` is woken when that changes.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Step {
        match self.state {
            State::Begin if self.agreed.load(Ordering::Relaxed) => {
                self.state = State::FirstReturned;
                Step::First(std::mem::take(&mut self.first))
            }
            State::Begin => {
                AttachedReason::Response.log_once("sse");
                self.state = State::Decided;
                Step::First(std::mem::take(&mut self.first))
            }
            State::FirstReturned => match self.handle.request(waker) {
                Some(socket) => {
                    self.state = State::Decided;
                    Step::Detached(socket)
                }
                None => Step::Wait,
            },
            State::Decided => Step::Attached,
        }
    }

    /// Stops waiting for the socket, because the stream has something else to do. Returns the socket if it was given
    /// meanwhile, else why not.
    pub(crate) fn stop_waiting(&mut self) -> Result<Box<dyn Socket>, AttachedReason> {
        self.state = State::Decided;
        self.handle.withdraw()
    }
}

impl Drop for StreamHandover {
    fn drop(&mut self) {
        // A socket that was given to a stream that is gone is closed here.
        drop(self.handle.withdraw());
    }
}

/// Tells the outermost middleware which stream may take its socket over.
#[derive(Clone)]
pub(crate) struct Proposal {
    /// The address of the stream, which is boxed.
    body: usize,
    agreed: Arc<AtomicBool>,
}

impl Proposal {
    pub(crate) fn new<B>(body: &B, handover: &StreamHandover) -> Self {
        Self { body: std::ptr::from_ref(body).addr(), agreed: Arc::clone(&handover.agreed) }
    }

    /// Agrees if the response is still the stream, in chunks. Returns whether it did.
    pub(crate) fn agree(self, res: &Response) -> bool {
        let is_stream = matches!(&res.body, ResBody::Boxed(body) if std::ptr::from_ref(&**body).addr() == self.body);
        let is_chunked = !res.headers.contains_key(CONTENT_LENGTH) && !res.headers.contains_key(TRANSFER_ENCODING);
        let agrees = is_stream && is_chunked;
        self.agreed.store(agrees, Ordering::Relaxed);
        agrees
    }
}

#[cfg(test)]
mod tests {
    use salvo::conn::ConnCtrl;
    use tokio::io::duplex;

    use super::*;

    fn socket() -> Box<dyn Socket> {
        Box::new(duplex(1).0)
    }

    #[test]
    fn a_stream_waits_for_its_socket_only_when_the_middleware_agreed() {
        let first = || Bytes::from_static(b"retry: 300\n");
        for agreed in [true, false] {
            let handle = Arc::new(SocketHandle::new(ConnCtrl::new()));
            let mut stream = StreamHandover::new(first(), Arc::clone(&handle));
            stream.agreed.store(agreed, Ordering::Relaxed);
            assert!(matches!(stream.poll(Waker::noop()), Step::First(bytes) if bytes == first()));
            assert!(!handle.is_requested(), "the first bytes are not written yet");
            assert!(matches!((agreed, stream.poll(Waker::noop())), (true, Step::Wait) | (false, Step::Attached)));
            assert_eq!(handle.is_requested(), agreed);
            let mut held = Some(socket());
            handle.give(&mut held);
            assert_eq!(held.is_none(), agreed);
            assert!(matches!(
                (agreed, stream.poll(Waker::noop())),
                (true, Step::Detached(_)) | (false, Step::Attached)
            ));
        }
    }

    #[test]
    fn a_stream_that_stops_waiting_keeps_a_socket_that_was_given_meanwhile() {
        for given in [true, false] {
            let handle = Arc::new(SocketHandle::new(ConnCtrl::new()));
            let mut stream = StreamHandover::new(Bytes::new(), Arc::clone(&handle));
            stream.agreed.store(true, Ordering::Relaxed);
            let _first = stream.poll(Waker::noop());
            assert!(matches!(stream.poll(Waker::noop()), Step::Wait));
            let mut held = Some(socket());
            if given {
                handle.give(&mut held);
            }
            assert_eq!(stream.stop_waiting().err(), (!given).then_some(AttachedReason::NotFlushed));
            assert!(!handle.is_requested());
        }
    }

    #[test]
    fn a_stream_that_is_dropped_requests_nothing() {
        let handle = Arc::new(SocketHandle::new(ConnCtrl::new()));
        let mut stream = StreamHandover::new(Bytes::new(), Arc::clone(&handle));
        stream.agreed.store(true, Ordering::Relaxed);
        let _first = stream.poll(Waker::noop());
        assert!(matches!(stream.poll(Waker::noop()), Step::Wait));
        drop(stream);
        assert!(!handle.is_requested());
    }
}
