//! The sockets of a server whose streams may detach: how a request finds its own, and how that is given to its
//! stream.
//!
//! hyper hands a socket over only for an upgrade. So the acceptor wraps each socket and enters it in a
//! [`SocketTable`]; a request finds its own there, see [`SocketTable::claim`]. The stream then *requests* the socket
//! and waits. The wrapper gives the socket up when hyper has flushed it: at that moment everything that hyper had to
//! write is written. What hyper writes afterwards is discarded.

use std::collections::BTreeMap;
use std::net;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use salvo::conn::{ConnCtrl, SocketAddr};

use crate::handler::connection::attached::AttachedReason;
use crate::handler::connection::io::Socket;

// --- One connection

/// The socket of one connection, for the stream that may take it over.
pub(crate) struct SocketHandle {
    /// A clone of the control that Salvo puts into each request of this connection.
    conn_ctrl: ConnCtrl,
    /// Whether `transfer` is `Requested`, readable without its lock: the wrapper asks at every flush.
    requested: AtomicBool,
    /// Whether the socket has not taken bytes at once since a stream requested it.
    write_blocked: AtomicBool,
    transfer: Mutex<Transfer>,
}

enum Transfer {
    Idle,
    /// A stream waits for the socket, with this waker.
    Requested(Waker),
    Given(Box<dyn Socket>),
}

impl SocketHandle {
    pub(crate) fn new(conn_ctrl: ConnCtrl) -> Self {
        Self {
            conn_ctrl,
            requested: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            transfer: Mutex::new(Transfer::Idle),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Transfer> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests the socket. Returns it once it was given; until then `waker` is woken when that happens.
    pub(crate) fn request(&self, waker: &Waker) -> Option<Box<dyn Socket>> {
        let mut transfer = self.lock();
        match std::mem::replace(&mut *transfer, Transfer::Idle) {
            Transfer::Given(socket) => return Some(socket),
            // The server flushes after this, and marks the socket again if it is still blocked.
            Transfer::Idle => self.write_blocked.store(false, Ordering::Relaxed),
            Transfer::Requested(_) => {}
        }
        *transfer = Transfer::Requested(waker.clone());
        self.requested.store(true, Ordering::Relaxed);
        None
    }

    /// Withdraws the request. Returns the socket if it was given meanwhile, else why not.
    pub(crate) fn withdraw(&self) -> Result<Box<dyn Socket>, AttachedReason> {
        let mut transfer = self.lock();
        self.requested.store(false, Ordering::Relaxed);
        match std::mem::replace(&mut *transfer, Transfer::Idle) {
            Transfer::Given(socket) => Ok(socket),
            Transfer::Idle | Transfer::Requested(_) if self.write_blocked.load(Ordering::Relaxed) => {
                Err(AttachedReason::HeadNotTaken)
            }
            Transfer::Idle | Transfer::Requested(_) => Err(AttachedReason::NotFlushed),
        }
    }

    /// Records that the socket does not take bytes at once, because its client does not.
    #[cold]
    pub(crate) fn mark_write_blocked(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
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
        if let Transfer::Requested(waker) = &*transfer
            && let Some(given) = socket.take()
        {
            let waker = waker.clone();
            *transfer = Transfer::Given(given);
            self.requested.store(false, Ordering::Relaxed);
            drop(transfer);
            waker.wake();
        }
    }
}

// --- All connections of a server

/// The connections of a server whose acceptor wraps its sockets.
#[derive(Default)]
pub(crate) struct SocketTable {
    handles: Mutex<BTreeMap<SocketKey, Arc<SocketHandle>>>,
    accepted: AtomicU64,
}

/// The addresses of a socket's connection, and its number among all that were accepted.
pub(crate) type SocketKey = (Address, u64);

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

impl SocketTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketKey, Arc<SocketHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, address: Address, conn_ctrl: ConnCtrl) -> (SocketKey, Arc<SocketHandle>) {
        let key = (address, self.accepted.fetch_add(1, Ordering::Relaxed));
        let handle = Arc::new(SocketHandle::new(conn_ctrl));
        self.lock().insert(key, Arc::clone(&handle));
        (key, handle)
    }

    pub(crate) fn remove(&self, key: SocketKey) {
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
    fn claim(&self, address: Address, conn_ctrl: &ConnCtrl) -> Result<Arc<SocketHandle>, AttachedReason> {
        if conn_ctrl.is_relaxed() {
            return Err(AttachedReason::RelaxedBefore);
        }
        let handles = self.lock();
        let at_address = handles.range((address, 0)..=(address, u64::MAX)).map(|(_, handle)| handle);
        let candidates: Vec<_> = at_address.filter(|handle| !handle.conn_ctrl.is_relaxed()).collect();
        conn_ctrl.relax_timeouts();
        let mut relaxed = candidates.into_iter().filter(|handle| handle.conn_ctrl.is_relaxed());
        match (relaxed.next(), relaxed.next()) {
            (Some(handle), None) => Ok(Arc::clone(handle)),
            _ => Err(AttachedReason::NotRecognized),
        }
    }
}

/// Where the connection of a request is found. The outermost middleware puts it into the request.
#[derive(Clone)]
pub(crate) struct SocketLookup {
    pub(crate) table: Arc<SocketTable>,
    pub(crate) address: Address,
    /// Why a stream of this request stays attached, if that is known.
    pub(crate) attached: Option<AttachedReason>,
}

impl SocketLookup {
    /// Returns the connection of the request that carries `conn_ctrl`, if its socket can be given away, else why not.
    /// Relaxes the control's timeouts in search of it.
    pub(crate) fn claim(&self, conn_ctrl: &ConnCtrl) -> Result<Arc<SocketHandle>, AttachedReason> {
        self.attached.map_or_else(|| self.table.claim(self.address, conn_ctrl), Err)
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
    fn open<const N: usize>(ports: [u16; N]) -> (SocketTable, [Arc<SocketHandle>; N]) {
        let table = SocketTable::default();
        let handles = ports.map(|port| table.insert(address(port), ConnCtrl::new()).1);
        (table, handles)
    }

    #[test]
    fn a_request_finds_its_own_connection_also_among_several_at_one_address() {
        let (table, handles) = open([1, 2, 2, 2]);
        for (handle, port) in handles.iter().zip([1, 2, 2, 2]) {
            let found = table.claim(address(port), &handle.conn_ctrl.clone()).expect("it is open");
            assert!(Arc::ptr_eq(&found, handle));
        }
    }

    #[test]
    fn a_request_of_no_open_connection_finds_none() {
        let (table, handles) = open([1, 2]);
        // The control of another server's connection.
        assert!(table.claim(address(1), &ConnCtrl::new()).err() == Some(AttachedReason::NotRecognized));
        // A connection at another address.
        assert!(table.claim(address(3), &handles[0].conn_ctrl).is_err());
        // A connection that is gone.
        table.remove((address(2), 1));
        assert!(table.claim(address(2), &handles[1].conn_ctrl).is_err());
        assert_eq!(table.lock().len(), 1);
    }

    #[test]
    fn a_connection_that_was_relaxed_before_is_not_found() {
        let (table, handles) = open([1]);
        handles[0].conn_ctrl.relax_timeouts();
        assert!(table.claim(address(1), &handles[0].conn_ctrl).err() == Some(AttachedReason::RelaxedBefore));
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
        assert_eq!(handle.withdraw().err(), Some(AttachedReason::NotFlushed));
        held = Some(socket());
        handle.give(&mut held);
        assert!(held.is_some());
    }
}
