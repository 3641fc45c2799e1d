//! Several processes on one Redis are killed and restarted, and pages move between them.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tornadose::prelude::*;

use crate::common::{Line, line};
use crate::page::{Page, Shown, free_port, router};
use crate::server::Server;

/// A process that serves the stream until it is killed.
struct Process {
    child: Child,
}

impl Process {
    fn start(port: u16, url: &str) -> Self {
        // The test program itself, which runs only `serves_as_a_process`.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::serves_as_a_process", "--exact", "--ignored", "--nocapture"])
            .env("TORNADOSE_TEST_PROCESS", format!("{port} {url}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is a process of the test below, and does nothing by itself"]
async fn serves_as_a_process() {
    let Ok(arguments) = std::env::var("TORNADOSE_TEST_PROCESS") else { return };
    let (port, url) = arguments.split_once(' ').unwrap();
    let store = Store::<Line>::redis(url).await.unwrap();
    let acceptor = tornadose::listen(("127.0.0.1", port.parse::<u16>().unwrap())).await.unwrap();
    tornadose::serve_on(acceptor, router(&store)).await.unwrap();
}

/// The id of each number that any page has seen. The pages share it, because an hour of 300 pages would take gigabytes.
type Ids = Arc<Mutex<BTreeMap<u64, String>>>;

/// The observations of one page.
#[derive(Default)]
struct Walk {
    messages: u64,
    /// The newest number except `LAST`.
    newest: Option<u64>,
    /// Numbers that follow each other with others missing in between.
    holes: Vec<(u64, u64)>,
    gaps: Vec<String>,
    moves: u32,
}

impl Walk {
    /// Records the next message. Its number must have the same id in every page.
    fn record(&mut self, id: &str, number: u64, ids: &Ids) {
        self.messages += 1;
        if number != LAST
            && let Some(before) = self.newest.replace(number)
            && number != before + 1
        {
            self.holes.push((before, number));
        }
        let mut ids = ids.lock().unwrap();
        let known = ids.entry(number).or_insert_with(|| id.to_owned());
        assert_eq!(*known, id, "{number} has two ids");
    }
}

/// The number of the last message, which counting never reaches.
const LAST: u64 = u64::MAX;

/// Reads from random processes until it has seen the last message.
async fn walk(ports: Vec<u16>, seed: u64, ids: Ids) -> Walk {
    let (mut random, mut walk, mut position) = (Rng::with_seed(seed), Walk::default(), None);
    loop {
        let port = ports[random.usize(..ports.len())];
        let Ok(mut page) = Page::open(port, position.clone()).await else {
            sleep(Duration::from_millis(50 + random.u64(..100))).await;
            continue;
        };
        walk.moves += 1;
        let leaves_at = Instant::now() + Duration::from_millis(200 + random.u64(..1500));
        loop {
            match timeout(leaves_at.saturating_duration_since(Instant::now()), page.next()).await {
                Ok(Ok(Shown::Text(Some(id), text))) => {
                    let number = text.parse().unwrap();
                    walk.record(&id, number, &ids);
                    if number == LAST {
                        return walk;
                    }
                }
                Ok(Ok(Shown::Text(None, text))) => panic!("{text} has no id although nothing was trimmed"),
                Ok(Ok(Shown::Gap(gap))) => walk.gaps.push(gap),
                // The page leaves, or its process was killed.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        position = page.last_id;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn pages_that_move_between_processes_see_one_order_and_no_silent_loss() {
    let long = std::env::var_os("TORNADOSE_LONG").is_some();
    let (pages, duration) = (300, Duration::from_secs(if long { 3600 } else { 12 }));
    let server = Server::start();
    let ports = vec![free_port(), free_port(), free_port()];
    let mut processes: Vec<Process> = ports.iter().map(|port| Process::start(*port, &server.url())).collect();
    for port in &ports {
        let since = Instant::now();
        while Page::open(*port, None).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(30), "a process does not start");
            sleep(Duration::from_millis(50)).await;
        }
    }
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let started = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                store.submit(line(number.to_string())).await.unwrap();
                sleep(Duration::from_millis(20)).await;
            }
            number
        })
    };
    let ids = Ids::default();
    let walks: Vec<_> = (1..=pages).map(|seed| tokio::spawn(walk(ports.clone(), seed, Arc::clone(&ids)))).collect();
    let mut random = Rng::with_seed(7);
    while started.elapsed() < duration {
        sleep(Duration::from_millis(1500)).await;
        let which = random.usize(..ports.len());
        drop(processes.remove(which));
        sleep(Duration::from_millis(300)).await;
        processes.insert(which, Process::start(ports[which], &server.url()));
    }
    done.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    store.submit(line(LAST.to_string())).await.unwrap();

    let (mut moves, mut gaps, mut messages) = (0, 0, 0);
    for walk in walks {
        let walk = timeout(Duration::from_secs(60), walk).await.expect("a page never sees the last message").unwrap();
        moves += walk.moves;
        gaps += walk.gaps.len();
        messages += walk.messages;
        let is_complete = walk.holes.is_empty() && walk.newest == Some(written);
        assert!(is_complete || !walk.gaps.is_empty(), "silent loss: {:?}, {:?} of {written}", walk.holes, walk.newest);
    }
    // The ids grow with the numbers, so all pages saw one order.
    let offsets: Vec<(u64, u64)> = ids
        .lock()
        .unwrap()
        .values()
        .map(|id| {
            let (major, minor) = id[9..].split_once('.').unwrap();
            (major.parse().unwrap(), minor.parse().unwrap())
        })
        .collect();
    assert!(offsets.is_sorted());
    eprintln!("{pages} pages, {moves} connections, {messages} messages received, {gaps} gaps");
    assert_eq!(gaps, 0, "nothing was trimmed");
}
