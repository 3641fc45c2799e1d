//! A client's handle to its journal. The tasks of its connections record through it.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use tokio::time::{Instant, sleep};

use crate::entry::{CutPoint, Happening};
use crate::journal::Journal;
use crate::journal::client_state::{ClientState, Ending};

#[derive(Clone)]
pub(crate) struct ClientLog {
    pub(crate) journal: Arc<Journal>,
    /// The client's index in the journal.
    pub(crate) client: usize,
}

impl ClientLog {
    pub(crate) fn with_state<T>(&self, f: impl FnOnce(&mut ClientState) -> T) -> T {
        self.journal.with_client(self.client, f)
    }

    pub(crate) fn name(&self) -> String {
        self.journal.name(self.client)
    }

    pub(crate) fn happenings(&self) -> Vec<Happening> {
        self.journal.happenings(self.client)
    }

    pub(crate) fn record(&self, happening: Happening) {
        self.journal.record(self.client, happening);
    }

    /// Marks the answers and ends so far as seen by the test.
    pub(crate) fn mark_seen(&self) {
        self.journal.mark_seen(self.client);
    }

    /// Records an action that the client took automatically.
    pub(crate) fn record_automatic(&self, happening: Happening) {
        self.journal.record_automatic(self.client, happening);
    }

    /// Records the end of the connection; without an entry if the end has one already.
    pub(crate) fn record_end(&self, happening: Option<Happening>, ending: Ending) {
        self.journal.record_end(self.client, happening, ending);
    }

    /// Records that the connection broke off, unless the test cut it: then it has its entry already.
    pub(crate) fn record_abort(&self) {
        self.mark_disconnected();
        let is_cut = self.with_state(|state| state.is_cut());
        self.record_end((!is_cut).then_some(Happening::Abort), Ending::Abort);
    }

    /// Records that a fault has cut the connection.
    pub(crate) fn record_cut(&self, point: CutPoint) {
        self.mark_disconnected();
        self.record_end(Some(Happening::Cut(point)), Ending::Abort);
    }

    /// Records that the server closed the connection of a WebSocket, with or without a closing handshake.
    pub(crate) fn record_disconnect(&self) {
        if self.with_state(|state| state.ending.is_some()) { self.mark_disconnected() } else { self.record_abort() }
    }

    pub(crate) fn record_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.record(Happening::Header { name: name.to_string(), value: value.as_bytes().to_vec() });
        }
    }

    /// Appends to the body of a plain response.
    pub(crate) fn append_body(&self, bytes: &[u8]) {
        self.journal.append_body(self.client, bytes);
    }

    pub(crate) fn set_head(&self, status: u16, headers: &HeaderMap) {
        self.with_state(|state| state.head = Some((status, headers.clone())));
    }

    pub(crate) fn mark_disconnected(&self) {
        self.with_state(|state| state.disconnected = true);
    }

    /// Returns the code of the close frame that the client has sent.
    pub(crate) fn close_sent(&self) -> Option<u16> {
        self.with_state(|state| state.close_sent)
    }

    /// Returns the id to reconnect with; `None` when the server has reset it with an empty id.
    pub(crate) fn last_event_id(&self) -> Option<String> {
        self.with_state(|state| state.last_event_id.clone().filter(|id| !id.is_empty()))
    }

    /// Waits for the delay that the server has asked for, and resets the state for the next connection.
    pub(crate) async fn wait_to_reconnect(&self) {
        // With a delay of 0, a server that ends every stream at once would keep the clock from moving.
        let delay = self.with_state(|state| state.retry).max(Duration::from_millis(1));
        let at = Instant::now().checked_add(delay);
        self.with_state(|state| state.reconnect_at = at);
        sleep(delay).await;
        self.with_state(ClientState::start_connection);
    }
}
