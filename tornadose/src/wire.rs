//! Bytes in, bytes out: what events look like on each transport. Nothing here waits.

pub(crate) mod chunk;
pub(crate) mod sse;
pub(crate) mod ws;
