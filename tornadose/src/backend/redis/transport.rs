//! A stream of bytes to a server, whatever carries it.

use tokio::io::{AsyncRead, AsyncWrite};

/// A TCP connection, a Unix socket or TLS over one.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for S {}
