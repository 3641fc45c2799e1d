//! Servers for event streams: an acceptor with suitable socket options, streams that detach, and a stop that ends
//! them.

pub(crate) mod bind;
mod methods;
pub(crate) mod handover;
pub(crate) mod serve;
