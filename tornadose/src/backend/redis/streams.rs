//! Redis Streams: one connection tails the stream, another appends to it. What an entry says is in `wording`.

mod wording;
mod tail;
mod reading;
mod writing;

use crate::backend::redis::connect::Server;
use crate::backend::redis::streams::reading::Reading;
use crate::backend::redis::streams::wording::Keys;
use crate::backend::{Link, OpenError};

/// Reads and writes until the store is closed. An error is one of the start.
pub(super) async fn run(server: &Server, history: usize, link: &Link) -> Result<(), OpenError> {
    let keys = Keys::of(link.channel());
    let mut reading = Reading::new(server, &keys, history, link);
    reading.start().await.map_err(|fault| server.unusable(&fault))?;
    tokio::join!(reading.run(), writing::run(server, &keys, history, link));
    Ok(())
}
