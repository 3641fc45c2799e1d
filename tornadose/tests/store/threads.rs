//! A store on several threads in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_util::StreamExt;
use tornadose::prelude::*;
use tornadose::{Id, Received, Subscription};

#[store(queue, capacity = 32)]
#[derive(Serialize)]
struct Beat {
    #[key]
    key: u32,
    number: u64,
}

fn offset(id: Id) -> u64 {
    id.to_string().split_once('-').unwrap().1.parse().unwrap()
}

/// Reads to the end of the store. Returns the number of messages and the number of missed messages.
async fn read_to_end(mut subscription: Subscription<Beat>, pause: Duration) -> (u64, u64) {
    let (mut seen, mut missed_total, mut last) = (0, 0, 0);
    while let Some(received) = subscription.next().await {
        match received {
            Received::Message { id, .. } => {
                assert!(offset(id) > last, "backwards");
                last = offset(id);
                seen += 1;
            }
            Received::Gap { missed, .. } => missed_total += missed.unwrap(),
            other => panic!("{other:?}"),
        }
        if !pause.is_zero() && seen % 50 == 0 {
            tokio::time::sleep(pause).await;
        }
    }
    (seen, missed_total)
}

/// Subscribes to a key again and again until `stop` is set. Checks that no message is missing without a gap.
async fn read_and_resubscribe(store: Store<Beat>, key: u32, stop: Arc<AtomicBool>) {
    while !stop.load(SeqCst) {
        let mut subscription = store.subscribe_to(BeatKey { key });
        let (mut due, mut missed_before) = (None::<u64>, 0);
        for turn in 0..5000 {
            let Ok(Some(received)) = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await else {
                assert!(stop.load(SeqCst), "a reader waits although messages are written");
                break;
            };
            match received {
                Received::Message { message, .. } => {
                    assert_eq!(key, message.key);
                    if let Some(due) = due {
                        assert_eq!(message.number, due + missed_before, "a message is missing or came twice");
                    }
                    (due, missed_before) = (Some(message.number + 1), 0);
                }
                Received::Gap { missed, .. } => missed_before += missed.unwrap(),
                other => panic!("{other:?}"),
            }
            if turn % 700 == 699 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Submits messages of a key until `stop` is set. Returns how many.
fn submit(store: &Store<Beat>, key: u32, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(SeqCst) {
        number += 1;
        store.try_submit(Beat { key, number }).unwrap();
        if number % 64 == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_gets_each_message_or_its_number_in_a_gap() {
    let store: Store<Beat> = Store::new();
    let stop = Arc::new(AtomicBool::new(false));
    // Two readers read from the first message to the last. What they got and what they missed is all
    // that was submitted.
    let all = [0, 300].map(|pause| tokio::spawn(read_to_end(store.subscribe(), Duration::from_micros(pause))));
    let readers =
        [0, 1, 2, 3, 0, 1].map(|key| tokio::spawn(read_and_resubscribe(store.clone(), key, Arc::clone(&stop))));
    let writers = [0, 1, 2, 3].map(|key| {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || submit(&store, key, &stop))
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, SeqCst);
    let mut submitted = 0;
    for writer in writers {
        submitted += writer.await.unwrap();
    }
    store.close();
    for reader in all {
        let (seen, missed) = reader.await.unwrap();
        assert_eq!(seen + missed, submitted);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(store.subscribers(), 0);
}
