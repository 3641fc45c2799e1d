//! A client's place in its record: where the tasks of a connection put what they see.

use std::sync::Arc;
use std::time::Duration;

use salvo::http::HeaderMap;
use tokio::time::Instant;

use crate::entry::{Severed, What};
use crate::journal::Record;
use crate::journal::client_state::{Ending, Seat};

/// A client's place in its record, as its connection's tasks hold it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) record: Arc<Record>,
    pub(crate) number: usize,
}

impl Place {
    pub(crate) fn note(&self, what: What) {
        self.record.note(self.number, what);
    }

    pub(crate) fn ended(&self, what: Option<What>, ending: Ending) {
        self.record.ended(self.number, what, ending);
    }

    /// The connection broke off in the midst of something; if the test has cut it, that is said already.
    pub(crate) fn broke_off(&self) {
        self.gone();
        let cut = self.record.with_seat(self.number, |seat| seat.is_cut());
        self.ended((!cut).then_some(What::Abort), Ending::Abort);
    }

    /// A fault has cut the connection.
    pub(crate) fn severed(&self, severed: Severed) {
        self.gone();
        self.ended(Some(What::Cut(severed)), Ending::Abort);
    }

    /// The server has hung up a WebSocket: as agreed by close frames, or not.
    pub(crate) fn hung_up(&self) {
        if self.record.with_seat(self.number, |seat| seat.ending.is_some()) { self.gone() } else { self.broke_off() }
    }

    /// The code of the close that the client has sent, if it has.
    pub(crate) fn closing(&self) -> Option<u16> {
        self.record.with_seat(self.number, |seat| seat.closing)
    }

    /// The id to come back with; none when the server has taken it back.
    pub(crate) fn last_event_id(&self) -> Option<String> {
        self.record.with_seat(self.number, |seat| seat.last_event_id.clone().filter(|id| !id.is_empty()))
    }

    /// Waits as long as the server has asked for, and gets ready for another connection.
    pub(crate) async fn wait_to_return(&self) {
        // At 0 a server that always ends at once would hold the clock for ever.
        let wait = self.record.with_seat(self.number, |seat| seat.retry).max(Duration::from_millis(1));
        let due = Instant::now().checked_add(wait);
        self.record.with_seat(self.number, |seat| seat.due = due);
        tokio::time::sleep(wait).await;
        self.record.with_seat(self.number, Seat::reopen);
    }

    pub(crate) fn head(&self, status: u16, headers: &HeaderMap) {
        self.record.with_seat(self.number, |seat| seat.head = Some((status, headers.clone())));
    }

    pub(crate) fn note_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.note(What::Header { name: name.to_string(), value: value.as_bytes().to_vec() });
        }
    }

    pub(crate) fn answer_more(&self, bytes: &[u8]) {
        self.record.answer_more(self.number, bytes);
    }

    pub(crate) fn gone(&self) {
        self.record.with_seat(self.number, |seat| seat.gone = true);
    }
}
