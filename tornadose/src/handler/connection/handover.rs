//! How a stream takes over the socket of its connection once the response head is written, so that hyper's buffers
//! and Salvo's futures can be dropped.
//!
//! hyper hands a socket over only for an upgrade. So the acceptor wraps each socket and enters the connection in an
//! [`OpenConnections`]; a request finds its own connection there, see [`OpenConnections::claim`]. The stream then *requests* the
//! socket and waits. The wrapper gives the socket up when hyper has flushed it: at that moment everything that hyper
//! had to write is written. What is left of the connection in hyper's hands writes to nowhere.
//!
//! The stream requests the socket only when the outermost middleware has agreed: the response's body must still be
//! the stream itself, in chunks of HTTP/1.1 (RFC 9112 §7.1), on a connection that closes with the response (RFC 9112
//! §9.6). Every other stream stays *attached*: its server writes it.

use std::collections::BTreeMap;
use std::net;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use salvo::Response;
use salvo::conn::{ConnCtrl, SocketAddr};
use salvo::http::ResBody;
use salvo::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What bytes are written to and read from.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Socket for IO {}

// --- Why a stream stays attached

/// Why a stream of a service that is wrapped by a [`Handover`](crate::Handover) stays with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachedReason {
    /// The request is not HTTP/1.1.
    HttpVersion,
    /// The request has a body, which the server has yet to read from the socket.
    RequestBody,
    /// A middleware has replaced the response's body, or set its length or encoding.
    Response,
    /// The timeouts of the connection were relaxed before, so it could not be recognised.
    RelaxedBefore,
    /// The connection of the request was not found among those of the acceptor.
    NotRecognised,
    /// The server did not flush the socket after the first frame.
    NotFlushed,
}

impl AttachedReason {
    fn name(self) -> &'static str {
        match self {
            Self::HttpVersion => "http version",
            Self::RequestBody => "request body",
            Self::Response => "response replaced or of fixed length",
            Self::RelaxedBefore => "timeouts relaxed before",
            Self::NotRecognised => "connection not recognised",
            Self::NotFlushed => "not flushed",
        }
    }

    /// Logs this reason the first time that it occurs in the process. A reason that shows that hyper or Salvo works
    /// in another way than this module expects, or that a socket's acceptor is not wrapped, is a warning.
    pub(crate) fn log_once(self) {
        static LOGGED: AtomicU8 = AtomicU8::new(0);
        let bit = 1 << self as u8;
        if LOGGED.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        let reason = self.name();
        if matches!(self, Self::NotRecognised | Self::NotFlushed) {
            tracing::warn!(target: "tornadose", reason, "stream not detached");
        } else {
            tracing::debug!(target: "tornadose", reason, "stream not detached");
        }
    }
}

// --- One connection

/// A connection that may give its socket to a stream.
pub(crate) struct ConnectionHandle {
    /// A clone of the control that Salvo puts into each request of this connection.
    control: ConnCtrl,
    /// Whether `transfer` is `Requested`, readable without its lock: the wrapper asks at every flush.
    requested: AtomicBool,
    transfer: Mutex<Transfer>,
}

enum Transfer {
    Idle,
    /// A stream waits for the socket, with this waker.
    Requested(Waker),
    Given(Box<dyn Socket>),
}

impl ConnectionHandle {
    fn new(control: ConnCtrl) -> Self {
        Self { control, requested: AtomicBool::new(false), transfer: Mutex::new(Transfer::Idle) }
    }

