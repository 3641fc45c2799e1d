//! Two versions of one program on one channel, as in a rolling deploy.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose::{GapReason, Received, Subscription};

use crate::common::{Market, apple, microsoft, until};
use crate::server::Server;

/// The older version.
mod old {
    use tornadose::prelude::*;

    #[store(queue, channel = "orders")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Order {
        Placed {
            number: u32,
        },
        #[latest]
        Total {
            sum: u32,
        },
    }
}

/// The newer version, as the recipe for rolling deploys wants it: the new field has a default. Its new variant cannot
/// be read by the older version.
mod new {
    use tornadose::prelude::*;

    #[store(queue, channel = "orders")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Order {
        Placed {
            number: u32,
            #[serde(default)]
            note: String,
        },
        Cancelled {
            number: u32,
        },
        #[latest]
        Total {
            sum: u32,
        },
    }
}

/// Returns the next item as text.
async fn next<M: Message + std::fmt::Debug>(reader: &mut Subscription<M>) -> String {
    match timeout(Duration::from_secs(20), reader.next()).await.expect("nothing arrived").expect("the reader ended") {
        Received::Message { message, .. } => format!("{message:?}"),
        Received::Gap { reason, missed } => format!("{reason} {missed:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_the_older_version_cannot_read_is_a_gap_and_the_newer_reads_everything() {
    let server = Server::start();
    let older: Store<old::Order> = Store::redis(server.url()).await.unwrap();
    let newer: Store<new::Order> = Store::redis(server.url()).await.unwrap();
    let (mut of_older, mut of_newer) = (older.subscribe(), newer.subscribe());

    older.submit(old::Order::Placed { number: 1 }).await.unwrap();
    newer.submit(new::Order::Placed { number: 2, note: "gift".into() }).await.unwrap();
    let cancelled = newer.submit(new::Order::Cancelled { number: 1 }).await.unwrap();
    older.submit(old::Order::Total { sum: 2 }).await.unwrap();
    newer.submit(new::Order::Total { sum: 1 }).await.unwrap();

    let gap = format!("{} None", GapReason::Unreadable);
    for expected in ["Placed { number: 1 }", "Placed { number: 2 }", &gap] {
        assert_eq!(next(&mut of_older).await, expected);
    }
    for expected in
        ["Placed { number: 1, note: \"\" }", "Placed { number: 2, note: \"gift\" }", "Cancelled { number: 1 }"]
    {
        assert_eq!(next(&mut of_newer).await, expected);
    }
    // A `latest` value that was replaced before it was read is skipped.
    while next(&mut of_older).await != "Total { sum: 1 }" {}
    while next(&mut of_newer).await != "Total { sum: 1 }" {}

    // Both start again on what the other has written, with the ids of before.
    let (older, newer) = (older.head(), newer.head());
    assert_eq!(older, newer);
    let older: Store<old::Order> = Store::redis(server.url()).await.unwrap();
    let newer: Store<new::Order> = Store::redis(server.url()).await.unwrap();
    assert_eq!((older.head(), newer.head()), (older.head(), older.head()));
    assert!(cancelled < older.head());
    assert_eq!(older.latest(&tornadose::NoKey).map(|order| format!("{order:?}")).as_deref(), Some("Total { sum: 1 }"));
    assert_eq!(newer.latest(&tornadose::NoKey).map(|order| format!("{order:?}")).as_deref(), Some("Total { sum: 1 }"));
}

/// The version before named the fields of latest values by the `Debug` text of their keys.
#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn latest_values_of_the_version_before_are_read_and_their_fields_renamed() {
    let server = Server::start();
    let (stream, hash) = ("{tornadose:market}", "{tornadose:market}:latest");
    let old_field = |symbol: &str| format!("MarketKey {{ symbol: {symbol:?} }} quote");
    let new_field = |symbol: &str| format!(r#"{{"symbol":"{symbol}"}} quote"#);
    let value = |symbol: &str| format!(r#"{{"quote":{{"symbol":"{symbol}","bid":7}}}}"#);
    server.cli(&["SET", "{tornadose:market}:epoch", "k3v0q8zd"]);
    server.cli(&["SET", "{tornadose:market}:type", "Market"]);
    server.cli(&["XGROUP", "CREATE", stream, "tornadose", "$", "MKSTREAM"]);
    // The entry of the first value is trimmed, that of the second is in the stream.
    server.cli(&["XADD", stream, "5-1", "data", &value("AAPL"), "by", "a1b2c3d4-1"]);
    server.cli(&["HSET", hash, &old_field("AAPL"), &format!("5-1 {}", value("AAPL"))]);
    server.cli(&["XADD", stream, "MAXLEN", "=", "1", "6-1", "data", &value("MSFT"), "by", "a1b2c3d4-2"]);
    server.cli(&["HSET", hash, &old_field("MSFT"), &format!("6-1 {}", value("MSFT"))]);

    let store: Store<Market> = Store::redis(server.url()).await.unwrap();
    assert_eq!(store.head().to_string(), "k3v0q8zd-6.1");
    assert!(store.latest(&apple()).is_some() && store.latest(&microsoft()).is_some());
    let mut fields: Vec<String> = server.cli(&["HKEYS", hash]).lines().map(str::to_owned).collect();
    fields.sort_unstable();
    assert_eq!(fields, [new_field("AAPL"), new_field("MSFT")]);
    assert!(server.cli(&["HGET", hash, &new_field("AAPL")]).starts_with("5-1 "));

    // A process of the version before forgets a key by its old text.
    server.cli(&["XADD", stream, "*", "forget", r#"MarketKey { symbol: "AAPL" }"#, "by", "a1b2c3d4-3"]);
    until("the value is forgotten", || store.latest(&apple()).is_none()).await;
    until("its field is gone", || server.cli(&["HKEYS", hash]) == new_field("MSFT")).await;
    store.forget(&microsoft());
    until("the hash is empty", || server.cli(&["HKEYS", hash]).is_empty()).await;
}

/// The version before wrote no field `key`. A version with other keys writes other ones.
#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn entries_without_a_key_or_with_another_versions_key_reach_the_readers_of_theirs() {
    let server = Server::start();
    let store: Store<Market> = Store::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe_to(apple());
    let mut price = 0;
    let mut add = |by: &str, key: &[&str]| {
        price += 1;
        let data = format!(r#"{{"trade":{{"symbol":"AAPL","price":{price}}}}}"#);
        let fields = ["XADD", "{tornadose:market}", "*", "data", &data, "by", by];
        server.cli(&[&fields, key].concat());
    };
    add("before-1", &[]);
    add("before-2", &[]);
    add("other-1", &["key", r#"{"name":"AAPL"}"#]);
    add("other-2", &["key", r#"{"name":"AAPL"}"#]);
    // As this version writes it, and one that no process reads.
    add("same-1", &["key", r#"{"symbol":"AAPL"}"#]);
    add("same-2", &["key", r#"{"symbol":"AAPL"}"#]);
    add("same-3", &["key", &"x".repeat(5000)]);
    for price in 1..=7 {
        assert_eq!(next(&mut reader).await, format!("Trade {{ symbol: \"AAPL\", price: {price} }}"));
    }
}
