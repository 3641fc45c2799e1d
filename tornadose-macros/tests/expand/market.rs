#[store(queue, capacity = 10_000, memory = "256MiB")]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: f64,
        size: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: f64,
        ask: f64,
    },
    #[latest]
    Halt {
        #[key]
        symbol: String,
        halted: bool,
    },
}

#[subscriber(sse, store = Market, authorize = public)]
struct Symbol {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Market, all_keys, filter = Self::shows, lag = skip)]
struct Dashboard {
    #[query]
    symbols: Option<Vec<String>>,
}
