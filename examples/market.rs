//! A simulated market: `cargo run --example market`, then open <http://localhost:9000>. Quotes are conflated: a slow reader gets
//! the newest one. Trades are lossless: every reader gets every trade. The page has the quotes of all symbols by one stream, and
//! watches the trades of the symbol in the chart over a WebSocket. The inspector at `/inspector` shows who reads what.

#[path = "market/simulation.rs"]
mod simulation;

use salvo::writing::Text;
use schemars::JsonSchema;
use tornadose::prelude::*;

#[store(queue, capacity = 10_000, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: f64,
        size: u32,
        /// Milliseconds since 1970.
        at: u64,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: f64,
        ask: f64,
    },
}

/// `GET /market/AAPL`
#[subscriber(sse, store = Market, replay = 300, authorize = Self::is_listed, schema)]
struct Symbol {
    #[key]
    symbol: String,
}

impl Symbol {
    async fn is_listed(&self) -> Result<(), StatusError> {
        let listed = simulation::is_listed(&self.symbol);
        if listed { Ok(()) } else { Err(StatusError::not_found().brief("no such symbol")) }
    }
}

/// `GET /market` for all symbols, or `GET /market?symbols=AAPL,MSFT`
#[subscriber(sse, store = Market, replay = 2500, authorize = Self::are_listed, filter = Self::shows, schema)]
struct Dashboard {
    #[keys(symbol)]
    #[query(separator = ",")]
    symbols: Option<Vec<String>>,
    /// `trades=false`: quotes alone.
    #[query]
    trades: Option<bool>,
}

impl Dashboard {
    async fn are_listed(&mut self) -> Result<(), StatusError> {
        let symbols = self.symbols.get_or_insert_with(simulation::symbols);
        let unlisted = symbols.iter().any(|symbol| !simulation::is_listed(symbol));
        if unlisted { Err(StatusError::not_found().brief("no such symbol")) } else { Ok(()) }
    }

    fn shows(&self, message: &Market) -> bool {
        self.trades != Some(false) || matches!(message, Market::Quote { .. })
    }
}

/// `GET /trades`, as a WebSocket: the trades of the symbols that the page watches.
#[subscriber(ws, store = Market, replay = 300, watch = may_watch, filter = is_trade, max_keys = 8, schema)]
struct Trades;

async fn may_watch(_: &Trades, key: &MarketKey, _: &Store<Market>) -> Result<(), &'static str> {
    if simulation::is_listed(&key.symbol) { Ok(()) } else { Err("no such symbol") }
}

fn is_trade(_: &Trades, message: &Market) -> bool {
    matches!(message, Market::Trade { .. })
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("market/page.html"))
}

fn router(store: &Store<Market>) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("market").get(Dashboard::handler(store)))
        .push(Router::with_path("market/{symbol}").get(Symbol::handler(store)))
        .push(Router::with_path("trades").get(Trades::handler(store)))
        // A debug build shows it to who sits at this machine.
        .push(Router::with_path("inspector").push(tornadose::inspector().store(store).router()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new();
    tokio::spawn(simulation::run(store.clone()));
    let hints = [
        "open http://localhost:{port}, and http://localhost:{port}/inspector",
        "curl -N localhost:{port}/market/AAPL",
        "curl -N 'localhost:{port}/market?symbols=AAPL,MSFT'",
    ];
    examples::serve(9000, router(&store), &hints).await
}

#[cfg(test)]
#[path = "market/tests.rs"]
mod tests;
