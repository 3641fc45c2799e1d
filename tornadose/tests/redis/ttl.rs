//! Messages that expire, by the clock of Redis.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;
use tornadose::prelude::*;
use tornadose::{GapReason, Received};

use crate::common::{Line, Seen, next, text, until};
use crate::proxy::Proxy;
use crate::server::Server;

/// Two programs that declare different times, and the one of the other tests, which declares none.
mod brief {
    use tornadose::prelude::*;

    #[store(queue, channel = "lines", ttl = "1s")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Line {
        pub(super) text: String,
    }
}

mod long {
    use tornadose::prelude::*;

    #[store(queue, channel = "lines", ttl = "1h")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Line {
        pub(super) text: String,
    }
}

const STREAM: &str = "{tornadose:lines}";

fn brief(text: &str) -> brief::Line {
    brief::Line { text: text.into() }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_idle_process_trims_and_forgets_what_has_expired() {
    let server = Server::start();
    let store = Store::<brief::Line>::redis(server.url()).await.unwrap();
    store.submit(brief("old")).await.unwrap();
    sleep(Duration::from_millis(700)).await;
    store.submit(brief("new")).await.unwrap();
    assert_eq!(server.cli(&["XLEN", STREAM]), "2");
    until("the older is trimmed", || server.cli(&["XLEN", STREAM]) == "1").await;
    // The first is gone from Redis, the second not yet.
    let late = Store::<brief::Line>::redis(server.url()).await.unwrap();
    until("the newer is trimmed", || server.cli(&["XLEN", STREAM]) == "0").await;
    // Nothing is told to a process that has read everything: the next message follows.
    let mut reader = late.subscribe();
    store.submit(brief("last")).await.unwrap();
    let received = reader.next().await.unwrap();
    assert!(matches!(received, Received::Message { message, .. } if message.text == "last"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn of_two_processes_the_shorter_time_holds_until_its_process_is_gone() {
    let server = Server::start();
    let long = Store::<long::Line>::redis(server.url()).await.unwrap();
    long.submit(long::Line { text: "one".into() }).await.unwrap();
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(server.cli(&["XLEN", STREAM]), "1");
    let brief_store = Store::<brief::Line>::redis(server.url()).await.unwrap();
    until("it is trimmed", || server.cli(&["XLEN", STREAM]) == "0").await;
    assert_eq!(server.cli(&["GET", "{tornadose:lines}:ttl"]), "1000");
    brief_store.close();
    brief_store.closed().await;
    drop(brief_store);
    until("its time does not hold any more", || server.cli(&["EXISTS", "{tornadose:lines}:ttl"]) == "0").await;
    long.submit(long::Line { text: "two".into() }).await.unwrap();
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(server.cli(&["XLEN", STREAM]), "1");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_expired_while_redis_was_not_reached_is_a_gap() {
    let server = Server::start();
    let store = Store::<brief::Line>::redis(server.url()).await.unwrap();
    // A process without a `ttl` that cannot read for a while.
    let proxy = Proxy::to(server.port).await;
    let slow = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = slow.subscribe();
    store.submit(brief("seen")).await.unwrap();
    assert_eq!(text(&mut reader).await, "seen");
    proxy.block();
    for number in 0..3 {
        store.submit(brief(&number.to_string())).await.unwrap();
    }
    until("all are trimmed", || server.cli(&["XLEN", STREAM]) == "0").await;
    proxy.unblock();
    // The reply to a read that was waiting may have been on its way.
    let mut told = 0;
    while told < 3 {
        told += match next(&mut reader).await {
            Seen::Text(text, _) => {
                assert_eq!(text, told.to_string());
                1
            }
            Seen::Gap(GapReason::Trimmed, Some(missed)) => missed,
            gap @ Seen::Gap(..) => panic!("{gap:?}"),
        };
    }
    assert_eq!(told, 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_entry_of_the_future_is_trimmed_late_and_never_early() {
    let server = Server::start();
    let store = Store::<brief::Line>::redis(server.url()).await.unwrap();
    let seconds = || server.cli(&["TIME"]).lines().next().unwrap().parse::<u64>().unwrap();
    let started = seconds();
    let id = format!("{}-0", (started + 4) * 1000);
    server.cli(&["XADD", STREAM, &id, "data", r#"{"text":"future"}"#]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.cli(&["XLEN", STREAM]), "1");
    until("its time has come", || server.cli(&["XLEN", STREAM]) == "0").await;
    assert!(seconds() >= started + 5);
    drop(store);
}
