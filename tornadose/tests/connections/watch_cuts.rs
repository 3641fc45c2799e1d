//! Clients that watch keys, cut at every byte between the opening and the confirmation. They return by the rules of
//! `docs/protocol.md`, and get each message once and in order.

use std::collections::{BTreeMap, BTreeSet};

use tornadose::prelude::*;
use tornadose_test::{Cut, Harness, WsClient};

use super::harness::harness;

#[store(queue)]
#[derive(Serialize, Deserialize)]
struct Trade {
    #[key]
    symbol: String,
    price: u32,
}

/// `GET /board?symbol=F`
#[subscriber(ws, store = Trade, replay = all, authorize = public, watch = public)]
struct Board {
    #[keys(symbol)]
    #[query("symbol")]
    symbols: Vec<String>,
}

/// What a page has, and how it returns.
#[derive(Default)]
struct Page {
    id: Option<String>,
    since: BTreeMap<String, Option<String>>,
    confirmed: BTreeSet<String>,
    prices: BTreeMap<String, Vec<u32>>,
}

impl Page {
    async fn open(&mut self, app: &Harness, name: &str, cut: Option<Cut>) -> WsClient {
        let mut client = app.client(name).once();
        if let Some(id) = &self.id {
            client = client.last_event_id(id);
        }
        if let Some(cut) = cut {
            client = client.fault(cut);
        }
        let client = client.ws("/board?symbol=F").await;
        for key in std::mem::take(&mut self.confirmed) {
            self.since.insert(key, self.id.clone());
        }
        for (key, since) in &self.since {
            if is_cut(&client) {
                break;
            }
            match since {
                Some(since) => client.watch_since(key, since).await,
                None => client.watch(key).await,
            }
        }
        client
    }

    async fn read(&mut self, client: &WsClient) {
        for event in client.drain_events().await {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            match &*event.name {
                "message" => {
                    let trade: Trade = serde_json::from_value(data).unwrap();
                    self.prices.entry(trade.symbol).or_default().push(trade.price);
                }
                "tornadose:watching" => {
                    for key in data["keys"].as_array().unwrap() {
                        let key = key.as_str().unwrap();
                        self.since.remove(key);
                        self.confirmed.insert(key.to_owned());
                    }
                }
                other => panic!("unexpected {other}: {data}"),
            }
            if let (Some(at), Some(key)) = (event.at, event.key) {
                self.since.insert(serde_json::from_str(&key).unwrap(), Some(at));
            }
        }
        self.id = client.last_event_id();
    }
}

fn is_cut(client: &WsClient) -> bool {
    client.recording().to_string().contains("! cut")
}

async fn submit(store: &Store<Trade>, symbol: &str, price: u32) {
    store.submit(Trade { symbol: symbol.into(), price }).await.unwrap();
}

#[tornadose_test::test]
async fn a_stream_that_is_cut_at_any_byte_brings_each_message_once_and_in_order() {
    let mut byte = 0;
    loop {
        let store = Store::new();
        let app = harness(Router::with_path("board").get(Board::handler(&store)));
        for price in 1..4 {
            for symbol in ["A", "B", "F"] {
                submit(&store, symbol, price).await;
            }
        }
        let mut page = Page::default();
        for key in ["A", "B"] {
            page.since.insert(key.into(), None);
        }
        let first = page.open(&app, "first", Some(Cut::at_byte(byte))).await;
        submit(&store, "A", 4).await;
        submit(&store, "F", 4).await;
        let is_last = !is_cut(&first);
        let mut newest = 4;
        while !is_cut(&first) {
            newest += 1;
            submit(&store, "F", newest).await;
        }
        page.read(&first).await;
        submit(&store, "B", 4).await;
        // It is cut once more, before it has all keys again.
        let second = page.open(&app, "second", Some(Cut::after_event(1))).await;
        submit(&store, "A", 5).await;
        while !is_cut(&second) {
            newest += 1;
            submit(&store, "F", newest).await;
        }
        page.read(&second).await;
        let third = page.open(&app, "third", None).await;
        submit(&store, "B", 5).await;
        page.read(&third).await;
        for (symbol, newest) in [("A", 5), ("B", 5), ("F", newest)] {
            assert_eq!(page.prices[symbol], (1..=newest).collect::<Vec<_>>(), "{symbol} after a cut at byte {byte}");
        }
        if is_last {
            break;
        }
        byte += 1;
    }
    assert!(byte > 600, "{byte} bytes");
}
