//! Simulated prices and trades.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tornadose::prelude::*;

use super::Market;

const STEP: Duration = Duration::from_millis(20);

/// How many steps have happened when the first page opens.
const HISTORY: u32 = 130 * 50;

const LISTED: [(&str, f64); 8] = [
    ("AAPL", 212.40),
    ("AMZN", 186.10),
    ("GOOG", 174.25),
    ("META", 563.70),
    ("MSFT", 421.80),
    ("NFLX", 702.15),
    ("NVDA", 131.60),
    ("TSLA", 248.90),
];

pub(crate) fn symbols() -> Vec<String> {
    LISTED.iter().map(|(symbol, _)| (*symbol).into()).collect()
}

pub(crate) fn is_listed(symbol: &str) -> bool {
    LISTED.iter().any(|(listed, _)| *listed == symbol)
}

/// Fills the store with a history. Then it moves one stock at every step, until the store is closed.
pub(crate) async fn run(store: Store<Market>) {
    let mut stocks = LISTED.map(|(symbol, price)| Stock { symbol, base_price: price, price, trend: 0.0 });
    for ago in (0..HISTORY).rev() {
        if trade_at(&store, &mut stocks, SystemTime::now() - STEP * ago).await.is_none() {
            return;
        }
    }
    let mut steps = tokio::time::interval(STEP);
    while trade_at(&store, &mut stocks, SystemTime::now()).await.is_some() {
        steps.tick().await;
    }
}

async fn trade_at(store: &Store<Market>, stocks: &mut [Stock], now: SystemTime) -> Option<()> {
    let stock = &mut stocks[rand::random_range(..LISTED.len())];
    let (quote, trade) = stock.step(now);
    store.submit(quote).await.ok()?;
    if let Some(trade) = trade {
        store.submit(trade).await.ok()?;
    }
    Some(())
}

struct Stock {
    symbol: &'static str,
    base_price: f64,
    price: f64,
    trend: f64,
}

impl Stock {
    fn step(&mut self, now: SystemTime) -> (Market, Option<Market>) {
        self.trend = self.trend * 0.97 + noise() * 0.000_004_5;
        let pull = (self.base_price - self.price) * 0.000_8;
        self.price += self.price * (self.trend + noise() * 0.000_15) + pull;
        let half_spread = (self.price * rand::random_range(0.000_03..0.000_12)).max(0.01);
        let (bid, ask) = (cents(self.price - half_spread), cents(self.price + half_spread));
        let quote = Market::Quote { symbol: self.symbol.into(), bid, ask };
        let trade = rand::random_bool(0.35).then(|| {
            let bought = rand::random_bool(0.5 + (self.trend * 15_000.0).clamp(-0.4, 0.4));
            let size = (0..3).map(|_| rand::random_range(1..=7)).product::<u32>() * 10;
            let at = now.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_secs() * 1000 + u64::from(at.subsec_millis()));
            Market::Trade { symbol: self.symbol.into(), price: if bought { ask } else { bid }, size, at }
        });
        (quote, trade)
    }
}

/// A random number around zero, most often close to it.
fn noise() -> f64 {
    (0..3).map(|_| rand::random_range(-1.0..1.0)).sum()
}

fn cents(price: f64) -> f64 {
    (price * 100.0).round() / 100.0
}
