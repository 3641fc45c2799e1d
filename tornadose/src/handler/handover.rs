//! How a stream takes over the socket of its connection once the head is out, so that what served the request can be dropped: hyper's
//! buffers, Salvo's futures. What it does with the socket is `direct`'s affair.
//!
//! Neither hyper nor Salvo can be asked for it, so it is agreed on over what they carry. The hoop that stands before all others sees that the
//! response's body is the stream itself and not wrapped by a middleware, says that the connection closes behind it (RFC 9112 §9.6),
//! and agrees. The stream then offers its first piece. When a [`Socket`] is to write that very piece, the same bytes at the same
//! address, as the chunk behind a head, nothing between has changed the body: no encoding, no other protocol. Having written it whole,
//! it gives away what it writes to, and shows the server above a line that takes all and brings nothing. Whatever does not fit leaves
//! the stream with its server.
//!
//! A WebSocket is handed a line by hyper, and takes over what is beneath in the same way: by asking it to write nothing, at the address
//! of an offer of its own.

use std::cell::RefCell;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use salvo::http::header::{CONNECTION, HeaderValue};
use salvo::http::{ResBody, Version};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::chunk;

/// What bytes are written to and read from.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Socket for IO {}

thread_local! {
    /// The last offer on this thread: a server that asks a body for its first piece writes it in the same turn.
    static OFFER: RefCell<Option<Offer>> = const { RefCell::new(None) };
}

struct Offer {
    /// Kept, so that nothing else can lie at its address.
    piece: Bytes,
    claim: Weak<Claim>,
}

/// Where a socket is put for its stream.
#[derive(Default)]
struct Claim(Mutex<Option<Box<dyn Socket>>>);

impl Claim {
    fn take(&self) -> Option<Box<dyn Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// --- The stream's side

/// A stream that may take its socket over.
pub(crate) struct Handover {
    first: Bytes,
    agreed: Arc<AtomicBool>,
    state: State,
}

enum State {
    Begins,
    /// The first piece is on its way to the socket.
    Offered(Arc<Claim>),
    /// The server has been left to write it: when it asks next, it has, or will not.
    Waits(Arc<Claim>),
    Kept,
}

/// What a stream does next.
pub(crate) enum Turn {
    /// It gives the server its first piece.
    First(Bytes),
    /// It waits until that is written.
    Wait,
    /// It has taken its socket over, where its first piece is written.
    Taken(Box<dyn Socket>),
    /// It stays with its server.
    Kept,
}

impl Handover {
    /// A stream that begins with these bytes, which no other has.
    pub(crate) fn of(first: Bytes) -> Self {
        Self { first, agreed: Arc::default(), state: State::Begins }
    }

    pub(crate) fn turn(&mut self, waker: &Waker) -> Turn {
        let (state, turn) = match std::mem::replace(&mut self.state, State::Kept) {
            State::Begins => (self.begins(), Turn::First(self.first.clone())),
            State::Offered(claim) => {
                // It is asked again, at the latest, when the server has written what it has.
                waker.wake_by_ref();
                (State::Waits(claim), Turn::Wait)
            }
            State::Waits(claim) => (State::Kept, claim.take().map_or(Turn::Kept, Turn::Taken)),
            State::Kept => (State::Kept, Turn::Kept),
        };
        self.state = state;
        turn
    }

