//! Several processes on a simulated engine: what each fault does to submits, readers and clients.

#![cfg(feature = "simulation")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "simulation/clients.rs"]
mod clients;
#[path = "simulation/faults.rs"]
mod faults;

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tornadose::prelude::*;
use tornadose::simulation::{Engine, Process};
use tornadose::{Received, Subscription};

#[store(queue, channel = "lines")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line(String);

/// A queue message and a latest value of each symbol.
#[store(queue, channel = "market")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: u32,
    },
}

/// The lines of builds, which finish.
#[store(queue, channel = "builds", finish)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Build {
    Line {
        #[key]
        build: u32,
        text: String,
    },
}

fn line(text: &str) -> Line {
    Line(text.into())
}

async fn open<M: Message + Serialize + for<'de> Deserialize<'de>>(process: &Process) -> Store<M> {
    Store::open(process.backend()).await.unwrap()
}

/// Two processes, with a store each.
async fn two_processes(engine: &Engine) -> ([Process; 2], [Store<Line>; 2]) {
    let processes = ["one", "two"].map(|name| engine.process(name));
    let stores = [open(&processes[0]).await, open(&processes[1]).await];
    (processes, stores)
}

/// Lets everything happen that happens without a fault.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Returns what a subscription has received, as text.
fn received<M: Message + std::fmt::Debug>(subscription: &mut Subscription<M>) -> Vec<String> {
    let mut items = Vec::new();
    while let Some(Some(item)) = subscription.next().now_or_never() {
        items.push(match item {
            Received::Message { message, .. } => format!("{message:?}"),
            Received::Gap { reason, missed: Some(missed) } => format!("gap {reason} {missed}"),
            Received::Gap { reason, .. } => format!("gap {reason}"),
            _ => "unknown".into(),
        });
    }
    items
}
