//! The examples compile without a warning under lints that are stricter than their own.
#![deny(warnings, missing_docs, unused_qualifications, rust_2018_idioms)]

// The examples call `examples::serve`, which is the function below.
extern crate self as examples;

#[path = "../../../../examples/chat.rs"]
#[allow(dead_code)]
mod chat;
#[path = "../../../../examples/fibonacci.rs"]
#[allow(dead_code)]
mod fibonacci;
#[path = "../../../../examples/https.rs"]
#[allow(dead_code)]
mod https;
#[path = "../../../../examples/market.rs"]
#[allow(dead_code)]
mod market;
#[path = "../../../../examples/notifications.rs"]
#[allow(dead_code)]
mod notifications;
#[cfg(feature = "redis")]
#[path = "../../../../examples/redis_feed.rs"]
#[allow(dead_code)]
mod redis_feed;
#[path = "../../../../examples/ticker.rs"]
#[allow(dead_code)]
mod ticker;

/// Serves nothing: the examples are only compiled.
#[allow(clippy::unused_async)]
pub async fn serve(_: u16, _: tornadose::prelude::Router, _: &[&str]) -> std::io::Result<()> {
    Ok(())
}

fn main() {}
