//! The life of a stream's client: a connection, and when it has ended perhaps another, as long as a page would keep on.

use crate::client::connection::Link;
use crate::client::ws_client::Outbox;
use crate::client::{sse, ws};

/// What a client does when its connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Comes back, if it is one that does.
    Return,
    /// Has been told that there is nothing to come back for.
    Stay,
}

/// How a client speaks to its server.
pub(crate) enum Speech {
    Sse,
    Ws { outbox: Outbox, mute: bool },
}

pub(crate) async fn live(mut link: Link, speech: Speech, returns: bool) {
    loop {
        let after = match &speech {
            Speech::Sse => sse::read(&link).await,
            Speech::Ws { outbox, mute } => ws::read(&link, outbox, *mute).await,
        };
        if !returns || after == After::Stay {
            return;
        }
        link.seat.wait_to_return().await;
        link.ask_again();
    }
}
