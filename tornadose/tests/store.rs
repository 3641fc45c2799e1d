//! What a store keeps, what its subscriptions yield, and how its handle behaves.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "store/acknowledged.rs"]
mod acknowledged;
#[path = "store/backend.rs"]
mod backend;
#[path = "store/ephemeral.rs"]
mod ephemeral;
#[path = "store/finish.rs"]
mod finish;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/latest_ttl.rs"]
mod latest_ttl;
#[path = "common/link.rs"]
mod link;
#[path = "common/log.rs"]
mod log;
#[path = "store/memory.rs"]
mod memory;
#[path = "store/slots.rs"]
mod slots;
#[path = "store/snapshots.rs"]
mod snapshots;
#[path = "store/threads.rs"]
mod threads;
#[path = "store/ttl.rs"]
mod ttl;
#[path = "store/undecoded.rs"]
mod undecoded;

use futures_util::stream::FusedStream;
use futures_util::{FutureExt, StreamExt};
use tornadose::prelude::*;
use tornadose::{ENTRY_OVERHEAD, GapReason, Received, SubmitError, Subscription};

#[store(queue, capacity = 4)]
#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: u32,
    },
    #[latest]
    Halt {
        #[key]
        symbol: String,
        halted: bool,
    },
}

fn key(symbol: &str) -> MarketKey {
    MarketKey { symbol: symbol.into() }
}

fn trade(symbol: &str, price: u32) -> Market {
    Market::Trade { symbol: symbol.into(), price }
}

fn quote(symbol: &str, bid: u32) -> Market {
    Market::Quote { symbol: symbol.into(), bid }
}

fn halt(symbol: &str, halted: bool) -> Market {
    Market::Halt { symbol: symbol.into(), halted }
}

/// Returns everything that a subscription yields now; a gap as the number of messages that it misses.
fn ready<M: tornadose::Message + Clone>(subscription: &mut Subscription<M>) -> Vec<Result<M, Option<u64>>> {
    let mut received = Vec::new();
    while let Some(Some(next)) = subscription.next().now_or_never() {
        received.push(match next {
            Received::Message { message, .. } => Ok(M::clone(&message)),
            Received::Gap { reason, missed } => {
                assert_eq!(reason, GapReason::Lagged);
                Err(missed)
            }
            other => panic!("{other:?}"),
        });
    }
    received
}

#[tokio::test]
async fn all_messages_have_one_order() {
    let store = Store::new();
    let (mut all, mut one) = (store.subscribe(), store.subscribe_to(key("A")));
    let sent = [trade("A", 1), trade("B", 2), quote("A", 3), halt("B", true), trade("A", 4)];
    for message in sent.clone() {
        store.submit(message).await.unwrap();
    }
    assert_eq!(ready(&mut all), sent.clone().map(Ok));
    assert_eq!(ready(&mut one), [Ok(trade("A", 1)), Ok(quote("A", 3)), Ok(trade("A", 4))]);
}

#[tokio::test]
async fn a_latest_message_is_replaced_by_the_newest_of_its_key_and_variant() {
    let store = Store::new();
    let mut apple = store.subscribe_to(key("A"));
    for bid in 1..=3 {
        store.submit(quote("A", bid)).await.unwrap();
        store.submit(trade("A", bid)).await.unwrap();
        store.submit(halt("A", bid == 1)).await.unwrap();
        store.submit(quote("B", bid)).await.unwrap();
    }
    let expected = [trade("A", 1), trade("A", 2), quote("A", 3), trade("A", 3), halt("A", false)];
    assert_eq!(ready(&mut apple), expected.map(Ok));
    assert_eq!(*store.latest(&key("A")).unwrap(), halt("A", false));
    assert_eq!(*store.latest(&key("B")).unwrap(), quote("B", 3));
    assert!(store.latest(&key("C")).is_none());
}

#[tokio::test]
async fn a_new_subscription_begins_with_the_latest_values() {
    let store = Store::new();
    for message in [trade("A", 1), quote("A", 2), halt("B", true)] {
        store.submit(message).await.unwrap();
    }
    assert_eq!(ready(&mut store.subscribe()), [Ok(quote("A", 2)), Ok(halt("B", true))]);
    store.forget(&key("A"));
    assert_eq!(ready(&mut store.subscribe()), [Ok(halt("B", true))]);
    assert!(store.latest(&key("A")).is_none());
}

