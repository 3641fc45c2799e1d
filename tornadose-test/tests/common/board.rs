//! A notice board on Salvo's own SSE and WebSocket support, as any Salvo program might have.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{StreamExt, unfold};
use salvo::prelude::*;
use salvo::sse::{SseEvent, SseKeepAlive};
use salvo::websocket::{Message, WebSocket};
use tokio::sync::watch;

/// The notes so far. `skew` is an error in resuming: the number of notes that are skipped, or repeated if negative.
#[derive(Clone)]
pub(crate) struct Board {
    notes: Arc<watch::Sender<Vec<String>>>,
    skew: isize,
}

pub(crate) fn board(skew: isize) -> Board {
    Board { notes: Arc::new(watch::channel(Vec::new()).0), skew }
}

impl Board {
    pub(crate) fn pin(&self, note: impl Into<String>) {
        self.notes.send_modify(|notes| notes.push(note.into()));
    }

    /// Serves `GET /board`, and `GET /talk`, which also receives notes.
    pub(crate) fn router(&self) -> Router {
        let (page, talk) = (Page(self.clone()), Talk(self.clone()));
        Router::new().push(Router::with_path("board").get(page)).push(Router::with_path("talk").goal(talk))
    }

    /// Returns the number of notes before the resume point.
    fn seen(&self, id: Option<usize>) -> usize {
        id.map_or(0, |id| id.saturating_add_signed(self.skew))
    }

    /// Returns the notes after the first `seen`, present and future, with their numbers.
    fn notes(&self, seen: usize) -> impl futures_util::Stream<Item = (usize, String)> + Send + 'static {
        let state = (self.notes.subscribe(), seen);
        unfold(state, async |(mut notes, seen)| {
            let note = notes.wait_for(|notes| notes.len() > seen).await.ok()?[seen].clone();
            Some(((seen + 1, note), (notes, seen + 1)))
        })
    }
}

struct Page(Board);

#[async_trait]
impl Handler for Page {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let notes = self.0.notes(self.0.seen(req.header("last-event-id")));
        let events = notes.map(|(id, note)| SseEvent::default().id(id.to_string()).name("note").json(note));
        SseKeepAlive::new(events).max_interval(Duration::from_secs(15)).stream(res);
    }
}

struct Talk(Board);

#[async_trait]
impl Handler for Talk {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let (board, seen) = (self.0.clone(), self.0.seen(req.query("last_event_id")));
        let upgraded = WebSocketUpgrade::new().upgrade(req, res, move |socket| talk(socket, board, seen)).await;
        if let Err(error) = upgraded {
            res.render(error);
        }
    }
}

async fn talk(mut socket: WebSocket, board: Board, seen: usize) {
    let mut notes = Box::pin(board.notes(seen));
    loop {
        tokio::select! {
            biased;
            received = socket.recv() => match received {
                Some(Ok(message)) if message.is_text() => board.pin(message.as_str().unwrap_or_default()),
                Some(Ok(message)) if !message.is_close() => {}
                // Salvo sends the reply to a close frame only on `close`.
                _ => return drop(socket.close().await),
            },
            Some((id, note)) = notes.next() => {
                let event = format!(r#"{{"id":"{id}","event":"note","data":{}}}"#, serde_json::json!(note));
                if socket.send(Message::text(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}
