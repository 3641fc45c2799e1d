//! A notice board on axum's own SSE and WebSocket support, as any axum program might have: a log, and a broadcast.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{Stream, StreamExt, iter, unfold};
use tokio::sync::broadcast;

/// The number of notes that a slow reader may be behind. Its stream then ends, and the reader resumes from the log.
const NOTES_BEHIND_MAX: usize = 16;

#[derive(Clone)]
pub(crate) struct Board {
    log: Arc<Mutex<Vec<String>>>,
    newest: broadcast::Sender<(usize, String)>,
}

pub(crate) fn board() -> Board {
    Board { log: Arc::default(), newest: broadcast::channel(NOTES_BEHIND_MAX).0 }
}

impl Board {
    pub(crate) fn pin(&self, note: impl Into<String>) {
        let mut log = self.log.lock().unwrap();
        log.push(note.into());
        // A failed send means that there are no readers.
        let _ = self.newest.send((log.len(), log.last().unwrap().clone()));
    }

    /// Serves `GET /board`, and `GET /talk`, which also receives notes. A cookie that is not a member's is refused there.
    pub(crate) fn router(&self) -> Router {
        Router::new().route("/board", get(page)).route("/talk", get(talk)).with_state(self.clone())
    }

    /// Returns the notes after the first `seen`, present and future, with their numbers.
    fn notes(&self, seen: usize) -> impl Stream<Item = (usize, String)> + Send + Unpin + use<> {
        // Under the lock, so that each note is either kept or new.
        let log = self.log.lock().unwrap();
        let new = unfold(self.newest.subscribe(), async |mut newest| Some((newest.recv().await.ok()?, newest)));
        let kept: Vec<_> = log.iter().cloned().enumerate().map(|(at, note)| (at + 1, note)).skip(seen).collect();
        Box::pin(iter(kept).chain(new))
    }
}

async fn page(State(board): State<Board>, headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seen = headers.get("last-event-id").map_or(0, |id| id.to_str().unwrap().parse().unwrap());
    let events =
        board.notes(seen).map(|(id, note)| Event::default().id(id.to_string()).event("note").data(json(&note)));
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::default())
}

async fn talk(State(board): State<Board>, headers: HeaderMap, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    if headers.get("cookie").is_some_and(|cookie| cookie != "member=yes") {
        return (StatusCode::FORBIDDEN, "for members").into_response();
    }
    let seen = uri.query().and_then(|query| query.strip_prefix("last_event_id="));
    let seen = seen.map_or(0, |id| id.parse().unwrap());
    upgrade.on_upgrade(move |socket| run_talk(socket, board, seen))
}

async fn run_talk(mut socket: WebSocket, board: Board, seen: usize) {
    let mut notes = board.notes(seen);
    loop {
        tokio::select! {
            biased;
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => board.pin(text.as_str()),
                // The reply to a close frame is sent by the next `recv`.
                Some(Ok(_)) => {}
                _ => return,
            },
            Some((id, note)) = notes.next() => {
                let event = format!(r#"{{"id":"{id}","event":"note","data":{}}}"#, json(&note));
                if socket.send(Message::text(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn json(note: &str) -> String {
    serde_json::to_string(note).unwrap()
}
