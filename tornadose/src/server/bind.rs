//! The TCP acceptor that suits event streams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use salvo::conn::tcp::TcpAcceptor;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};

/// How long a byte may stay unacknowledged before the kernel gives the connection up (RFC 5482 §3.1).
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on an address, with the socket options that suit event streams: Nagle's algorithm is off, so that a small
/// event is sent at once; on Linux, a client that vanished is noticed 30 s after the first byte that it does not
/// acknowledge.
///
/// # Errors
///
/// When the address cannot be resolved, or cannot be taken; the second error names it. (Salvo's own listener panics.)
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tornadose::prelude::*;
///
/// let acceptor = tornadose::listen("127.0.0.1:0").await?;
/// assert_ne!(acceptor.local_addr()?.port(), 0);
/// let server = Server::new(acceptor);
/// # drop(server);
/// # Ok(())
/// # }
/// ```
pub async fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpAcceptor> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the address resolved to nothing");
    let unresolved = |error: io::Error| io::Error::new(error.kind(), format!("cannot resolve the address: {error}"));
    for addr in lookup_host(addr).await.map_err(unresolved)? {
        match listen_at(addr).and_then(TcpAcceptor::try_from) {
            Ok(acceptor) => return Ok(acceptor),
            Err(error) => refused = io::Error::new(error.kind(), BindError { addr, error }),
        }
    }
    Err(refused)
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An address that could not be bound. A `main` that returns it prints its `Debug`, so `Debug` is a sentence too.
struct BindError {
    addr: SocketAddr,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.addr, self.error)
    }
}

impl fmt::Debug for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BindError {}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::{USER_TIMEOUT, listen};

    #[tokio::test]
    async fn an_accepted_socket_has_no_delay_and_a_user_timeout() {
        let acceptor = listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), acceptor.inner().accept());
        let (socket, _) = accepted.unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }
}
