//! The hooks `opened` and `closed` of a connection, each in a task of its own. A subscriber without them is served
//! without what is here.
//!
//! # Ordering
//!
//! `opened` runs after the reader was opened, and before its first message is read. `closed` runs after the connection
//! has ended, and only if `opened` returned `Ok`.
//!
//! # Lagging
//!
//! The reader reads nothing while `opened` runs. That is no stall, and a gap if the log does not keep what comes
//! meanwhile.
//!
//! # Closing
//!
//! A connection that has to end while `opened` runs is ended after the hook. One that is aborted is not counted any
//! more, and its hook runs on.

pub(crate) mod presence;
pub(crate) mod hooked;
pub(crate) mod opening;

use crate::handler::connection::registry::ConnectionPermit;
use crate::message::Message;
use crate::metrics;
use crate::store::closing::HookPermit;

/// Lets a store and a server that close wait for the hooks of one connection.
pub(crate) struct HookPermits<M: Message> {
    pub(crate) _store: HookPermit<M>,
    pub(crate) _server: Option<ConnectionPermit>,
}

/// Which hooks the connections of a subscriber have.
#[derive(Clone, Copy)]
pub(crate) struct Hooks {
    pub(crate) has_opened: bool,
    pub(crate) has_closed: bool,
}

/// A hook of a connection, as logs and metrics name it.
#[derive(Clone, Copy)]
pub(crate) struct HookName {
    pub(crate) hook: &'static str,
    pub(crate) transport: &'static str,
    pub(crate) number: u64,
}

impl HookName {
    pub(crate) fn log_panic(self) {
        let Self { hook, transport, number } = self;
        tracing::error!(target: "tornadose", transport, number, hook, "hook panicked");
        metrics::hook_failed(hook, "panicked");
    }

    pub(crate) fn log_timeout(self) {
        let Self { hook, transport, number } = self;
        tracing::warn!(target: "tornadose", transport, number, hook, "hook timed out");
        metrics::hook_failed(hook, "timed_out");
    }

    pub(crate) fn count_refusal(self) {
        metrics::hook_failed(self.hook, "refused");
    }
}
