//! A load on two processes while servers come and go, and the check of what their readers were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tornadose::prelude::*;
use tornadose::{GapReason, Received, Subscription};

use crate::common::{Line, line};

/// The bound of the time from a new master to the next message.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(10);

/// An item that a reader was told. Messages are known by their numbers.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Number(u64),
    Gap(GapReason),
}

type Log<T> = Arc<Mutex<Vec<(T, Instant)>>>;

pub(crate) struct Journal {
    store: Store<Line>,
    is_stopped: Arc<AtomicBool>,
    /// The numbers that were acknowledged.
    acknowledged: Log<u64>,
    readers: [Log<Told>; 2],
    writing: JoinHandle<u64>,
    reading: [JoinHandle<()>; 2],
    _other: Store<Line>,
}

impl Journal {
    /// Opens two stores as two processes would, and submits to the first, one message every few milliseconds.
    pub(crate) async fn start(url: &str) -> Self {
        let store = Store::<Line>::redis(url).await.unwrap();
        let other = Store::<Line>::redis(url).await.unwrap();
        let readers: [Log<Told>; 2] = Default::default();
        let reading = [read(store.subscribe(), &readers[0]), read(other.subscribe(), &readers[1])];
        let (is_stopped, acknowledged) = (Arc::<AtomicBool>::default(), Log::<u64>::default());
        let writing = tokio::spawn(write(store.clone(), Arc::clone(&is_stopped), Arc::clone(&acknowledged)));
        Self { store, is_stopped, acknowledged, readers, writing, reading, _other: other }
    }

    /// Waits until so many more messages were acknowledged.
    pub(crate) async fn more(&self, messages: usize) {
        let (before, since) = (self.acknowledged.lock().unwrap().len(), Instant::now());
        while self.acknowledged.lock().unwrap().len() < before + messages {
            assert!(since.elapsed() < Duration::from_secs(60), "nothing is acknowledged for a minute");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a message was acknowledged after a time, and each reader was told something. Returns how long after
    /// that time it was.
    pub(crate) async fn resumed_after(&self, time: Instant) -> Duration {
        let since = Instant::now();
        loop {
            let told = self.readers.iter().map(|log| first_after(log, time));
            let all: Option<Vec<Duration>> = told.chain([first_after(&self.acknowledged, time)]).collect();
            if let Some(last) = all.and_then(|all| all.into_iter().max()) {
                return last;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "nothing happens for a minute");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the load, and checks that each reader was told of every acknowledged message, by itself or by a gap, and
    /// between two gaps of none twice. Returns the gaps of each reader.
    pub(crate) async fn finish(self) -> [Vec<GapReason>; 2] {
        self.is_stopped.store(true, Ordering::Relaxed);
        let last = self.writing.await.unwrap() + 1;
        // Readers are told of everything up to it.
        self.store.submit(line(last.to_string())).await.unwrap();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let mut gaps = Vec::new();
        for log in &self.readers {
            let since = Instant::now();
            while !matches!(log.lock().unwrap().last(), Some((Told::Number(number), _)) if *number == last) {
                assert!(
                    since.elapsed() < Duration::from_secs(60),
                    "a reader stops at {:?}",
                    log.lock().unwrap().last()
                );
                sleep(Duration::from_millis(5)).await;
            }
            gaps.push(loop {
                let told = log.lock().unwrap().clone();
                match check(&told, &acknowledged) {
                    Ok(gaps) => break gaps,
                    Err(missing) if since.elapsed() > Duration::from_secs(10) => panic!("{missing}"),
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            });
        }
        self.reading.into_iter().for_each(|task| task.abort());
        gaps.try_into().unwrap()
    }
}

/// Checks what one reader was told, and returns its gaps. A gap tells of everything that was acknowledged before it. It
/// may follow what another process has appended meanwhile: the one that knows of a loss tells the others.
fn check(told: &[(Told, Instant)], acknowledged: &[(u64, Instant)]) -> Result<Vec<GapReason>, String> {
    let (mut gaps, mut last, mut told_through, mut missing) = (Vec::new(), Some(0), 0, None);
    for (item, at) in told {
        match item {
            Told::Gap(reason) => {
                gaps.push(*reason);
                let before = acknowledged.iter().take_while(|(_, acknowledged_at)| acknowledged_at <= at).last();
                (last, told_through, missing) = (None, before.map_or(0, |(number, _)| *number), None);
            }
            Told::Number(number) => {
                if let Some(last) = last {
                    assert!(*number > last, "{number} follows {last}");
                    let untold = last.max(told_through) + 1..*number;
                    missing = missing.or(acknowledged.iter().find(|(other, _)| untold.contains(other)));
                }
                last = Some(*number);
            }
        }
    }
    match missing {
        Some((missing, _)) => Err(format!("{missing} was acknowledged, and no gap follows")),
        None => Ok(gaps),
    }
}

fn first_after<T>(log: &Log<T>, time: Instant) -> Option<Duration> {
    log.lock().unwrap().iter().find_map(|(_, at)| at.checked_duration_since(time))
}

async fn write(store: Store<Line>, is_stopped: Arc<AtomicBool>, acknowledged: Log<u64>) -> u64 {
    let mut number = 0;
    while !is_stopped.load(Ordering::Relaxed) {
        number += 1;
        if store.submit(line(number.to_string())).await.is_ok() {
            acknowledged.lock().unwrap().push((number, Instant::now()));
        }
        sleep(Duration::from_millis(3)).await;
    }
    number
}

fn read(mut reader: Subscription<Line>, log: &Log<Told>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        while let Some(received) = reader.next().await {
            let told = match received {
                Received::Message { message, .. } => Told::Number(message.text.parse().unwrap()),
                Received::Gap { reason, .. } => Told::Gap(reason),
                other => panic!("{other:?}"),
            };
            log.lock().unwrap().push((told, Instant::now()));
        }
    })
}

/// Waits until a condition on servers holds, and returns when it did.
pub(crate) async fn when(condition: &str, mut holds: impl FnMut() -> bool) -> Instant {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("not within a minute: {condition}"));
    Instant::now()
}

/// Tells servers to do something, again and again because they give up what takes too long, until a condition on them holds, and
/// returns when it did.
pub(crate) async fn when_told(
    condition: &str,
    again_after: Duration,
    tell: impl Fn(),
    mut holds: impl FnMut() -> bool,
) -> Instant {
    let mut told: Option<Instant> = None;
    when(condition, || {
        let is_due = told.is_none_or(|told| told.elapsed() >= again_after);
        if is_due {
            tell();
            told = Some(Instant::now());
        }
        holds()
    })
    .await
}

/// Checks that each reader was told of a loss once for each failover, at most.
pub(crate) fn check_gaps(gaps: &[Vec<GapReason>], failovers: usize) {
    for gaps in gaps {
        let is_loss = gaps.iter().all(|reason| *reason == GapReason::Restarted);
        assert!(is_loss && gaps.len() <= failovers, "{gaps:?}");
    }
}