    fn lock(&self) -> MutexGuard<'_, Transfer> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests the socket. Returns it once it was given; until then `waker` is woken when that happens.
    fn request(&self, waker: &Waker) -> Option<Box<dyn Socket>> {
        let mut transfer = self.lock();
        match std::mem::replace(&mut *transfer, Transfer::Idle) {
            Transfer::Given(socket) => Some(socket),
            Transfer::Idle | Transfer::Requested(_) => {
                *transfer = Transfer::Requested(waker.clone());
                self.requested.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// Withdraws the request. Returns the socket if it was given meanwhile.
    fn withdraw(&self) -> Option<Box<dyn Socket>> {
        let mut transfer = self.lock();
        self.requested.store(false, Ordering::Relaxed);
        match std::mem::replace(&mut *transfer, Transfer::Idle) {
            Transfer::Given(socket) => Some(socket),
            Transfer::Idle | Transfer::Requested(_) => None,
        }
    }

    /// Whether a stream waits for the socket.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Gives the socket to the stream that requested it, and takes it out of `socket`; leaves it there when none
    /// does.
    pub(crate) fn give(&self, socket: &mut Option<Box<dyn Socket>>) {
        let mut transfer = self.lock();
        if let (Transfer::Requested(waker), Some(given)) = (&*transfer, socket.take_if(|_| self.is_requested())) {
            let waker = waker.clone();
            *transfer = Transfer::Given(given);
            self.requested.store(false, Ordering::Relaxed);
            drop(transfer);
            waker.wake();
        }
    }
}

// --- All connections of a server

/// The open connections of a server whose acceptor wraps its sockets.
#[derive(Default)]
pub(crate) struct OpenConnections {
    handles: Mutex<BTreeMap<ConnectionKey, Arc<ConnectionHandle>>>,
    accepted: AtomicU64,
}

/// A connection's addresses, and its number among all that were accepted.
pub(crate) type ConnectionKey = (Address, u64);

/// The addresses of a connection's two ends. Several connections may have the same: one port bound to all local
/// addresses is reported as one local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    local: EndAddress,
    remote: EndAddress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndAddress {
    Ip(net::SocketAddr),
    /// A Unix socket, or whatever has no address that could be compared.
    Other,
}

impl From<&SocketAddr> for EndAddress {
    fn from(address: &SocketAddr) -> Self {
        address.clone().into_std().map_or(Self::Other, Self::Ip)
    }
}

impl Address {
    pub(crate) fn new(local: &SocketAddr, remote: &SocketAddr) -> Self {
        Self { local: local.into(), remote: remote.into() }
    }
}

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionKey, Arc<ConnectionHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, address: Address, control: ConnCtrl) -> (ConnectionKey, Arc<ConnectionHandle>) {
        let key = (address, self.accepted.fetch_add(1, Ordering::Relaxed));
        let handle = Arc::new(ConnectionHandle::new(control));
        self.lock().insert(key, Arc::clone(&handle));
        (key, handle)
    }

    pub(crate) fn remove(&self, key: ConnectionKey) {
        self.lock().remove(&key);
    }

    /// Returns the connection whose requests carry this control, and relaxes the control's timeouts.
    ///
    /// A request names its connection by its addresses, which several may share, and by its control, whose identity
    /// Salvo does not show. But clones of a control share one state: of the connections at the address, the right one
    /// is that whose clone turns relaxed when this control is relaxed.
    ///
    /// # Errors
    ///
    /// When none or more than one turns relaxed (because another control is relaxed at the same moment), or when the
    /// control was relaxed before, so that no change can be seen.
    fn claim(&self, address: Address, control: &ConnCtrl) -> Result<Arc<ConnectionHandle>, AttachedReason> {
        if control.is_relaxed() {
            return Err(AttachedReason::RelaxedBefore);
        }
        let handles = self.lock();
        let at_address = handles.range((address, 0)..=(address, u64::MAX)).map(|(_, handle)| handle);
        let candidates: Vec<_> = at_address.filter(|handle| !handle.control.is_relaxed()).collect();
        control.relax_timeouts();
        let mut relaxed = candidates.into_iter().filter(|handle| handle.control.is_relaxed());
        match (relaxed.next(), relaxed.next()) {
            (Some(handle), None) => Ok(Arc::clone(handle)),
            _ => Err(AttachedReason::NotRecognised),
        }
    }
}

/// Where the connection of a request is found. The outermost middleware puts it into the request.
#[derive(Clone)]
pub(crate) struct ConnectionLookup {
    pub(crate) connections: Arc<OpenConnections>,
    pub(crate) address: Address,
    /// Why a stream of this request stays attached, if that is known.
    pub(crate) attached: Option<AttachedReason>,
}

impl ConnectionLookup {
    /// Returns the connection of the request that carries `control`, if its socket can be given away, else why not.
    /// Relaxes the control's timeouts in search of it.
    pub(crate) fn claim(&self, control: &ConnCtrl) -> Result<Arc<ConnectionHandle>, AttachedReason> {
        self.attached.map_or_else(|| self.connections.claim(self.address, control), Err)
    }
}

// --- A stream's side

/// A stream that may take its socket over, until that is decided.
pub(crate) struct StreamHandover {
    /// What the stream begins with. It is written before the socket changes hands.
    first: Bytes,
    connection: Arc<ConnectionHandle>,
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
    pub(crate) fn new(first: Bytes, connection: Arc<ConnectionHandle>) -> Self {
        Self { first, connection, agreed: Arc::default(), state: State::Begin }
    }

    /// Returns what the stream does next. `waker` is woken when that changes.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Step {
        match self.state {
            State::Begin if self.agreed.load(Ordering::Relaxed) => {
                self.state = State::FirstReturned;
                Step::First(std::mem::take(&mut self.first))
            }
            State::Begin => {
                AttachedReason::Response.log_once();
                self.state = State::Decided;
                Step::First(std::mem::take(&mut self.first))
            }
            State::FirstReturned => match self.connection.request(waker) {
                Some(socket) => {
                    self.state = State::Decided;
                    Step::Detached(socket)
                }
                None => Step::Wait,
            },
            State::Decided => Step::Attached,
        }
    }

    /// Stops waiting for the socket, because the stream has something else to do.
    pub(crate) fn stop_waiting(&mut self) -> Step {
        self.state = State::Decided;
        self.connection.withdraw().map_or(Step::Attached, Step::Detached)
    }
}

