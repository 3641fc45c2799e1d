//! The connections of a stream's client, one after the other: it reconnects as a page would.

use crate::client::connection::{AfterLoss, Dial};
use crate::client::ws::frame_queue::FrameQueue;
use crate::client::{sse, ws};

/// The protocol that a client speaks with its server.
pub(crate) enum Protocol {
    Sse,
    Ws { frame_queue: FrameQueue, mute: bool },
}

/// Runs the client's connections until the last of them has ended.
pub(crate) async fn run(mut dial: Dial, protocol: Protocol, reconnects: bool) {
    loop {
        let after = match &protocol {
            Protocol::Sse => sse::run(&dial).await,
            Protocol::Ws { frame_queue, mute } => ws::run(&dial, frame_queue, *mute).await,
        };
        if !reconnects || after == AfterLoss::Stop {
            return;
        }
        dial.log.wait_to_reconnect().await;
        dial.prepare_reconnect();
    }
}
