//! The parts of a connection that both transports share: registry, control from outside, record, timers and socket.

pub(crate) mod record;
pub(crate) mod control;
pub(crate) mod registry;
pub(crate) mod catch_drop;
pub(crate) mod wake_source;
pub(crate) mod timers;
pub(crate) mod io;
pub(crate) mod attached;
pub(crate) mod socket_table;
pub(crate) mod pump;
