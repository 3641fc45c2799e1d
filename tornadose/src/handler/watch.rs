//! Keys that the client of a WebSocket watches while it is connected: what it has asked for, and how far that is.
//! [`ws`](crate::handler::ws) receives the texts, and [`feed`](crate::handler::feed) writes what is kept of the keys.

pub(crate) mod watches;
pub(crate) mod watching;
