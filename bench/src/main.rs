//! Looks at what Tornadose costs, on loopback and in one process.
//!
//! Without an argument: what a delivery costs. `idle`: what a reader takes that waits. `keys`: whether a submit pays for readers
//! of other keys. `stalled [MESSAGES]`: whether live readers pay for stalled ones, and what memory they take. `redis`: submits through
//! a Redis of its own beside `redis-benchmark`, latency and catch-up.

mod idle;
mod keys;
mod look;
mod redis;
mod server;
mod stalled;

use std::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => look::run().await,
        Some("idle") => idle::run().await,
        Some("keys") => keys::run(),
        Some("stalled") => stalled::run(arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000)).await,
        Some("redis") => redis::run(),
        Some("server") => server::serve().await,
        Some(other) => Err(io::Error::other(format!(
            "`{other}`: expected nothing, `idle`, `keys`, `redis` or `stalled [MESSAGES]`"
        ))),
    }
}
