//! Redis refuses writes for a while. Submits fail with its words, and what was handed off is sent in order when it
//! accepts again.

use std::fs;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tornadose::SubmitError;
use tornadose::prelude::*;

use crate::common::{Line, Market, Seen, line, next, quote, text, until};
use crate::log::CapturedLog;
use crate::server::Server;

/// How a server is made to refuse writes, and how it accepts them again.
struct Case {
    code: &'static str,
    arguments: &'static [&'static str],
    refuse: fn(&Server),
    accept: fn(&Server),
}

fn set(server: &Server, name: &str, value: &str) {
    assert_eq!(server.cli(&["CONFIG", "SET", name, value]), "OK");
}

/// Submits until the result is as wanted, for ten seconds at most.
async fn submit_until(store: &Store<Line>, text: &str, is_wanted: impl Fn(&Result<(), SubmitError<Line>>) -> bool) {
    let since = Instant::now();
    loop {
        let result = store.submit(line(text)).await.map(drop);
        if is_wanted(&result) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{result:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn check(Case { code, arguments, refuse, accept }: Case) {
    let server = Server::start_with(arguments);
    let store: Store<Line> = Store::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("first")).await.unwrap();
    let (log, _guard) = CapturedLog::start();

    refuse(&server);
    let is_refused = |result: &Result<(), SubmitError<Line>>| matches!(result, Err(SubmitError::Refused { reason, .. }) if reason.starts_with(code));
    submit_until(&store, "refused", is_refused).await;
    for number in 0..2500 {
        store.try_submit(line(number.to_string())).unwrap();
        if number % 500 == 0 {
            let since = Instant::now();
            let result = store.submit(line("refused")).await.map(drop);
            assert!(is_refused(&result), "{result:?}");
            assert!(since.elapsed() < Duration::from_millis(1900), "refused after {:?}", since.elapsed());
        }
    }
    let refused: Vec<_> = log.take().into_iter().filter(|event| event.contains("messages ")).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("WARN messages refused: channel=\"lines\" reason=\"") && refused[0].contains(code));

    accept(&server);
    submit_until(&store, "last", Result::is_ok).await;
    assert_eq!(text(&mut reader).await, "first");
    for number in 0..2500 {
        assert_eq!(text(&mut reader).await, number.to_string());
    }
    assert_eq!(text(&mut reader).await, "last");
    let accepted: Vec<_> = log.take().into_iter().filter(|event| event.contains("messages ")).collect();
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    assert!(accepted[0].starts_with("INFO messages accepted again: channel=\"lines\" refused="), "{accepted:?}");
    assert_eq!(server.cli(&["XLEN", "{tornadose:lines}"]), "2502", "nothing was sent twice");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn out_of_memory() {
    check(Case {
        code: "OOM",
        arguments: &["--maxmemory-policy", "noeviction"],
        refuse: |server| set(server, "maxmemory", "1"),
        accept: |server| set(server, "maxmemory", "0"),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn too_few_replicas() {
    check(Case {
        code: "NOREPLICAS",
        arguments: &[],
        refuse: |server| set(server, "min-replicas-to-write", "1"),
        accept: |server| set(server, "min-replicas-to-write", "0"),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_replica() {
    check(Case {
        code: "READONLY",
        arguments: &[],
        refuse: |server| assert_eq!(server.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK"),
        accept: |server| assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK"),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_user_without_the_right_to_append() {
    check(Case {
        code: "NOPERM",
        arguments: &[],
        refuse: |server| assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-xadd"]), "OK"),
        accept: |server| assert_eq!(server.cli(&["ACL", "SETUSER", "default", "+@all"]), "OK"),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_snapshot_that_fails() {
    check(Case {
        code: "MISCONF",
        arguments: &[],
        refuse: |server| {
            set(server, "save", "3600 1");
            let folder = server.cli(&["CONFIG", "GET", "dir"]).lines().last().unwrap().to_owned();
            fs::remove_dir_all(folder).unwrap();
            server.cli(&["BGSAVE"]);
            while !server.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err") {
                std::thread::sleep(Duration::from_millis(10));
            }
        },
        accept: |server| set(server, "stop-writes-on-bgsave-error", "no"),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn latest_values_are_refused_and_sent_in_order_too() {
    let server = Server::start();
    let store: Store<Market> = Store::redis(server.url()).await.unwrap();
    set(&server, "maxmemory", "1");
    let error = store.submit(quote("AAPL", 0)).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Refused { reason, .. } if reason.starts_with("OOM")), "{error}");
    for bid in 1..=250 {
        store.try_submit(quote("AAPL", bid)).unwrap();
        store.try_submit(Market::Trade { symbol: "AAPL".into(), price: bid }).unwrap();
    }
    set(&server, "maxmemory", "0");
    until("everything was sent", || server.cli(&["XLEN", "{tornadose:market}"]) == "500").await;
    let first = server.cli(&["XRANGE", "{tornadose:market}", "-", "+", "COUNT", "2"]);
    assert!(first.contains(r#"{"quote":{"symbol":"AAPL","bid":1}}"#) && first.contains(r#""price":1}"#), "{first}");
    assert!(server.cli(&["HVALS", "{tornadose:market}:latest"]).ends_with(r#"{"quote":{"symbol":"AAPL","bid":250}}"#));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_message_that_redis_refuses_for_itself_does_not_block_the_others() {
    // A client may not send more than this at once.
    let server = Server::start_with(&["--proto-max-bulk-len", "1mb"]);
    let store: Store<Line> = Store::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("x".repeat(900_000))).await.unwrap();
    assert!(matches!(next(&mut reader).await, Seen::Text(text, _) if text.len() == 900_000));
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
}
