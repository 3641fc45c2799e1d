//! Entries that other programs write to a stream.

use tornadose::GapReason;
use tornadose::prelude::*;

use crate::common::{Line, Market, Seen, apple, line, next, quote, text, until};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn entries_of_redis_cli_reach_every_reader_and_unreadable_ones_are_skipped() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let mut readers = [one.subscribe(), other.subscribe()];
    let add = |field: &str, value: &str| server.cli(&["XADD", "{tornadose:lines}", "*", field, value]);
    let lua = |value: &str| {
        let script = format!("return redis.call('XADD', KEYS[1], '*', 'data', {value})");
        server.cli(&["EVAL", &script, "1", "{tornadose:lines}"])
    };
    add("data", r#"{"text":"first"}"#);
    add("data", "not JSON");
    add("data", r#"{"txt":"the wrong shape"}"#);
    add("message", r#"{"text":"in the wrong field"}"#);
    add("data", "");
    lua(r#"'{"text":"\255"}'"#);
    lua(r#"'{"text":"' .. string.rep('x', 70000000) .. '"}'"#);
    // An invalid `by` is ignored.
    server.cli(&["XADD", "{tornadose:lines}", "*", "data", r#"{"text":"odd"}"#, "by", "me-many"]);
    one.submit(line("last")).await.unwrap();
    for reader in &mut readers {
        assert_eq!(text(reader).await, "first");
        // Unreadable entries that follow each other may be reported together.
        let mut missed = 0;
        let odd = loop {
            match next(reader).await {
                Seen::Gap(GapReason::Unreadable, Some(more)) => missed += more,
                seen => break seen,
            }
        };
        assert!(matches!(odd, Seen::Text(text, _) if text == "odd"));
        assert_eq!(missed, 6);
        assert_eq!(text(reader).await, "last");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn latest_values_of_other_programs_outlive_their_entries() {
    let server = Server::start();
    let add = |bid: u32| {
        let data = serde_json::to_string(&quote("AAPL", bid)).unwrap();
        server.cli(&["XADD", "{tornadose:market}", "*", "data", &data])
    };
    // Appended while no process reads, and while one does.
    add(1);
    let store = Store::<Market>::redis(server.url()).await.unwrap();
    assert_eq!(*store.latest(&apple()).unwrap(), quote("AAPL", 1));
    let kept = || server.cli(&["HVALS", "{tornadose:market}:latest"]);
    until("the first is kept", || kept().contains(r#""bid":1"#)).await;
    let newest = add(2);
    until("the second is kept", || kept() == format!(r#"{newest} {{"quote":{{"symbol":"AAPL","bid":2}}}}"#)).await;
    store.submit(quote("AAPL", 3)).await.unwrap();
    until("a submitted one replaces it", || kept().contains(r#""bid":3"#)).await;
    add(4);
    until("a foreign one replaces that", || kept().contains(r#""bid":4"#)).await;
    server.cli(&["XTRIM", "{tornadose:market}", "MAXLEN", "=", "0"]);
    let later = Store::<Market>::redis(server.url()).await.unwrap();
    assert_eq!(*later.latest(&apple()).unwrap(), quote("AAPL", 4));
    // A trimmed stream is the same stream.
    assert_eq!(later.head().to_string()[..8], store.head().to_string()[..8]);
}
