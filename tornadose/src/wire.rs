//! The wire formats of both transports. Plain functions from values to bytes and back; nothing here waits.

pub(crate) mod chunk;
pub(crate) mod sse;
pub(crate) mod ws;
