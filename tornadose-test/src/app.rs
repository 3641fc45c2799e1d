//! The parts that a harness and the builders of its clients share.

use std::sync::Arc;

use crate::journal::Journal;
use crate::server::ServerControl;

/// A server under test, and the journal of its clients.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) journal: Arc<Journal>,
    pub(crate) server: ServerControl,
}
