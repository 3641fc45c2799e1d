//! The connections of a client: it dials its server for each, and sends the same request.

pub(crate) mod pipe;
pub(crate) mod pipe_control;

use hyper::header::HeaderValue;

use crate::client::connection::pipe::Pipe;
use crate::client::connection::pipe_control::PipeControl;
use crate::client::faults::armed_cuts::ArmedCuts;
use crate::client::http::{LAST_EVENT_ID, RequestSpec};
use crate::client::log::ClientLog;
use crate::entry::Happening;
use crate::journal::client_state::Ending;
use crate::server::ServerControl;

/// The next step of a client whose connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterLoss {
    /// Reconnect, if the client is one that does.
    Reconnect,
    /// Stop: a page would not reconnect either.
    Stop,
}

/// The parameters that every connection of a client shares.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) log: ClientLog,
    pub(crate) server: ServerControl,
    pub(crate) request: RequestSpec,
    /// The number of bytes that a connection buffers, in each direction.
    pub(crate) buffer_size: usize,
    pub(crate) pipe_control: PipeControl,
    pub(crate) cuts: ArmedCuts,
}

impl Dial {
    /// Opens a connection. When no server is listening, records that and returns `None`.
    pub(crate) fn connect(&self) -> Option<Pipe> {
        let stream = self.server.dial(self.buffer_size, Some(self.log.client));
        if stream.is_none() {
            self.log.record_end(Some(Happening::Refused), Ending::Abort);
        }
        stream.map(|stream| Pipe::new(stream, self.pipe_control.clone()))
    }

    /// Puts the last id into the request, and records the request. An SSE client sends the id in a header; a WebSocket
    /// client sends it in the query, because a page cannot set headers there.
    pub(crate) fn prepare_reconnect(&mut self) {
        let id = self.log.last_event_id();
        if self.request.upgrade {
            if let Some(id) = id {
                self.request.target = with_last_event_id(&self.request.target, &id);
            }
        } else {
            self.request.headers.remove(LAST_EVENT_ID);
            // An id that is not a valid header value is left out.
            if let Some(Ok(id)) = id.map(|id| HeaderValue::from_bytes(id.as_bytes())) {
                self.request.headers.insert(LAST_EVENT_ID, id);
            }
        }
        self.log.record_automatic(self.request.happening());
    }
}

/// Sets the query parameter `last_event_id` of a request target.
fn with_last_event_id(target: &str, id: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let others = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("last_event_id="));
    let id = format!("last_event_id={}", percent_encode(id));
    format!("{path}?{}", others.chain([id.as_str()]).collect::<Vec<_>>().join("&"))
}

fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::with_last_event_id;

    #[test]
    fn the_query_contains_the_last_id_once() {
        assert_eq!(with_last_event_id("/a", "k-1"), "/a?last_event_id=k-1");
        assert_eq!(with_last_event_id("/a?user=b&last_event_id=k-1", "k 2"), "/a?user=b&last_event_id=k%202");
    }
}
