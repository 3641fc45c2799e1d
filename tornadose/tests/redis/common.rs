//! Message types, and functions that read with a timeout.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose::{GapReason, Received, Subscription};

#[store(queue, capacity = 200_000, channel = "lines")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
}

#[subscriber(sse, ws, store = Line, replay = 10)]
pub(crate) struct Lines;

#[store(queue, capacity = 1000, channel = "market")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Market {
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

pub(crate) fn line(text: impl Into<String>) -> Line {
    Line { text: text.into() }
}

pub(crate) fn quote(symbol: &str, bid: u32) -> Market {
    Market::Quote { symbol: symbol.into(), bid }
}

pub(crate) fn apple() -> MarketKey {
    MarketKey { symbol: "AAPL".into() }
}

pub(crate) fn microsoft() -> MarketKey {
    MarketKey { symbol: "MSFT".into() }
}

/// An item of a reader: a message's text and id, or a gap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Text(String, String),
    Gap(GapReason, Option<u64>),
}

pub(crate) async fn next(reader: &mut Subscription<Line>) -> Seen {
    match timeout(Duration::from_secs(60), reader.next())
        .await
        .expect("nothing arrived within a minute")
        .expect("the reader ended")
    {
        Received::Message { id, message } => Seen::Text(message.text.clone(), id.to_string()),
        Received::Gap { reason, missed } => Seen::Gap(reason, missed),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn text(reader: &mut Subscription<Line>) -> String {
    match next(reader).await {
        Seen::Text(text, _) => text,
        gap @ Seen::Gap(..) => panic!("{gap:?}"),
    }
}

/// Waits until a condition holds, for a minute at most.
pub(crate) async fn until(condition: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "not within a minute: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
