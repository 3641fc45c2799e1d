//! Finishes and removals of a store in memory, without connections.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tornadose::prelude::*;
use tornadose::{GapReason, Id, KeyState, Received, SubmitError, Subscription};

#[store(queue, capacity = 4)]
#[derive(Serialize, Debug, Clone, PartialEq)]
enum Run {
    Line {
        #[key]
        run: u32,
        number: u32,
    },
    #[latest]
    Progress {
        #[key]
        run: u32,
        percent: u8,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

fn line(run: u32, number: u32) -> Run {
    Run::Line { run, number }
}

fn key(run: u32) -> RunKey {
    RunKey { run }
}

/// What a subscription yields.
#[derive(Debug, PartialEq)]
enum Item {
    Message(Run),
    Finished(String),
    Gap(GapReason, Option<u64>),
    End,
}

fn ready(subscription: &mut Subscription<Run>) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some(next) = subscription.next().now_or_never() {
        items.push(match next {
            Some(Received::Message { message, .. }) => Item::Message(Run::clone(&message)),
            Some(Received::Finished { key, .. }) => Item::Finished(key.to_string()),
            Some(Received::Gap { reason, missed }) => Item::Gap(reason, missed),
            Some(other) => panic!("{other:?}"),
            None => Item::End,
        });
        if items.last() == Some(&Item::End) {
            break;
        }
    }
    items
}

fn number_of(id: Id) -> u64 {
    id.to_string().split_once('-').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn nothing_follows_a_finish_and_its_subscriptions_end() {
    let store = Store::new();
    let (mut one, mut all) = (store.subscribe_to(key(1)), store.subscribe());
    store.submit(line(1, 1)).await.unwrap();
    assert_eq!(number_of(store.submit(Run::Done { run: 1 }).await.unwrap()), 2);
    assert_eq!(number_of(store.head()), 3, "the finish has an offset of its own");
    for late in [line(1, 2), Run::Progress { run: 1, percent: 1 }, Run::Done { run: 1 }] {
        let error = store.submit(late.clone()).await.unwrap_err();
        assert!(matches!(error, SubmitError::Finished { .. }));
        assert_eq!(error.to_string(), "the key is finished: submit to another one, or remove it first");
        assert_eq!(error.into_message(), late);
        assert!(matches!(store.try_submit(late), Err(SubmitError::Finished { .. })));
    }
    store.submit(line(2, 3)).await.unwrap();
    let messages = [line(1, 1), Run::Done { run: 1 }].map(Item::Message);
    let [first, last] = messages;
    assert_eq!(ready(&mut one), [first, last, Item::End]);
    assert_eq!(
        ready(&mut all),
        [
            Item::Message(line(1, 1)),
            Item::Message(Run::Done { run: 1 }),
            Item::Finished("1".into()),
            Item::Message(line(2, 3))
        ]
    );
    // One that comes later ends at once.
    assert_eq!(ready(&mut store.subscribe_to(key(1))), [Item::End]);
}

#[tokio::test]
async fn the_first_finish_counts() {
    let store: Store<Run> = Store::new();
    let first = store.finish(&key(1)).await.unwrap();
    store.submit(line(2, 1)).await.unwrap();
    assert_eq!(store.finish(&key(1)).await.unwrap(), first);
    assert_eq!(store.finished(&key(1)).await, Some(first));
    assert_eq!(number_of(store.head()), 2);
}

#[tokio::test]
async fn whoever_waits_for_a_finish_is_woken_by_it_and_by_the_close() {
    let store: Store<Run> = Store::new();
    let wait = |run| {
        let store = store.clone();
        tokio::spawn(async move { store.finished(&key(run)).await })
    };
    let waiting = [wait(1), wait(1), wait(2)];
    tokio::task::yield_now().await;
    let finish = store.finish(&key(1)).await.unwrap();
    let [first, second, other] = waiting;
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(finish), Some(finish)));
    // A finish that is not there any more did not come.
    store.remove(&key(1)).await.unwrap();
    assert!(store.finished(&key(1)).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!(!other.is_finished());
    store.close();
    assert_eq!(other.await.unwrap(), None);
    assert_eq!(store.finished(&key(2)).await, None);
    assert_eq!(store.finished(&key(1)).await, None);
    let error = store.finish(&key(3)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Closed { message: () }));
    assert!(matches!(store.remove(&key(3)).await, Err(SubmitError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_finish_is_forgotten_after_a_day_when_nothing_is_kept_of_its_key() {
    const DAY: Duration = Duration::from_hours(24);
    let store: Store<Run> = Store::new();
    store.submit(Run::Done { run: 1 }).await.unwrap();
    store.finish(&key(2)).await.unwrap();
    tokio::time::advance(DAY.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert_eq!([1, 2].map(|run| store.key_state(&key(run))), [KeyState::Finished; 2]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!([1, 2].map(|run| store.key_state(&key(run))), [KeyState::Finished, KeyState::Unknown]);
    assert!(store.submit(line(1, 1)).await.is_err(), "its last message is kept");
    // A key that is forgotten is new.
    let first = store.finish(&key(3)).await.unwrap();
    tokio::time::advance(DAY).await;
    assert_ne!(store.finish(&key(3)).await.unwrap(), first);
    store.finish(&key(4)).await.unwrap();
    tokio::time::advance(DAY).await;
    assert_eq!(ready(&mut store.subscribe_to(key(4))), []);
    store.submit(line(2, 1)).await.unwrap();
    assert_eq!(store.key_state(&key(2)), KeyState::Open);
    assert_eq!(ready(&mut store.subscribe_to(key(2))), []);
}

#[tokio::test]
async fn finishes_take_a_tenth_of_the_memory_and_the_oldest_go_first() {
    let store: Store<Run> = Store::builder().memory(100 << 10).build();
    // Each takes 512 bytes, and those of its key.
    for run in 0..100 {
        store.finish(&key(run)).await.unwrap();
    }
    let finished: Vec<u32> = (0..100).filter(|run| store.key_state(&key(*run)) == KeyState::Finished).collect();
    assert_eq!(finished, (81..100).collect::<Vec<u32>>());
    // One is kept, however small the memory is.
    let store: Store<Run> = Store::builder().memory(2 << 10).build();
    for run in 0..3 {
        store.finish(&key(run)).await.unwrap();
    }
    assert_eq!([0, 1, 2].map(|run| store.key_state(&key(run)) == KeyState::Finished), [false, false, true]);
}

#[tokio::test]
async fn a_removal_drops_everything_of_a_key_and_tells_its_readers() {
    let store = Store::new();
    let (mut one, mut other, mut all) = (store.subscribe_to(key(1)), store.subscribe_to(key(2)), store.subscribe());
    store.submit(line(1, 1)).await.unwrap();
    assert_eq!(ready(&mut one), [Item::Message(line(1, 1))]);
    for number in 2..=6 {
        store.submit(line(1, number)).await.unwrap();
    }
    store.submit(line(2, 7)).await.unwrap();
    store.submit(Run::Progress { run: 1, percent: 50 }).await.unwrap();
    store.remove(&key(1)).await.unwrap();
    assert!(store.latest(&key(1)).is_none());
    store.submit(line(1, 8)).await.unwrap();
    let removed = |missed| Item::Gap(GapReason::Removed, Some(missed));
    // The second message was trimmed before, and so were two of those that the third reader had not read.
    let lagged = |missed| Item::Gap(GapReason::Lagged, Some(missed));
    assert_eq!(ready(&mut one), [lagged(1), removed(4), Item::Message(line(1, 8))]);
    assert_eq!(ready(&mut other), [Item::Message(line(2, 7))]);
    assert_eq!(ready(&mut all), [lagged(2), Item::Message(line(2, 7)), removed(4), Item::Message(line(1, 8))]);
    assert_eq!(ready(&mut store.subscribe_to(key(1))), []);
}

#[tokio::test]
async fn a_finished_key_that_is_removed_is_open() {
    let store = Store::new();
    let mut all = store.subscribe();
    store.submit(Run::Done { run: 1 }).await.unwrap();
    store.remove(&key(1)).await.unwrap();
    assert_eq!([1, 2].map(|run| store.key_state(&key(run))), [KeyState::Open, KeyState::Unknown]);
    store.submit(line(1, 1)).await.unwrap();
    assert_eq!(ready(&mut all), [Item::Gap(GapReason::Removed, Some(1)), Item::Message(line(1, 1))]);
}

#[tokio::test]
async fn a_key_that_is_too_long_can_be_neither_finished_nor_removed() {
    #[store(queue, max_key = "1KiB", finish)]
    #[derive(Serialize)]
    struct Line {
        #[key]
        run: String,
    }

    let store: Store<Line> = Store::new();
    let long = LineKey { run: "x".repeat(2000) };
    assert!(matches!(store.finish(&long).await, Err(SubmitError::KeyTooLong { size: 2010, .. })));
    assert!(matches!(store.remove(&long).await, Err(SubmitError::KeyTooLong { size: 2010, .. })));
    assert_eq!(store.key_state(&long), KeyState::Unknown);
    let waiting = store.finished(&long);
    store.close();
    assert_eq!(waiting.await, None);
}

#[tokio::test]
async fn a_type_without_keys_can_be_finished() {
    #[store(queue, finish)]
    #[derive(Serialize)]
    struct Line(u32);

    let store = Store::new();
    let mut lines = store.subscribe();
    store.submit(Line(1)).await.unwrap();
    store.finish(&tornadose::NoKey).await.unwrap();
    assert!(store.submit(Line(2)).await.is_err());
    assert!(matches!(lines.next().await, Some(Received::Message { .. })));
    assert!(matches!(lines.next().await, Some(Received::Finished { key, .. }) if &*key == "null"));
}

#[tornadose_test::test]
async fn a_removal_is_told_also_where_it_is_forgotten_because_many_follow() {
    let store = Store::<Run>::builder().memory(64 << 10).build();
    let (mut reader, mut behind) = (store.subscribe_to(key(1)), store.subscribe_to(key(2)));
    let (mut other, _all) = (store.subscribe_to(key(3)), store.subscribe());
    for run in 1..4 {
        store.submit(line(run, 1)).await.unwrap();
    }
    for read in [&mut reader, &mut other] {
        assert_eq!(ready(read).len(), 1);
    }
    store.remove(&key(1)).await.unwrap();
    store.remove(&key(2)).await.unwrap();
    // Removals are remembered in a tenth of the memory.
    for run in 10..100 {
        store.submit(line(run, 1)).await.unwrap();
        store.remove(&key(run)).await.unwrap();
    }
    store.submit(line(1, 2)).await.unwrap();
    assert_eq!(ready(&mut reader), [Item::Gap(GapReason::Removed, Some(0)), Item::Message(line(1, 2))]);
    assert_eq!(
        ready(&mut behind),
        [Item::Gap(GapReason::Removed, Some(0)), Item::Gap(GapReason::Lagged, Some(1))],
        "what it has not read is counted"
    );
    assert_eq!(ready(&mut other), [], "its key was not removed");
}

#[tornadose_test::test]
async fn a_removal_that_is_forgotten_is_told_before_the_next_one_of_its_key() {
    let store = Store::<Run>::builder().memory(64 << 10).build();
    let (mut reader, _all) = (store.subscribe_to(key(1)), store.subscribe());
    store.submit(line(1, 1)).await.unwrap();
    assert_eq!(ready(&mut reader).len(), 1);
    store.remove(&key(1)).await.unwrap();
    for run in 10..100 {
        store.submit(line(run, 1)).await.unwrap();
        store.remove(&key(run)).await.unwrap();
    }
    store.submit(line(1, 2)).await.unwrap();
    store.remove(&key(1)).await.unwrap();
    assert_eq!(ready(&mut reader), [0, 1].map(|missed| Item::Gap(GapReason::Removed, Some(missed))));
}