#[tokio::test]
async fn a_message_that_is_forgotten_before_it_is_read_is_not_read() {
    let store = Store::new();
    let (mut all, mut one) = (store.subscribe(), store.subscribe_to(key("A")));
    for (bid, forgotten) in [(1, false), (2, false), (3, true), (4, false), (5, true)] {
        assert_eq!((ready(&mut all), ready(&mut one)), (vec![], vec![]));
        store.submit(quote("A", bid)).await.unwrap();
        if forgotten {
            store.forget(&key("A"));
        } else {
            assert_eq!((ready(&mut all), ready(&mut one)), (vec![Ok(quote("A", bid))], vec![Ok(quote("A", bid))]));
        }
    }
    assert_eq!((ready(&mut all), ready(&mut one)), (vec![], vec![]));
}

#[tokio::test]
async fn capacity_is_per_key_and_missed_messages_are_counted() {
    let store = Store::new();
    let (mut all, mut apple, mut bread) =
        (store.subscribe(), store.subscribe_to(key("A")), store.subscribe_to(key("B")));
    store.submit(trade("B", 0)).await.unwrap();
    for price in 1..=10 {
        store.submit(trade("A", price)).await.unwrap();
    }
    let kept: Vec<_> = (7..=10).map(|price| Ok(trade("A", price))).collect();
    assert_eq!(ready(&mut apple), [vec![Err(Some(6))], kept.clone()].concat());
    assert_eq!(ready(&mut bread), [Ok(trade("B", 0))]);
    assert_eq!(ready(&mut all), [vec![Err(Some(6)), Ok(trade("B", 0))], kept].concat());
    store.submit(trade("A", 11)).await.unwrap();
    assert_eq!(ready(&mut apple), [Ok(trade("A", 11))]);
}

#[store(queue, memory = "8KiB")]
#[derive(Serialize, Debug, Clone, PartialEq)]
enum Blob {
    Queued {
        #[key]
        key: u32,
        text: String,
    },
    #[latest]
    Newest {
        #[key]
        key: u32,
        text: String,
    },
}

fn queued(key: u32, bytes: usize) -> Blob {
    Blob::Queued { key, text: "x".repeat(bytes) }
}

fn newest(key: u32, bytes: usize) -> Blob {
    Blob::Newest { key, text: "x".repeat(bytes) }
}

#[tokio::test]
async fn memory_drops_the_oldest_message_whatever_its_key() {
    let store = Store::new();
    let (mut one, mut two) = (store.subscribe_to(BlobKey { key: 1 }), store.subscribe_to(BlobKey { key: 2 }));
    store.submit(queued(1, 1000)).await.unwrap();
    store.submit(newest(1, 1000)).await.unwrap();
    for _ in 0..10 {
        store.submit(queued(2, 1000)).await.unwrap();
    }
    assert_eq!(ready(&mut one), [Err(Some(1)), Ok(newest(1, 1000))]);
    // Of 8192 bytes, the latest value and the two keys take their part. The rest is for messages of
    // 1000 bytes with their overhead.
    let message = ENTRY_OVERHEAD + 1000 + r#"{"key":2,"text":""}Queued"#.len();
    let key = ENTRY_OVERHEAD + r#"{"key":2}"#.len();
    let kept = (8192 - message - 2 * key) / message;
    let mut expected = vec![Err(Some(10 - kept as u64))];
    expected.extend(vec![Ok(queued(2, 1000)); kept]);
    assert_eq!(ready(&mut two), expected);
}

