//! Chat rooms over WebSocket: `cargo run --example chat`, then open <http://localhost:9000> in two windows.

use salvo::writing::Text;
use tornadose::Id;
use tornadose::prelude::*;

#[store(queue, capacity = 200)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoomEvent {
    Joined {
        #[key]
        room: String,
        user: String,
    },
    Said {
        #[key]
        room: String,
        user: String,
        text: String,
    },
}

/// A client's message: `{"type":"join"}` or `{"type":"say","text":"hi"}`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Inbound {
    Join,
    Say { text: String },
}

/// `GET /rooms/{room}?user=ada`: the room's last twenty events, then every new one.
#[subscriber(ws, store = RoomEvent, replay = 20, authorize = Self::may_join, receive = Self::receive)]
struct RoomFeed {
    #[key]
    room: String,
    #[query]
    user: String,
}

impl RoomFeed {
    async fn may_join(&self) -> Result<(), StatusError> {
        if self.user.trim().is_empty() {
            return Err(StatusError::bad_request().brief("say who you are: `?user=ada`"));
        }
        if self.room == "staff" && self.user != "root" {
            return Err(StatusError::forbidden().brief("`staff` is for `root` only"));
        }
        Ok(())
    }

    /// Replies with the id of the event, so that the page knows that it was accepted.
    async fn receive(&mut self, inbound: Inbound, store: &Store<RoomEvent>) -> Result<Id, String> {
        let (room, user) = (self.room.clone(), self.user.clone());
        let event = match inbound {
            Inbound::Join => RoomEvent::Joined { room, user },
            Inbound::Say { text } if text.trim().is_empty() => return Err("there is nothing to say".into()),
            Inbound::Say { text } => RoomEvent::Said { room, user, text },
        };
        store.submit(event).await.map_err(|error| error.to_string())
    }
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("chat/page.html"))
}

fn router(store: &Store<RoomEvent>) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("rooms/{room}").get(RoomFeed::handler(store)))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hints = [
        "open http://localhost:{port} in two windows",
        r#"or: websocat 'ws://localhost:{port}/rooms/lobby?user=ada', and type {"type":"say","text":"hi"}"#,
        r#"or, to get its id: {"tornadose:ask":1,"data":{"type":"say","text":"hi"}}"#,
    ];
    examples::serve(9000, router(&Store::new()), &hints).await
}

#[cfg(test)]
#[path = "chat/tests.rs"]
mod tests;
