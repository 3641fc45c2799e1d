//! Redis dies, freezes, cuts lines, or is away: readers stay, and every acknowledged message comes once.

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
enum Told {
    Acknowledged,
    NotSent,
    Unknown,
}

/// Tasks that submit one message after the other, and what they were told of each.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<(String, Told)>>>,
}

impl Load {
    fn on(store: &Store<Line>) -> Self {
        Self::of(8, store)
    }

    /// From so many tasks.
    fn of(tasks: u32, store: &Store<Line>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let submit = |task: u32| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{task} {number}");
                    let since = Instant::now();
                    let outcome = match store.submit(line(&text)).await {
                        Ok(_) => Told::Acknowledged,
                        Err(SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }) => Told::NotSent,
                        Err(SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }) => Told::Unknown,
                        Err(error) => panic!("{error}"),
                    };
                    assert!(since.elapsed() < Duration::from_secs(5), "told after {:?}", since.elapsed());
                    told.push((text, outcome));
                    sleep(Duration::from_millis(2)).await;
                }
                told
            })
        };
        let tasks = (0..tasks).map(submit).collect();
        Self { stop, tasks }
    }

    async fn stop(self) -> Vec<(String, Told)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        for task in self.tasks {
            told.extend(task.await.unwrap());
        }
        told
    }
}

/// Every acknowledged message came once and in its task's order, none that was not sent, and the others, so many, at most once.
async fn check(mut readers: Vec<Subscription<Line>>, store: &Store<Line>, load: Load) -> usize {
    let told = load.stop().await;
    let since = Instant::now();
    while let Err(error) = store.submit(line("end")).await {
        assert!(since.elapsed() < Duration::from_secs(30), "{error}");
    }
    let count = |what| told.iter().filter(|(_, told)| *told == what).count();
    eprintln!(
        "{} acknowledged, {} not sent, {} unknown",
        count(Told::Acknowledged),
        count(Told::NotSent),
        count(Told::Unknown)
    );
    assert!(count(Told::Acknowledged) > 100);
    for reader in &mut readers {
        let (mut came, mut newest) = (HashMap::new(), HashMap::new());
        loop {
            let message = text(reader).await;
            if message == "end" {
                break;
            }
            let (task, number) = message.split_once(' ').unwrap();
            let number: u32 = number.parse().unwrap();
            let before = newest.insert(task.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{message} after {before:?}");
            *came.entry(message).or_insert(0) += 1;
        }
        for (message, told) in &told {
            let times = came.get(message).copied().unwrap_or(0);
            match told {
                Told::Acknowledged => assert_eq!(times, 1, "{message}"),
                Told::NotSent => assert_eq!(times, 0, "{message}"),
                Told::Unknown => assert!(times <= 1, "{message}"),
            }
        }
    }
    count(Told::Unknown)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn killed_and_started_again_under_load_it_loses_and_doubles_nothing() {
    let mut server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::on(&one);
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
async fn frozen_under_load_it_loses_and_doubles_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::on(&one);
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
async fn with_its_lines_cut_under_load_it_loses_and_doubles_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    let load = Load::on(&one);
    for _ in 0..10 {
        sleep(Duration::from_millis(200)).await;
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    sleep(Duration::from_secs(2)).await;
    check(readers, &one, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn behind_a_blocked_port_it_loses_and_doubles_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let readers = vec![store.subscribe()];
    let load = Load::on(&store);
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
async fn when_writes_are_refused_for_a_while_under_load_it_loses_and_doubles_nothing() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let readers = vec![one.subscribe(), other.subscribe()];
    // So many that one write is always on its way behind another.
    let load = Load::of(200, &one);
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        // A replica of nobody takes no writes.
        server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        sleep(Duration::from_millis(100)).await;
        server.cli(&["REPLICAOF", "NO", "ONE"]);
    }
    sleep(Duration::from_secs(1)).await;
    // No line was cut: every answer came.
    assert_eq!(check(readers, &one, load).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_25_seconds_without_redis_readers_are_still_there_and_have_all() {
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
        let asked = Instant::now();
        match store.submit(line("meanwhile")).await.unwrap_err() {
            SubmitError::Unavailable { outcome, .. } => outcomes.push(outcome),
            error => panic!("{error}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    }
    // The first may have left on a connection that was dead already.
    assert!(outcomes[1..].iter().all(|outcome| *outcome == SendOutcome::NotSent), "{outcomes:?}");
    assert!(store.try_submit(line("handed off")).unwrap().is_none());
    server.restart();
    let back = Instant::now();
    let mut expected = vec!["handed off", "after"];
    while store.submit(line("after")).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(30));
    }
    if outcomes[0] == SendOutcome::Unknown {
        expected.insert(0, "meanwhile");
    }
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "after") {
        came.push(text(&mut reader).await);
    }
    assert!(came == expected || came == expected[expected.len() - 2..], "{came:?}");
    for expected in came {
        assert_eq!(page.text().await, expected, "over the connection that it had");
    }
    assert!(page.comments > 0, "it was not kept alive meanwhile");
    assert!(back.elapsed() < Duration::from_secs(10), "back after {:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn with_another_type_under_the_key_it_waits_until_that_is_mended() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    server.cli(&["SET", "{tornadose:lines}", "a string"]);
    let error = store.submit(line("refused")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }), "{error}");
    server.cli(&["DEL", "{tornadose:lines}"]);
    assert!(matches!(next(&mut reader).await, Seen::Gap(tornadose::GapReason::Restarted, None)));
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
}