#[tokio::test]
async fn latest_values_are_never_dropped_to_make_room() {
    let store = Store::new();
    let mut rejected = 0;
    for key in 0..10 {
        match store.submit(newest(key, 1000)).await {
            Ok(_) => assert_eq!(rejected, 0),
            Err(SubmitError::Full { message }) => {
                assert_eq!(message, newest(key, 1000));
                rejected += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(rejected, 7);
    assert!(store.submit(newest(0, 900)).await.is_ok(), "a message that replaces another fits");
    assert!(matches!(store.submit(newest(0, 4000)).await, Err(SubmitError::Full { .. })));
    assert_eq!(*store.latest(&BlobKey { key: 0 }).unwrap(), newest(0, 900));
    store.forget(&BlobKey { key: 1 });
    store.submit(newest(7, 1000)).await.unwrap();
    match store.submit(queued(0, 9000)).await {
        Err(SubmitError::TooLarge { message, size }) => assert!(message == queued(0, 9000) && size > 9000),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_never_gets_messages_of_another_key() {
    let store = Store::new();
    for symbol in ["A", "B"] {
        store.submit(quote(symbol, 1)).await.unwrap();
        store.submit(halt(symbol, true)).await.unwrap();
        let mut reader = store.subscribe_to(key(symbol));
        assert_eq!(ready(&mut reader), [Ok(quote(symbol, 1)), Ok(halt(symbol, true))], "messages of another key");
        drop(reader);
        // Nothing is left of the key, so that its index can be given to the next.
        store.forget(&key(symbol));
    }
}

/// A message whose `Drop` calls its store.
struct Recursive(Store<Recursive>);

impl Drop for Recursive {
    fn drop(&mut self) {
        self.0.subscribers();
    }
}

impl tornadose::Message for Recursive {
    type Key = tornadose::NoKey;
    const CAPACITY: usize = 4;
    const CHANNEL: &'static str = "recursive";
    fn key(&self) -> tornadose::NoKey {
        tornadose::NoKey
    }
    fn retention(&self) -> tornadose::Retention {
        tornadose::Retention::Queue
    }
    fn event(&self) -> Result<tornadose::Event, tornadose::EncodeError> {
        Ok(tornadose::Event::text("x"))
    }
}

#[tokio::test]
async fn a_message_may_call_the_store_when_it_is_dropped() {
    let store = Store::new();
    for _ in 0..100 {
        let mut reader = store.subscribe();
        for _ in 0..6 {
            store.submit(Recursive(store.clone())).await.unwrap();
        }
        while let Some(Some(received)) = reader.next().now_or_never() {
            drop(received);
        }
    }
}

#[tokio::test]
async fn disconnect_ends_readers_of_a_key_and_close_ends_all() {
    let store: Store<Market> = Store::new();
    let (mut all, mut apple, mut bread) =
        (store.subscribe(), store.subscribe_to(key("A")), store.subscribe_to(key("B")));
    assert_eq!((store.subscribers(), store.subscribers_of(&key("A"))), (3, 1));
    store.submit(trade("A", 1)).await.unwrap();
    store.disconnect(&key("A"));
    store.submit(trade("A", 2)).await.unwrap();
    assert!(matches!(apple.next().await, Some(Received::Message { message, .. }) if *message == trade("A", 1)));
    assert!(apple.next().await.is_none());
    assert!(all.next().await.is_some() && all.next().await.is_some());
    assert!(all.next().now_or_never().is_none() && bread.next().now_or_never().is_none());
    store.submit(trade("B", 1)).await.unwrap();
    store.close();
    assert!(bread.next().await.is_some(), "messages from before the end are read");
    assert!(bread.next().await.is_none());
    assert!(matches!(store.submit(trade("A", 1)).await, Err(SubmitError::Closed { .. })));
    store.closed().await;
    assert!(store.subscribe().next().await.is_none());
    drop((all, apple, bread));
    assert_eq!(store.subscribers(), 0);
}

#[tokio::test]
async fn a_loop_of_submits_lets_readers_run() {
    let store = Store::new();
    let mut reader = store.subscribe_to(key("A"));
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while let Some(received) = reader.next().await {
            count += usize::from(matches!(received, Received::Message { .. }));
        }
        count
    });
    for price in 0..10_000 {
        store.submit(trade("A", price)).await.unwrap();
    }
    store.close();
    assert!(reading.await.unwrap() > 100);
}

#[test]
fn a_store_needs_no_runtime() {
    let store = Store::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for price in 0..100 {
                    store.try_submit(quote("A", price)).unwrap();
                }
            });
        }
    });
    assert!(store.head().to_string().ends_with("-400"));
}

#[tokio::test]
async fn stores_of_one_type_may_have_bounds_of_their_own() {
    let stores = [Store::new(), Store::builder().capacity(2).build(), Store::builder().capacity(0).build()];
    for (store, capacity) in stores.iter().zip([4, 2, 1]) {
        let mut reader = store.subscribe();
        for price in 0..10 {
            store.submit(trade("A", price)).await.unwrap();
        }
        let kept = (10 - capacity..10).map(|price| Ok(trade("A", price)));
        assert_eq!(
            ready(&mut reader),
            [Err(Some(u64::from(10 - capacity)))].into_iter().chain(kept).collect::<Vec<_>>()
        );
    }
    let small = Store::builder().memory(2048).build();
    assert!(matches!(small.submit(queued(0, 1500)).await, Err(SubmitError::TooLarge { size, .. }) if size > 2048));
    let large = Store::builder().memory(1 << 20).build();
    large.submit(queued(0, 100_000)).await.unwrap();
}

#[tokio::test]
async fn a_subscription_stays_at_its_end() {
    let store = Store::<Market>::new();
    let mut reader = store.subscribe();
    assert!(!reader.is_terminated());
    store.close();
    for _ in 0..3 {
        assert!(reader.next().await.is_none());
        assert!(reader.is_terminated());
    }
}

#[tokio::test]
async fn received_items_can_be_cloned_and_compared() {
    let store = Store::new();
    let mut reader = store.subscribe();
    let id = store.submit(trade("A", 1)).await.unwrap();
    let received = reader.next().await.unwrap();
    assert_eq!(received.clone(), received);
    assert_eq!(received, Received::Message { id, message: trade("A", 1).into() });
}