    fn begins(&self) -> State {
        if !self.agreed.load(Ordering::Relaxed) {
            return State::Kept;
        }
        let claim = Arc::new(Claim::default());
        let offer = Offer { piece: self.first.clone(), claim: Arc::downgrade(&claim) };
        OFFER.replace(Some(offer));
        State::Offered(claim)
    }
}

// --- The WebSocket's side

/// The socket beneath a line that was upgraded, and what was read of it before; the line itself where that does not give it away.
///
/// The line is asked to write nothing, which changes nothing for whoever else is asked.
pub(crate) fn beneath(line: Upgraded) -> (Box<dyn Socket>, Vec<u8>) {
    let mut line = TokioIo::new(line);
    let cx = &mut Context::from_waker(Waker::noop());
    let claim = Arc::new(Claim::default());
    let piece = Bytes::from(vec![0]);
    OFFER.replace(Some(Offer { piece: piece.clone(), claim: Arc::downgrade(&claim) }));
    // What it answers does not matter: either its socket is ours now, or it is used as it is.
    let _written = Pin::new(&mut line).poll_write(cx, &piece[..0]);
    OFFER.take();
    let Some(socket) = claim.take() else { return (Box::new(line), Vec::new()) };
    let mut read = Vec::new();
    let mut room = [0; 1024];
    loop {
        let mut room = ReadBuf::new(&mut room);
        match Pin::new(&mut line).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) if !room.filled().is_empty() => read.extend_from_slice(room.filled()),
            // The line has nothing more, and brings nothing.
            _ => return (socket, read),
        }
    }
}

// --- The socket's side

/// The stream that takes over the socket that writes its first piece.
pub(crate) struct Taker(Arc<Claim>);

impl Taker {
    /// Who takes over the socket that is to write these pieces.
    pub(crate) fn of(pieces: &[IoSlice<'_>]) -> Option<Self> {
        let [head, .., length, first, end] = pieces else { return None };
        let fits = |offer: &Offer| {
            std::ptr::eq(first.as_ptr(), offer.piece.as_ptr())
                && first.len() == offer.piece.len()
                && [&**length, first, end].concat() == chunk::of(first)
                && says_close(head)
        };
        let offer = OFFER.with_borrow_mut(|offer| offer.take_if(|offer| fits(offer)))?;
        offer.claim.upgrade().map(Self)
    }

    /// Who takes over the socket that is to write nothing: nothing at the address of an offer.
    pub(crate) fn of_nothing(nothing: &[u8]) -> Option<Self> {
        let fits = |offer: &Offer| nothing.is_empty() && std::ptr::eq(nothing.as_ptr(), offer.piece.as_ptr());
        let offer = OFFER.with_borrow_mut(|offer| offer.take_if(|offer| fits(offer)))?;
        offer.claim.upgrade().map(Self)
    }

    pub(crate) fn give(self, socket: Box<dyn Socket>) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).replace(socket);
    }
}

/// Whether the server has said in this head that its line closes behind it, as it does when nobody has changed what was agreed.
fn says_close(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').any(|line| line.eq_ignore_ascii_case(b"connection: close\r"))
}

// --- The hoop's side

/// Stands before all other hoops of a service.
pub(crate) struct Agrees;

/// Said to a handler by the hoop: what it answers may take its socket over.
#[derive(Clone, Copy)]
pub(crate) struct MayHandOver;

/// Said to the hoop by a handler.
#[derive(Clone)]
pub(crate) struct Proposal {
    /// Where the stream lies.
    body: usize,
    agreed: Arc<AtomicBool>,
}

impl Proposal {
    pub(crate) fn for_body<B>(body: &B, handover: &Handover) -> Self {
        Self { body: std::ptr::from_ref(body).addr(), agreed: Arc::clone(&handover.agreed) }
    }

    /// Whether the response's body is the stream itself.
    fn is_body_of(&self, res: &Response) -> bool {
        matches!(&res.body, ResBody::Boxed(body) if std::ptr::from_ref(&**body).addr() == self.body)
    }
}

