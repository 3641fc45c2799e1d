//! Redis is killed, frozen, cut off or absent. Readers stay connected, and every acknowledged message is delivered once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tornadose::backend::SendOutcome;
use tornadose::prelude::*;
use tornadose::{SubmitError, Subscription};

use crate::common::{Line, Seen, line, next, text};
use crate::page::{Page, serve};
use crate::proxy::Proxy;
use crate::server::Server;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    Acknowledged,
    NotSent,
    Unknown,
}

/// Tasks that submit one message after the other, and record the reply to each.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<(String, Reply)>>>,
}

impl Load {
    fn start(store: &Store<Line>) -> Self {
        Self::start_tasks(8, store)
    }

    fn start_tasks(tasks: u32, store: &Store<Line>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let submit = |task: u32| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut replies = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{task} {number}");
                    let since = Instant::now();
                    let outcome = match store.submit(line(&text)).await {
                        Ok(_) => Reply::Acknowledged,
                        Err(
                            SubmitError::Refused { .. }
                            | SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. },
                        ) => Reply::NotSent,
                        Err(SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }) => Reply::Unknown,
                        Err(error) => panic!("{error}"),
                    };
                    assert!(since.elapsed() < Duration::from_secs(5), "replied after {:?}", since.elapsed());
                    replies.push((text, outcome));
                    sleep(Duration::from_millis(2)).await;
                }
                replies
            })
        };
        let tasks = (0..tasks).map(submit).collect();
        Self { stop, tasks }
    }

    async fn stop(self) -> Vec<(String, Reply)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut replies = Vec::new();
        for task in self.tasks {
            replies.extend(task.await.unwrap());
        }
        replies
    }
}

/// Stops the load, and checks that the readers received every acknowledged message once and in its task's order, no message that was
/// not sent, and the others once at most. Returns how many outcomes are unknown.
async fn check(mut readers: Vec<Subscription<Line>>, store: &Store<Line>, load: Load) -> usize {
    let replies = load.stop().await;
    let since = Instant::now();
    while let Err(error) = store.submit(line("end")).await {
        assert!(since.elapsed() < Duration::from_secs(30), "{error}");
    }
    let count = |wanted| replies.iter().filter(|(_, reply)| *reply == wanted).count();
    eprintln!(
        "{} acknowledged, {} not sent, {} unknown",
        count(Reply::Acknowledged),
        count(Reply::NotSent),
        count(Reply::Unknown)
    );
    assert!(count(Reply::Acknowledged) > 100);
    for reader in &mut readers {
        let (mut received, mut newest) = (HashMap::new(), HashMap::new());
        loop {
            let message = text(reader).await;
            if message == "end" {
                break;
            }
            let (task, number) = message.split_once(' ').unwrap();
            let number: u32 = number.parse().unwrap();
            let before = newest.insert(task.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{message} after {before:?}");
            *received.entry(message).or_insert(0) += 1;
        }
        for (message, reply) in &replies {
            let times = received.get(message).copied().unwrap_or(0);
            match reply {
                Reply::Acknowledged => assert_eq!(times, 1, "{message}"),
                Reply::NotSent => assert_eq!(times, 0, "{message}"),
                Reply::Unknown => assert!(times <= 1, "{message}"),
            }
        }
    }
    count(Reply::Unknown)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_kill_and_restart_under_load_loses_and_duplicates_nothing() {
    let mut server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::start(&one);
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        server.kill();
        sleep(Duration::from_millis(300)).await;
        server.restart();
    }
    sleep(Duration::from_secs(2)).await;
    check(readers, &one, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_freeze_under_load_loses_and_duplicates_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::start(&one);
    for seconds in [1, 5, 9] {
        sleep(Duration::from_millis(500)).await;
        server.freeze();
        sleep(Duration::from_secs(seconds)).await;
        server.thaw();
    }
    sleep(Duration::from_secs(2)).await;
    check(readers, &one, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn cut_connections_under_load_lose_and_duplicate_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::start(&one);
    for _ in 0..10 {
        sleep(Duration::from_millis(200)).await;
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    sleep(Duration::from_secs(2)).await;
    check(readers, &one, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_blocked_port_under_load_loses_and_duplicates_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let readers = vec![store.subscribe()];
    let load = Load::start(&store);
    for seconds in [1, 8] {
        sleep(Duration::from_millis(500)).await;
        proxy.block();
        sleep(Duration::from_secs(seconds)).await;
        proxy.unblock();
    }
    sleep(Duration::from_secs(3)).await;
    check(readers, &store, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn temporarily_rejected_writes_under_load_lose_and_duplicate_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    // With this many tasks two pipelines are always in flight.
    let load = Load::start_tasks(200, &one);
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        // A replica rejects writes.
        server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        sleep(Duration::from_millis(100)).await;
        server.cli(&["REPLICAOF", "NO", "ONE"]);
    }
    sleep(Duration::from_secs(1)).await;
    // No connection was cut, so every reply arrived.
    assert_eq!(check(readers, &one, load).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_25_seconds_without_redis_readers_are_connected_and_complete() {
    let mut server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    let (port, _serving) = serve(&store).await;
    let mut page = Page::open(port, None).await.unwrap();
    assert_eq!(page.text().await, "before");
    server.kill();
    let (since, mut outcomes) = (Instant::now(), Vec::new());
    while since.elapsed() < Duration::from_secs(25) {
        let submitted = Instant::now();
        match store.submit(line("meanwhile")).await.unwrap_err() {
            SubmitError::Unavailable { outcome, .. } => outcomes.push(outcome),
            error => panic!("{error}"),
        }
        assert!(submitted.elapsed() < Duration::from_secs(4), "{:?}", submitted.elapsed());
    }
    // The first may have been sent on a connection that was already dead.
    assert!(outcomes[1..].iter().all(|outcome| *outcome == SendOutcome::NotSent), "{outcomes:?}");
    assert!(store.try_submit(line("without ack")).unwrap().is_none());
    server.restart();
    let restarted = Instant::now();
    let mut expected = vec!["without ack", "after"];
    while store.submit(line("after")).await.is_err() {
        assert!(restarted.elapsed() < Duration::from_secs(30));
    }
    if outcomes[0] == SendOutcome::Unknown {
        expected.insert(0, "meanwhile");
    }
    let mut received = Vec::new();
    while received.last().is_none_or(|last| last != "after") {
        received.push(text(&mut reader).await);
    }
    assert!(received == expected || received == expected[expected.len() - 2..], "{received:?}");
    for expected in received {
        assert_eq!(page.text().await, expected, "on the same connection");
    }
    assert!(page.comments > 0, "no keep-alive arrived meanwhile");
    assert!(restarted.elapsed() < Duration::from_secs(10), "complete after {:?}", restarted.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn with_another_type_under_the_key_it_waits_until_the_key_is_deleted() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    server.cli(&["SET", "{tornadose:lines}", "a string"]);
    let error = store.submit(line("rejected")).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Refused { reason, .. } if reason.starts_with("WRONGTYPE ")), "{error}");
    server.cli(&["DEL", "{tornadose:lines}"]);
    assert!(matches!(next(&mut reader).await, Seen::Gap(tornadose::GapReason::Restarted, None)));
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
}
