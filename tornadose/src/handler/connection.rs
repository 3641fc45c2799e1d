//! What connections of both transports have in common: their registry, how they are ended, logged and timed, and
//! their socket.

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