impl Drop for StreamHandover {
    fn drop(&mut self) {
        // A socket that was given to a stream that is gone is closed here.
        drop(self.connection.withdraw());
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

// --- A WebSocket's side

/// The socket of an upgraded connection.
pub(crate) struct UpgradedSocket {
    pub(crate) socket: Box<dyn Socket>,
    /// Input that was read from the socket before.
    pub(crate) read: Vec<u8>,
    /// Whether this is the socket itself, and not the upgraded connection around it.
    pub(crate) is_detached: bool,
}

/// Takes the socket out of an upgraded connection. Without a handle, or when the socket has not been flushed, the
/// upgraded connection itself is the socket.
pub(crate) fn take_upgraded(upgraded: Upgraded, connection: Option<Arc<ConnectionHandle>>) -> UpgradedSocket {
    let mut upgraded = TokioIo::new(upgraded);
    let cx = &mut Context::from_waker(Waker::noop());
    let given = connection.and_then(|connection| {
        connection.request(Waker::noop());
        // Its result does not matter: an error shows again in the first write.
        let _flushed = Pin::new(&mut upgraded).poll_flush(cx);
        connection.withdraw()
    });
    let Some(socket) = given else {
        return UpgradedSocket { socket: Box::new(upgraded), read: Vec::new(), is_detached: false };
    };
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut upgraded).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => read.extend_from_slice(buffer.filled()),
            // What hyper had read is read, and the wrapper has no socket.
            _ => return UpgradedSocket { socket, read, is_detached: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use tokio::io::duplex;

    use super::*;

    fn address(port: u16) -> Address {
        let end = |port| SocketAddr::from(net::SocketAddr::from(([127, 0, 0, 1], port)));
        Address::new(&end(80), &end(port))
    }

    /// Connections at the addresses of these ports.
    fn open<const N: usize>(ports: [u16; N]) -> (OpenConnections, [Arc<ConnectionHandle>; N]) {
        let connections = OpenConnections::default();
        let handles = ports.map(|port| connections.insert(address(port), ConnCtrl::new()).1);
        (connections, handles)
    }

    #[test]
    fn a_request_finds_its_own_connection_also_among_several_at_one_address() {
        let (connections, handles) = open([1, 2, 2, 2]);
        for (handle, port) in handles.iter().zip([1, 2, 2, 2]) {
            let found = connections.claim(address(port), &handle.control.clone()).expect("it is open");
            assert!(Arc::ptr_eq(&found, handle));
        }
    }

    #[test]
    fn a_request_of_no_open_connection_finds_none() {
        let (connections, handles) = open([1, 2]);
        // The control of another server's connection.
        assert!(connections.claim(address(1), &ConnCtrl::new()).err() == Some(AttachedReason::NotRecognised));
        // A connection at another address.
        assert!(connections.claim(address(3), &handles[0].control).is_err());
        // A connection that is gone.
        connections.remove((address(2), 1));
        assert!(connections.claim(address(2), &handles[1].control).is_err());
        assert_eq!(connections.lock().len(), 1);
    }

    #[test]
    fn a_connection_that_was_relaxed_before_is_not_found() {
        let (connections, handles) = open([1]);
        handles[0].control.relax_timeouts();
        assert!(connections.claim(address(1), &handles[0].control).err() == Some(AttachedReason::RelaxedBefore));
    }

    #[derive(Default)]
    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn socket() -> Box<dyn Socket> {
        Box::new(duplex(1).0)
    }

    #[test]
    fn a_socket_is_given_once_and_only_on_request() {
        let (_, [handle]) = open([1]);
        let count = Arc::new(WakeCount::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut held = Some(socket());
        handle.give(&mut held);
        assert!(held.is_some() && !handle.is_requested());
        assert!(handle.request(&waker).is_none() && handle.is_requested());
        handle.give(&mut held);
        assert!(held.is_none() && !handle.is_requested());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(handle.request(&waker).is_some());
        // A request that is withdrawn is not served any more.
        assert!(handle.withdraw().is_none());
        held = Some(socket());
        handle.give(&mut held);
        assert!(held.is_some());
    }

    #[test]
    fn a_stream_waits_for_its_socket_only_when_the_middleware_agreed() {
        let first = || Bytes::from_static(b"retry: 300\n\n");
        for agreed in [true, false] {
            let (_, [handle]) = open([1]);
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
            let (_, [handle]) = open([1]);
            let mut stream = StreamHandover::new(Bytes::new(), Arc::clone(&handle));
            stream.agreed.store(true, Ordering::Relaxed);
            let _first = stream.poll(Waker::noop());
            assert!(matches!(stream.poll(Waker::noop()), Step::Wait));
            let mut held = Some(socket());
            if given {
                handle.give(&mut held);
            }
            assert!(matches!((given, stream.stop_waiting()), (true, Step::Detached(_)) | (false, Step::Attached)));
            assert!(!handle.is_requested());
        }
    }

    #[test]
    fn a_stream_that_is_dropped_requests_nothing() {
        let (_, [handle]) = open([1]);
        let mut stream = StreamHandover::new(Bytes::new(), Arc::clone(&handle));
        stream.agreed.store(true, Ordering::Relaxed);
        let _first = stream.poll(Waker::noop());
        assert!(matches!(stream.poll(Waker::noop()), Step::Wait));
        drop(stream);
        assert!(!handle.is_requested());
    }
}
