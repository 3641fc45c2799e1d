//! A client's place in its record: where the tasks of a connection put what they see.

use std::sync::Arc;

use salvo::http::HeaderMap;

use crate::record::Record;
use crate::record::line::What;
use crate::record::seat::Ending;

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

    /// The connection broke off in the midst of something.
    pub(crate) fn broke_off(&self) {
        self.gone();
        self.ended(Some(What::Abort), Ending::Abort);
    }

    /// The server has hung up a WebSocket: as agreed by close frames, or not.
    pub(crate) fn hung_up(&self) {
        if self.record.with_seat(self.number, |seat| seat.ending.is_some()) { self.gone() } else { self.broke_off() }
    }

    /// The code of the close that the client has sent, if it has.
    pub(crate) fn closing(&self) -> Option<u16> {
        self.record.with_seat(self.number, |seat| seat.closing)
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