#[async_trait]
impl Handler for Agrees {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        // What has a body of its own to be read is served as ever.
        if req.version() == Version::HTTP_11 && http_body::Body::is_end_stream(req.body()) {
            req.extensions_mut().insert(MayHandOver);
        }
        ctrl.call_next(req, depot, res).await;
        if let Some(proposal) = res.extensions.remove::<Proposal>()
            && proposal.is_body_of(res)
        {
            res.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            proposal.agreed.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use tokio::io::duplex;

    use super::*;
    use crate::store::rest::NOBODY;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    const OTHER: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n";
    const LENGTH: &[u8] = b"C\r\n";
    const LINE: &[u8] = b"\r\n";

    /// A stream that has offered its first piece, and that.
    fn offers(agreed: bool) -> (Handover, Bytes) {
        let mut stream = Handover::of(Bytes::from(b"retry: 300\n\n".to_vec()));
        stream.agreed.store(agreed, Ordering::Relaxed);
        let Turn::First(first) = stream.turn(&NOBODY) else { panic!("it begins with its first piece") };
        (stream, first)
    }

    /// Who takes over a socket that is to write this.
    fn taker(pieces: &[&[u8]]) -> Option<Taker> {
        let pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        Taker::of(&pieces)
    }

    #[test]
    fn a_socket_goes_to_the_stream_whose_very_bytes_it_writes_as_a_chunk() {
        let (mut stream, first) = offers(true);
        let copy = first.to_vec();
        for other in [
            &[HEAD, LENGTH, &copy, LINE][..],
            &[HEAD, LENGTH, &first[..11], LINE],
            &[HEAD, LENGTH, &first[1..], LINE],
            &[OTHER, LENGTH, &first, LINE],
            &[HEAD, LENGTH, &first, LINE, LENGTH],
            &[HEAD, LENGTH, &first],
            &[HEAD, &first],
            &[LENGTH, &first, LINE],
            &[&first],
            &[],
        ] {
            assert!(taker(other).is_none(), "{other:?}");
        }
        let offered = taker(&[HEAD, LENGTH, &first, LINE]).expect("it offered them");
        offered.give(Box::new(duplex(1).0));
        assert!(matches!(stream.turn(&NOBODY), Turn::Wait));
        assert!(matches!(stream.turn(&NOBODY), Turn::Taken(_)));
        assert!(matches!(stream.turn(&NOBODY), Turn::Kept));
        // No other line gives it a second.
        assert!(taker(&[HEAD, LENGTH, &first, LINE]).is_none());
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stream_that_waits_for_its_socket_is_asked_again_whoever_asks_it() {
        let (mut stream, _first) = offers(true);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        assert!(matches!(stream.turn(&Arc::clone(&woken).into()), Turn::Wait));
        assert!(woken.0.load(Ordering::Relaxed));
    }

    #[test]
    fn a_stream_stays_where_it_is_unless_it_was_agreed_and_done_in_time() {
        let whole = |first: &Bytes| taker(&[HEAD, LENGTH, first, LINE]);
        // Nobody agreed.
        let (mut stream, first) = offers(false);
        assert!(whole(&first).is_none());
        assert!(matches!(stream.turn(&NOBODY), Turn::Kept));
        // It was not written whole.
        let (mut stream, first) = offers(true);
        assert!(whole(&first).is_some());
        assert!(matches!(stream.turn(&NOBODY), Turn::Wait));
        assert!(matches!(stream.turn(&NOBODY), Turn::Kept));
        // It was written when the stream no longer waited.
        let (mut stream, first) = offers(true);
        assert!(matches!(stream.turn(&NOBODY), Turn::Wait));
        assert!(matches!(stream.turn(&NOBODY), Turn::Kept));
        assert!(whole(&first).is_none());
        // Another has begun on this thread before it was written.
        let (mut stream, first) = offers(true);
        let (mut other, others) = offers(true);
        assert!(whole(&first).is_none());
        assert!(whole(&others).is_some());
        for stream in [&mut stream, &mut other] {
            assert!(matches!(stream.turn(&NOBODY), Turn::Wait));
            assert!(matches!(stream.turn(&NOBODY), Turn::Kept));
        }
        // It was dropped meanwhile.
        let (stream, first) = offers(true);
        drop(stream);
        assert!(whole(&first).is_none());
    }
}
