//! How a client reaches its server: dialled for every connection anew, with the same request.

pub(crate) mod pipe;
pub(crate) mod pipe_control;

use hyper::header::HeaderValue;

use crate::client::builder::LAST_EVENT_ID;
use crate::client::connection::pipe::Pipe;
use crate::client::connection::pipe_control::Valve;
use crate::client::faults::Cuts;
use crate::client::http::Ask;
use crate::client::log::Place;
use crate::entry::What;
use crate::journal::client_state::Ending;
use crate::server::ServerControl;

/// What every connection of a client has in common.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) seat: Place,
    pub(crate) server: ServerControl,
    pub(crate) ask: Ask,
    /// How many bytes fit into the connection, each way.
    pub(crate) buffer_size: usize,
    pub(crate) valve: Valve,
    pub(crate) cuts: Cuts,
}

impl Link {
    /// A connection, `None` when nobody listens, which is recorded.
    pub(crate) fn dial(&self) -> Option<Pipe> {
        let stream = self.server.dial(self.buffer_size, Some(self.seat.number));
        if stream.is_none() {
            self.seat.ended(Some(What::Refused), Ending::Abort);
        }
        stream.map(|stream| Pipe::new(stream, self.valve.clone()))
    }

    /// The request of one that comes back: with the id it has got to, in a header for SSE, in the query for a WebSocket,
    /// whose page cannot set headers.
    pub(crate) fn ask_again(&mut self) {
        let id = self.seat.last_event_id();
        if self.ask.upgrade {
            if let Some(id) = id {
                self.ask.target = with_id(&self.ask.target, &id);
            }
        } else {
            self.ask.headers.remove(LAST_EVENT_ID);
            // An id that cannot stand in a header is left out.
            if let Some(Ok(id)) = id.map(|id| HeaderValue::from_bytes(id.as_bytes())) {
                self.ask.headers.insert(LAST_EVENT_ID, id);
            }
        }
        self.seat.record.note_unasked(self.seat.number, self.ask.line());
    }
}

/// A target whose query says which id was the last.
fn with_id(target: &str, id: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kept = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("last_event_id="));
    let id = format!("last_event_id={}", encoded(id));
    format!("{path}?{}", kept.chain([id.as_str()]).collect::<Vec<_>>().join("&"))
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::with_id;

    #[test]
    fn the_last_id_stands_in_the_query_once() {
        assert_eq!(with_id("/a", "k-1"), "/a?last_event_id=k-1");
        assert_eq!(with_id("/a?user=b&last_event_id=k-1", "k 2"), "/a?user=b&last_event_id=k%202");
    }
}
