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

/// `GET /market` for all symbols, or `GET /market?symbols=AAPL,MSFT`
#[subscriber(sse, store = Market, replay = 2500, authorize = Self::are_listed)]
struct Dashboard {
    #[keys(symbol)]
    #[query(separator = ",")]
    symbols: Option<Vec<String>>,
}

impl Dashboard {
    async fn are_listed(&mut self) -> Result<(), StatusError> {
        let symbols = self.symbols.get_or_insert_with(simulation::symbols);
        let unlisted = symbols.iter().any(|symbol| !simulation::is_listed(symbol));
        if unlisted { Err(StatusError::not_found().brief("no such symbol")) } else { Ok(()) }
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
        "curl -N 'localhost:{port}/market?symbols=AAPL,MSFT'",
    ];
    examples::serve(9000, router(&store), &hints).await
}

#[cfg(test)]
#[path = "market/tests.rs"]
mod tests;
