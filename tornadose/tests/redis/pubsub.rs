//! A PUB/SUB channel on which any program publishes.

use std::time::{Duration, Instant};

use tornadose::backend::{Redis, SendOutcome};
use tornadose::prelude::*;
use tornadose::{GapReason, SubmitError};

use crate::common::{Line, Market, Seen, apple, line, next, quote, text, until};
use crate::proxy::Proxy;
use crate::server::Server;

const OUTAGE: Seen = Seen::Gap(GapReason::Outage, None);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn messages_of_any_program_reach_every_reader() {
    let server = Server::start();
    let one = Store::<Line>::open(Redis::pubsub(server.url())).await.unwrap();
    let other = Store::<Line>::open(Redis::pubsub(server.url())).await.unwrap();
    let mut readers = [one.subscribe(), other.subscribe()];
    assert_eq!(server.cli(&["PUBLISH", "lines", r#"{"text":"from a terminal"}"#]), "2");
    server.cli(&["PUBLISH", "lines", "not JSON"]);
    server.cli(&["PUBLISH", "lines", r#"{"txt":"the wrong shape"}"#]);
    for reader in &mut readers {
        assert_eq!(text(reader).await, "from a terminal");
        let mut missed = 0;
        while missed < 2 {
            let Seen::Gap(GapReason::Unreadable, Some(more)) = next(reader).await else { panic!("no gap") };
            missed += more;
        }
    }
    let id = one.submit(line("from one")).await.unwrap();
    assert_eq!(next(&mut readers[0]).await, Seen::Text("from one".into(), id.to_string()));
    assert_eq!(text(&mut readers[1]).await, "from one");
    // The ids are each process's own.
    assert_ne!(one.head().to_string()[..8], other.head().to_string()[..8]);
    for number in 0..1000 {
        other.try_submit(line(number.to_string())).unwrap();
    }
    for reader in &mut readers {
        for number in 0..1000 {
            assert_eq!(text(reader).await, number.to_string());
        }
    }
    // Submits of equal texts get different ids.
    let (first, second) = tokio::join!(one.submit(line("same")), one.submit(line("same")));
    assert_ne!(first.unwrap(), second.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn every_process_has_latest_values_of_its_own() {
    let server = Server::start();
    let store = Store::<Market>::open(Redis::pubsub(server.url())).await.unwrap();
    store.submit(quote("AAPL", 1)).await.unwrap();
    assert_eq!(*store.latest(&apple()).unwrap(), quote("AAPL", 1));
    store.forget(&apple());
    until("it is forgotten", || store.latest(&apple()).is_none()).await;
    assert_eq!(server.cli(&["DBSIZE"]), "0", "nothing is kept in Redis");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_an_outage_readers_get_a_gap_and_then_messages() {
    let mut server = Server::start();
    let store = Store::<Line>::open(Redis::pubsub(server.url())).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    server.kill();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        let error = store.submit(line("meanwhile")).await.unwrap_err();
        assert!(matches!(error, SubmitError::Unavailable { .. }));
    }
    server.restart();
    assert_eq!(next(&mut reader).await, OUTAGE);
    while store.submit(line("after")).await.is_err() {}
    assert_eq!(text(&mut reader).await, "after");
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(next(&mut reader).await, OUTAGE);
    store.submit(line("again")).await.unwrap();
    assert_eq!(text(&mut reader).await, "again");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_half_open_subscription_is_noticed_by_a_ping() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::open(Redis::pubsub(proxy.url())).await.unwrap();
    let mut reader = store.subscribe();
    proxy.block();
    server.cli(&["PUBLISH", "lines", r#"{"text":"lost"}"#]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let error = store.submit(line("meanwhile")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::Unknown | SendOutcome::NotSent, .. }));
    proxy.unblock();
    assert_eq!(next(&mut reader).await, OUTAGE);
    while store.submit(line("after")).await.is_err() {}
    let mut received = text(&mut reader).await;
    // Each submit of it has published it once at most.
    while received == "meanwhile" {
        received = text(&mut reader).await;
    }
    assert_eq!(received, "after");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn opening_a_channel_without_redis_fails() {
    let error = Store::<Line>::open(Redis::pubsub("redis://:hidden@127.0.0.1:1/2")).await.unwrap_err().to_string();
    assert!(error.starts_with("Redis at 127.0.0.1:1, database ") && !error.contains("hidden"), "{error}");
}
