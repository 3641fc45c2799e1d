//! The endpoint of a route: it serves connections, and knows the type of their messages, not that of their subscriber.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::handler::connection::registry::Connections;
use crate::handler::lifecycle::Hooks;
use crate::handler::served::ConnectionKind;
use crate::handler::settings::Settings;
use crate::handler::tickets::check::CheckTicket;
use crate::message::Message;
use crate::store::Store;

/// Serves the connections of one route. A clone counts them together with this.
pub(crate) struct Endpoint<M: Message> {
    pub(crate) store: Store<M>,
    pub(crate) settings: Settings,
    pub(crate) connections: Arc<Connections>,
    /// The permits of the hooks `load`.
    pub(crate) load_turns: Arc<Semaphore>,
    pub(crate) kind: ConnectionKind,
    pub(crate) hooks: Hooks,
    /// Checks the tickets of requests, where they need one.
    pub(crate) tickets: Option<Arc<dyn CheckTicket>>,
}

impl<M: Message> Clone for Endpoint<M> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            settings: self.settings.clone(),
            connections: Arc::clone(&self.connections),
            load_turns: Arc::clone(&self.load_turns),
            tickets: self.tickets.clone(),
            ..*self
        }
    }
}
