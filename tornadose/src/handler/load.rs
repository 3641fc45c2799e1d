//! The hook `load` of a connection: state from elsewhere, which the client is sent before what the log keeps. A subscriber
//! without it is served without what is here.
//!
//! # Ordering
//!
//! The reader is placed before the hook starts, so that everything that is submitted from then on follows what it loads. The
//! client is sent the gap if there is one, `tornadose:reset`, the loaded messages, then those of the log.
//!
//! # Lagging
//!
//! The reader reads nothing while the hook runs. When messages that it is owed are trimmed meanwhile, what was loaded is
//! dropped, and the hook runs again.
//!
//! # Closing
//!
//! A hook is dropped with its connection, and when its store or server closes.

pub(crate) mod failure;
pub(crate) mod loads;
mod hook;
pub(crate) mod loading;
pub(crate) mod opening;
