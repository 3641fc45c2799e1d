//! Answers of Redis that are errors never make a process deaf.

use tornadose::GapReason;
use tornadose::prelude::*;

use crate::common::{Line, Market, Seen, apple, line, microsoft, next, quote, text, until};
use crate::proxy::Proxy;
use crate::server::Server;

const STREAM: &str = "{tornadose:lines}";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_the_last_possible_id_a_deletion_is_found_as_a_new_epoch() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    let last = format!("{0}-{0}", u64::MAX);
    server.cli(&["XADD", STREAM, &last, "data", r#"{"text":"last"}"#]);
    assert_eq!(text(&mut reader).await, "last");
    // A process that starts now reads it, too.
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    assert_eq!(other.head(), store.head());
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    server.cli(&["DEL", STREAM]);
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Restarted, None));
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
    until("both have the same epoch", || other.head() == store.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn reading_goes_on_while_redis_is_out_of_memory() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let quotes = Store::<Market>::redis(proxy.url()).await.unwrap();
    let mut reader = store.subscribe();
    proxy.block();
    server.cli(&["XADD", STREAM, "*", "data", r#"{"text":"unread"}"#]);
    // A latest value that a process of ours would keep, if it could.
    let data = serde_json::to_string(&quote("AAPL", 1)).unwrap();
    server.cli(&["XADD", "{tornadose:market}", "*", "data", &data]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    proxy.move_to(server.port);
    proxy.unblock();
    assert_eq!(text(&mut reader).await, "unread");
    until("the quote is read", || quotes.latest(&apple()).is_some()).await;
    // A process can even start.
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    assert_eq!(other.head(), store.head());
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.cli(&["XADD", STREAM, "*", "data", r#"{"text":"more"}"#]);
    assert_eq!(text(&mut reader).await, "more");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn reading_goes_on_when_blocking_reads_are_no_longer_permitted() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    server.cli(&["ACL", "SETUSER", "default", "-xread"]);
    for number in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        store.submit(line(number.to_string())).await.unwrap();
        assert_eq!(text(&mut reader).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn latest_values_that_were_trimmed_unread_reach_a_process_that_was_cut_off() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let other = Store::<Market>::redis(server.url()).await.unwrap();
    let store = Store::<Market>::redis(proxy.url()).await.unwrap();
    other.submit(quote("AAPL", 1)).await.unwrap();
    until("the first quote is read", || store.latest(&apple()).is_some()).await;
    proxy.block();
    let newer = [other.submit(quote("MSFT", 2)).await.unwrap(), other.submit(quote("AAPL", 3)).await.unwrap()];
    server.cli(&["XTRIM", "{tornadose:market}", "MAXLEN", "=", "0"]);
    proxy.move_to(server.port);
    proxy.unblock();
    until("the newest id is known", || store.head() == newer[1]).await;
    assert_eq!(*store.latest(&apple()).unwrap(), quote("AAPL", 3));
    assert_eq!(*store.latest(&microsoft()).unwrap(), quote("MSFT", 2));
    other.submit(quote("MSFT", 4)).await.unwrap();
    until("reading goes on", || store.latest(&microsoft()).is_some_and(|latest| *latest == quote("MSFT", 4))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_forget_that_was_trimmed_unread_reaches_a_process_that_was_cut_off() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let other = Store::<Market>::redis(server.url()).await.unwrap();
    let store = Store::<Market>::redis(proxy.url()).await.unwrap();
    other.submit(quote("AAPL", 1)).await.unwrap();
    other.submit(quote("MSFT", 1)).await.unwrap();
    until("the quotes are read", || store.latest(&microsoft()).is_some()).await;
    proxy.block();
    other.forget(&apple());
    until("its value is dropped", || server.cli(&["HLEN", "{tornadose:market}:latest"]) == "1").await;
    let newest = other.submit(quote("MSFT", 2)).await.unwrap();
    server.cli(&["XTRIM", "{tornadose:market}", "MAXLEN", "=", "1"]);
    proxy.move_to(server.port);
    proxy.unblock();
    until("the newest is read", || store.head() == newest).await;
    assert!(store.latest(&apple()).is_none());
    assert_eq!(*store.latest(&microsoft()).unwrap(), quote("MSFT", 2));
}
