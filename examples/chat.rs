//! Chat rooms over WebSocket, with who is there and who is typing: `cargo run --example chat`, then open
//! <http://localhost:9000> in two windows.

use std::time::Duration;

use salvo::writing::Text;
use schemars::JsonSchema;
use tokio::task::JoinSet;
use tornadose::prelude::*;
use tornadose::{Id, SubmitError};

#[store(queue, capacity = 200, schema)]
#[derive(Serialize, Deserialize, JsonSchema)]
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
    #[ephemeral]
    Typing {
        #[key]
        room: String,
        user: String,
    },
    /// A user who is in the room. Renewed while a connection of the user is open, in whatever process: the page is told when
    /// it expires.
    #[latest(ttl = "10s")]
    Member {
        #[key]
        room: String,
        #[slot]
        user: String,
    },
}

const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);

/// A client's message: `{"type":"say","text":"hi"}` or `{"type":"typing"}`.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Inbound {
    Say { text: String },
    Typing,
}

/// `GET /rooms/{room}?user=ada`: the members, the room's last twenty events, then every new one.
#[subscriber(
    ws,
    store = RoomEvent,
    replay = 20,
    authorize = Self::may_join,
    opened = Self::opened,
    receive = Self::receive,
    closed = Self::closed,
    schema
)]
struct RoomFeed {
    #[key]
    room: String,
    #[query]
    user: String,
    /// Renews the user's membership, until this is dropped.
    #[state]
    renewal: JoinSet<()>,
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

    /// A second tab, and a return within ten seconds, are no news.
    async fn opened(&mut self, store: &Store<RoomEvent>) {
        let (room, user) = (self.room.clone(), self.user.clone());
        let slot = RoomEventSlot::Member { user: user.clone() };
        if store.latest_in(&RoomEventKey { room: room.clone() }, &slot).is_none() {
            // The list of members is what counts, and is renewed when a backend that is lost has returned.
            store.submit(RoomEvent::Joined { room: room.clone(), user: user.clone() }).await.ok();
        }
        store.submit(RoomEvent::Member { room: room.clone(), user: user.clone() }).await.ok();
        self.renewal.spawn(renew(store.clone(), room, user));
    }

    /// Replies with the id of the event, so that the page knows that it was accepted.
    async fn receive(&mut self, inbound: Inbound, store: &Store<RoomEvent>) -> Result<Id, String> {
        let (room, user) = (self.room.clone(), self.user.clone());
        let event = match inbound {
            Inbound::Say { text } if text.trim().is_empty() => return Err("there is nothing to say".into()),
            Inbound::Say { text } => RoomEvent::Said { room, user, text },
            Inbound::Typing => RoomEvent::Typing { room, user },
        };
        store.submit(event).await.map_err(|error| error.to_string())
    }

    /// From now on the user has ten seconds to return.
    async fn closed(self, store: &Store<RoomEvent>) {
        let Self { room, user, renewal } = self;
        drop(renewal);
        store.submit(RoomEvent::Member { room, user }).await.ok();
    }
}

async fn renew(store: Store<RoomEvent>, room: String, user: String) {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        let member = RoomEvent::Member { room: room.clone(), user: user.clone() };
        if let Err(SubmitError::Closed { .. }) = store.submit(member).await {
            return;
        }
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
