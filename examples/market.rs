//! A simulated market: `cargo run --example market`, then open <http://localhost:9000>. Quotes are conflated: a slow reader gets
//! the newest one. Trades are lossless: every reader gets every trade.

#[path = "market/simulation.rs"]
mod simulation;

use salvo::writing::Text;
use tornadose::prelude::*;

#[store(queue, capacity = 10_000)]
#[derive(Serialize)]
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
#[subscriber(sse, store = Market, replay = 300, authorize = Self::is_listed)]
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

/// `GET /market` for all symbols, or `GET /market?symbols=AAPL&symbols=MSFT`
#[subscriber(sse, store = Market, all_keys, replay = 2500, filter = Self::shows)]
struct Dashboard {
    #[query]
    symbols: Option<Vec<String>>,
}

impl Dashboard {
    fn shows(&self, event: &Market) -> bool {
        self.symbols.as_ref().is_none_or(|wanted| wanted.contains(&event.key().symbol))
    }
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
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new();
    tokio::spawn(simulation::run(store.clone()));
    let hints = [
        "open http://localhost:{port}",
        "curl -N localhost:{port}/market/AAPL",
        "curl -N 'localhost:{port}/market?symbols=AAPL&symbols=MSFT'",
    ];
    examples::serve(9000, router(&store), &hints).await
}

#[cfg(test)]
#[path = "market/tests.rs"]
mod tests;
