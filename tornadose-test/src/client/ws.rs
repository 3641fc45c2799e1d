//! A WebSocket from the client's side, by RFC 6455: its handshake, its frames, its stream.

pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod inbound;
pub(crate) mod stream;
