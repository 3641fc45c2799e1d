//! The snapshots of a store: what they contain, what they cost, and what happens when they fail.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::advance;
use tornadose::backend::{
    Backend, BackendLink, Epoch, Features, IncomingEntry, KeptSnapshot, LoadedSnapshot, Offset, OpenError,
    SnapshotStamp,
};
use tornadose::prelude::*;
use tornadose::{
    ENTRY_OVERHEAD, EncodeError, Event, Finish, Received, Retention, SnapshotRole, SnapshotRules, SubmitError,
    Subscription,
};

#[store(queue, capacity = 4)]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Token {
        #[key]
        run: u32,
        text: String,
    },
    Note {
        #[key]
        run: u32,
        text: String,
    },
    #[snapshot(apply = append, of(Token))]
    Text {
        #[key]
        run: u32,
        text: String,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

fn append(text: &mut String, message: &Answer) {
    if let Answer::Token { text: piece, .. } = message {
        assert_ne!(piece, "panic", "as asked");
        text.push_str(piece);
    }
}

fn token(run: u32, text: &str) -> Answer {
    Answer::Token { run, text: text.into() }
}

fn note(run: u32, text: &str) -> Answer {
    Answer::Note { run, text: text.into() }
}

fn text(run: u32, text: &str) -> Answer {
    Answer::Text { run, text: text.into() }
}

fn run(run: u32) -> AnswerKey {
    AnswerKey { run }
}

fn submit(store: &Store<Answer>, messages: impl IntoIterator<Item = Answer>) {
    for message in messages {
        store.try_submit(message).map(drop).unwrap();
    }
}

fn submit_tokens(store: &Store<Answer>, run: u32, tokens: &str) {
    submit(store, tokens.chars().map(|character| token(run, &character.to_string())));
}

/// Returns what the subscription has to deliver now. A snapshot is in brackets.
fn received(subscription: &mut Subscription<Answer>) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(Some(next)) = subscription.next().now_or_never() {
        received.push(match next {
            Received::Message { message, .. } => match &*message {
                Answer::Token { text, .. } => text.clone(),
                Answer::Note { text, .. } => format!("({text})"),
                Answer::Text { text, .. } => format!("[{text}]"),
                Answer::Done { .. } => "done".into(),
            },
            Received::Gap { reason, missed } => format!("{reason} {missed:?}"),
            Received::Finished { .. } => "finished".into(),
            other => panic!("{other:?}"),
        });
    }
    received
}

#[test]
fn a_newcomer_gets_the_sum_and_then_what_follows() {
    let store = Store::new();
    let mut first = store.subscribe_to(run(1));
    assert!(received(&mut first).is_empty(), "a key without messages has nothing to show");
    submit_tokens(&store, 1, "abcdefgh");
    submit_tokens(&store, 2, "xyz");
    let (mut one, mut all) = (store.subscribe_to(run(1)), store.subscribe());
    assert_eq!(received(&mut one), ["[abcdefgh]"]);
    assert_eq!(received(&mut all), ["[abcdefgh]", "[xyz]"], "in the order of their newest messages");
    submit_tokens(&store, 1, "i");
    assert_eq!(received(&mut one), ["i"]);
    assert_eq!(received(&mut all), ["i"]);
}

#[test]
fn a_slow_reader_gets_the_sum_instead_of_a_gap() {
    let store = Store::new();
    let (mut one, mut all) = (store.subscribe_to(run(1)), store.subscribe());
    submit_tokens(&store, 1, "ab");
    assert_eq!((received(&mut one), received(&mut all)), (vec!["a".into(), "b".into()], vec!["a".into(), "b".into()]));
    submit_tokens(&store, 1, "cdefgh");
    submit_tokens(&store, 2, "x");
    assert_eq!(received(&mut one), ["[abcdefgh]"]);
    assert_eq!(received(&mut all), ["[abcdefgh]", "[x]"]);
}

#[test]
fn a_message_that_is_not_summed_and_was_trimmed_is_a_gap_before_the_sum() {
    let store = Store::new();
    let mut one = store.subscribe_to(run(1));
    submit(&store, [note(1, "lost"), token(1, "a"), note(1, "kept")]);
    submit_tokens(&store, 1, "bcd");
    assert_eq!(received(&mut one), ["lagged Some(1)", "(kept)", "[abcd]"]);
    submit_tokens(&store, 1, "efghi");
    assert_eq!(received(&mut one), ["[abcdefghi]"], "the note that it has read is not missing");
}

#[test]
fn a_submitted_snapshot_replaces_the_sum() {
    let store = Store::new();
    submit_tokens(&store, 1, "abc");
    submit(&store, [text(1, "fresh ")]);
    submit_tokens(&store, 1, "de");
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[fresh de]"]);
    submit_tokens(&store, 1, "fghij");
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[fresh defghij]"], "also when it is trimmed");
}

#[test]
fn a_finished_key_has_its_sum_and_then_its_end() {
    let store = Store::new();
    submit_tokens(&store, 1, "abcdef");
    submit(&store, [Answer::Done { run: 1 }]);
    let mut one = store.subscribe_to(run(1));
    assert_eq!(received(&mut one), ["[abcdef]", "done"]);
    let mut all = store.subscribe();
    assert_eq!(received(&mut all), ["[abcdef]", "finished"]);
}

#[tokio::test]
async fn a_removed_key_has_the_snapshot_of_a_new_one() {
    let store = Store::new();
    let (mut one, mut all) = (store.subscribe_to(run(1)), store.subscribe());
    submit_tokens(&store, 1, "abc");
    assert_eq!((received(&mut one).len(), received(&mut all).len()), (3, 3));
    submit_tokens(&store, 1, "d");
    store.remove(&run(1)).await.unwrap();
    assert_eq!((received(&mut one), received(&mut all)), (vec!["[]".into()], vec!["[]".into()]));
    submit(&store, [note(1, "lost")]);
    store.remove(&run(1)).await.unwrap();
    submit_tokens(&store, 1, "xy");
    let after = vec!["removed Some(1)".to_owned(), "[xy]".to_owned()];
    assert_eq!((received(&mut one), received(&mut all)), (after.clone(), after));
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[xy]"]);
    store.remove(&run(1)).await.unwrap();
    assert!(received(&mut store.subscribe_to(run(1))).is_empty());
}

#[test]
fn a_tombstone_is_delivered_and_not_summed() {
    #[store(queue, capacity = 4)]
    #[derive(Clone, Serialize)]
    enum Run {
        Token(String),
        #[latest]
        Model(String),
        #[tombstone]
        Gone,
        #[snapshot(apply = append_token)]
        Text(String),
    }

    fn append_token(text: &mut String, message: &Run) {
        match message {
            Run::Token(piece) => text.push_str(piece),
            _ => panic!("it is not summed"),
        }
    }

    let json = |subscription: &mut Subscription<Run>| -> Vec<String> {
        let next = || subscription.next().now_or_never().flatten();
        let received = std::iter::from_fn(next).map(|next| match next {
            Received::Message { message, .. } => serde_json::to_string(&*message).unwrap(),
            Received::Gap { reason, missed } => format!("{reason} {missed:?}"),
            other => format!("{other:?}"),
        });
        received.collect()
    };
    let submit_tokens = |store: &Store<Run>, tokens: &str| {
        for token in tokens.chars() {
            store.try_submit(Run::Token(token.into())).map(drop).unwrap();
        }
    };
    let (store, model) = (Store::new(), Run::Model("m".into()));
    let mut slow = store.subscribe();
    store.try_submit(model.clone()).map(drop).unwrap();
    assert_eq!(json(&mut slow), [r#"{"Model":"m"}"#]);
    submit_tokens(&store, "a");
    store.try_submit(Run::Gone).map(drop).unwrap();
    submit_tokens(&store, "b");
    assert_eq!(json(&mut slow), [r#"{"Token":"a"}"#, r#""Gone""#, r#"{"Token":"b"}"#], "it is delivered");
    store.try_submit(model).map(drop).unwrap();
    store.try_submit(Run::Gone).map(drop).unwrap();
    submit_tokens(&store, "cdef");
    assert_eq!(json(&mut slow), ["lagged Some(1)", r#"{"Text":"abcdef"}"#], "its loss is told");
}

#[tokio::test]
async fn a_snapshot_that_panics_is_not_known_until_it_is_replaced_or_removed() {
    let store = Store::new();
    let mut one = store.subscribe_to(run(1));
    submit_tokens(&store, 1, "ab");
    submit(&store, [token(1, "panic")]);
    assert_eq!(received(&mut one), ["a", "b", "panic"]);
    submit_tokens(&store, 1, "cdefgh");
    assert_eq!(received(&mut one), ["lagged Some(2)", "e", "f", "g", "h"]);
    assert!(received(&mut store.subscribe_to(run(1))).is_empty(), "as that of any queue");
    submit(&store, [text(1, "new ")]);
    submit_tokens(&store, 1, "ijklm");
    assert_eq!(received(&mut one), ["[new ijklm]"]);
    submit(&store, [token(1, "panic")]);
    submit_tokens(&store, 1, "nopqr");
    store.remove(&run(1)).await.unwrap();
    submit_tokens(&store, 1, "s");
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[s]"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_stays_in_the_sum() {
    #[store(queue, ttl = "1s")]
    #[derive(Clone, Serialize)]
    enum Count {
        Added(u64),
        #[snapshot(apply = add)]
        Total(u64),
    }

    fn add(total: &mut u64, message: &Count) {
        if let Count::Added(number) = message {
            *total += number;
        }
    }

    let numbers = |subscription: &mut Subscription<Count>| -> Vec<String> {
        let next = || subscription.next().now_or_never().flatten();
        let received = std::iter::from_fn(next).map(|next| match next {
            Received::Message { message, .. } => serde_json::to_string(&*message).unwrap(),
            other => format!("{other:?}"),
        });
        received.collect()
    };
    let store = Store::new();
    let mut slow = store.subscribe();
    for number in 1..=3 {
        store.submit(Count::Added(number)).await.unwrap();
        advance(Duration::from_millis(400)).await;
    }
    assert_eq!(numbers(&mut slow), [r#"{"Total":6}"#], "one has expired, and it needs no gap");
    assert_eq!(numbers(&mut store.subscribe()), [r#"{"Total":6}"#]);
    advance(Duration::from_secs(5)).await;
    assert_eq!(numbers(&mut store.subscribe()), [r#"{"Total":6}"#]);
}

/// An answer whose encodings are counted.
#[derive(Clone)]
enum Counted {
    Piece(u32, usize),
    Sum(u32, usize),
}

static ENCODED_SUMS: AtomicUsize = AtomicUsize::new(0);

impl Message for Counted {
    type Key = u32;
    const CAPACITY: usize = 100;
    const HAS_LATEST: bool = false;
    const CAN_FINISH: bool = true;
    const CHANNEL: &'static str = "counted";
    const SNAPSHOT: Option<SnapshotRules<Self, u32>> = Some(
        SnapshotRules::new(
            |key| Self::Sum(*key, 0),
            |sum, piece| {
                if let (Self::Sum(_, sum), Self::Piece(_, piece)) = (sum, piece) {
                    *sum += piece;
                }
            },
            |message| match message {
                Self::Piece(..) => SnapshotRole::Summed,
                Self::Sum(..) => SnapshotRole::Snapshot,
            },
        )
        .sums_everything(),
    );
    fn key(&self) -> u32 {
        match self {
            Self::Piece(key, _) | Self::Sum(key, _) => *key,
        }
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(match self {
            Self::Piece(_, number) => Event::text(number.to_string()),
            Self::Sum(_, number) => {
                ENCODED_SUMS.fetch_add(1, Ordering::SeqCst);
                Event::text(format!("sum {number}"))
            }
        })
    }
}

impl Finish for Counted {}

#[test]
fn a_snapshot_is_encoded_at_most_once_per_quarter_of_the_capacity() {
    let store = Store::new();
    for number in 0..1000 {
        store.try_submit(Counted::Piece(1, number)).unwrap();
        let mut late = store.subscribe_to(1);
        let mut sum = 0;
        while let Some(Some(next)) = late.next().now_or_never() {
            let Received::Message { message, .. } = next else { panic!("a gap") };
            match *message {
                Counted::Piece(_, piece) => sum += piece,
                Counted::Sum(_, of_snapshot) => sum = of_snapshot,
            }
        }
        assert_eq!(sum, (0..=number).sum::<usize>());
    }
    let encoded = ENCODED_SUMS.load(Ordering::SeqCst);
    // Beside those that measure its size.
    assert!((30..=60).contains(&encoded), "{encoded} encodings");
}

#[test]
fn each_message_is_applied_once_and_in_order_by_many_threads() {
    #[store(queue, capacity = 3)]
    #[derive(Clone, Serialize)]
    enum Line {
        Piece {
            #[key]
            line: u8,
            number: u32,
        },
        #[snapshot(apply = append_number)]
        Numbers {
            #[key]
            line: u8,
            numbers: Vec<u32>,
        },
    }

    fn append_number(numbers: &mut Vec<u32>, message: &Line) {
        if let Line::Piece { number, .. } = message {
            numbers.push(*number);
        }
    }

    let store = Arc::new(Store::new());
    let readers_check = |store: &Store<Line>| {
        let mut late = store.subscribe_to(LineKey { line: 1 });
        let mut numbers: Vec<u32> = Vec::new();
        while let Some(Some(next)) = late.next().now_or_never() {
            match next {
                Received::Message { message, .. } => match &*message {
                    Line::Piece { number, .. } => numbers.push(*number),
                    Line::Numbers { numbers: sum, .. } => numbers.clone_from(sum),
                },
                other => panic!("{other:?}"),
            }
        }
        numbers
    };
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..2000 {
                    store.try_submit(Line::Piece { line: 1, number: thread * 10_000 + number }).map(drop).unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let numbers = readers_check(&store);
                    for thread in 0..4_u32 {
                        let own: Vec<u32> =
                            numbers.iter().copied().filter(|number| number / 10_000 == thread).collect();
                        let expected: Vec<u32> = (0..).map(|number| thread * 10_000 + number).take(own.len()).collect();
                        assert_eq!(own, expected, "each once and in order");
                    }
                }
            });
        }
    });
    assert_eq!(readers_check(&store).len(), 8000);
}

#[test]
fn the_snapshots_of_finished_keys_go_first_when_memory_is_full() {
    #[store(queue, memory = "8MiB")]
    #[derive(Clone, Serialize)]
    enum Page {
        Part {
            #[key]
            page: u32,
            text: String,
        },
        #[snapshot(apply = add_part)]
        Whole {
            #[key]
            page: u32,
            text: String,
        },
        #[finish]
        End {
            #[key]
            page: u32,
        },
    }

    fn add_part(text: &mut String, message: &Page) {
        if let Page::Part { text: part, .. } = message {
            text.push_str(part);
        }
    }

    let has_sum = |store: &Store<Page>, page: u32| {
        let mut late = store.subscribe_to(PageKey { page });
        match late.next().now_or_never() {
            Some(Some(Received::Message { message, .. })) => match &*message {
                Page::Whole { text, .. } => text.len() == 4000,
                _ => false,
            },
            _ => false,
        }
    };
    let store = Store::new();
    let part = |page| Page::Part { page, text: "x".repeat(1000) };
    for page in 0..10_000 {
        for _ in 0..4 {
            store.try_submit(part(page)).map(drop).unwrap();
        }
        store.try_submit(Page::End { page }).map(drop).unwrap();
    }
    assert!(!has_sum(&store, 0) && !has_sum(&store, 5000), "those that have not changed for the longest time are gone");
    assert!(has_sum(&store, 9999) && has_sum(&store, 9500));
    let mut open = 100_000;
    let full = loop {
        match store.try_submit(part(open)) {
            Ok(_) => open += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SubmitError::Full { .. }), "{full:?}");
    let kept = (open - 100_000) as usize;
    assert!(kept > (8 << 20) / (1500 + 2 * ENTRY_OVERHEAD + 1000), "{kept}");
    assert!(!has_sum(&store, 9999), "those that are finished go first");
}

/// An engine that has kept the snapshot of a run and trimmed all of its messages, and does not tell the log how far they
/// went.
struct KeepsOne;

impl Backend for KeepsOne {
    const SUPPORTS: Features = Features::SNAPSHOTS;

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        let epoch = Epoch::fresh();
        link.reset(epoch, Offset::START);
        let version = link.snapshot_version().unwrap();
        let stamp = SnapshotStamp { offset: Offset::new(7, 9), newest: Offset::new(7, 8), epoch, version };
        let payload = br#"{"text":{"run":1,"text":"kept"}}"#;
        let snapshot = KeptSnapshot::new(r#"{"run":1}"#, stamp, payload.to_vec());
        assert_eq!(link.load_snapshot(&snapshot), LoadedSnapshot::Known);
        link.caught_up();
        pending().await
    }
}

#[tornadose_test::test]
async fn a_snapshot_above_every_entry_of_the_engine_is_read_once() {
    let store = Store::<Answer>::open(KeepsOne).await.unwrap();
    assert!(store.head().to_string().ends_with("-7.9"), "{}", store.head());
    assert_eq!(received(&mut store.subscribe()), ["[kept]"]);
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[kept]"]);
}

/// A type whose store has room for two of three snapshots.
mod bounded {
    use tornadose::prelude::*;

    #[store(queue, memory = "48KiB")]
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Page {
        Part {
            #[key]
            number: u32,
            text: String,
        },
        #[snapshot(apply = append_part)]
        Whole {
            #[key]
            number: u32,
            text: String,
        },
    }

    fn append_part(text: &mut String, message: &Page) {
        if let Page::Part { text: part, .. } = message {
            *text += part;
        }
    }
}

/// Hands its link to the test, which plays an engine that keeps snapshots.
struct PassesLink(mpsc::UnboundedSender<BackendLink>);

impl Backend for PassesLink {
    const SUPPORTS: Features = Features::SNAPSHOTS;

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        self.0.send(link).unwrap();
        pending().await
    }
}

/// Opens a store over an engine that keeps these snapshots, whose messages it has trimmed. Before the log is loaded the
/// test may do more.
async fn open_kept<M>(kept: &[KeptSnapshot], begin: impl FnOnce(&BackendLink)) -> (Store<M>, BackendLink)
where
    M: Message + Serialize + for<'de> Deserialize<'de>,
{
    let (links, mut link) = mpsc::unbounded_channel();
    let opening = tokio::spawn(Store::open(PassesLink(links)));
    let link = link.recv().await.unwrap();
    let newest = kept.iter().map(|kept| kept.stamp.offset).max().unwrap_or_default();
    link.reset(kept[0].stamp.epoch, newest);
    for snapshot in kept {
        link.load_snapshot(snapshot);
    }
    link.record_all_loaded(newest);
    link.advance_to(newest);
    begin(&link);
    link.caught_up();
    (opening.await.unwrap().unwrap(), link)
}

fn kept(key: &str, at: u64, epoch: Epoch, payload: String) -> KeptSnapshot {
    let stamp = SnapshotStamp { offset: Offset::new(7, at), newest: Offset::new(7, at), epoch, version: 1 };
    KeptSnapshot::new(key, stamp, payload.into_bytes())
}

async fn due_within(link: &BackendLink, seconds: u64) -> Vec<String> {
    let due = tokio::time::timeout(Duration::from_secs(seconds), link.next_snapshots(100)).await;
    due.unwrap_or_default().into_iter().map(|due| due.key).collect()
}

#[tornadose_test::test]
async fn snapshots_are_looked_for_again_also_where_that_is_asked_for_while_the_log_is_loaded() {
    let snapshots = [kept(r#"{"run":1}"#, 9, Epoch::fresh(), r#"{"text":{"run":1,"text":"kept"}}"#.into())];
    let (_store, link) = open_kept::<Answer>(&snapshots, |_| {}).await;
    assert_eq!(due_within(&link, 60).await, Vec::<String>::new(), "the engine keeps it");
    assert_eq!(link.snapshots_kept_through().unwrap().offset, Offset::new(7, 9));
    link.recheck_snapshots();
    assert_eq!(due_within(&link, 60).await, [r#"{"run":1}"#]);
    let (_store, link) = open_kept::<Answer>(&snapshots, BackendLink::recheck_snapshots).await;
    assert_eq!(due_within(&link, 60).await, [r#"{"run":1}"#]);
}

#[tornadose_test::test]
async fn a_snapshot_that_was_dropped_for_memory_is_looked_for_too_and_holds_up_the_place_until_then() {
    let (epoch, text) = (Epoch::fresh(), "x".repeat(15_000));
    let page = |number: u64| {
        let payload = format!(r#"{{"whole":{{"number":{number},"text":"{text}{number}"}}}}"#);
        kept(&format!(r#"{{"number":{number}}}"#), number, epoch, payload)
    };
    let mut snapshots = vec![page(1), page(2), page(3)];
    let (store, link) = open_kept::<bounded::Page>(&snapshots, |_| {}).await;
    let is_known = |number| store.subscribe_to(bounded::PageKey { number }).next().now_or_never().is_some();
    let known = || (1..=4).filter(|&number| is_known(number)).count();
    assert_eq!(known(), 3);
    // There is no room for a fourth.
    let part = format!(r#"{{"part":{{"number":4,"text":"{text}4"}}}}"#);
    link.ingest(Offset::new(7, 4), IncomingEntry::new(part.as_bytes()));
    assert!(known() < 4);
    for key in due_within(&link, 60).await {
        let made = link.make_snapshot(&key).unwrap();
        assert!(link.record_kept_snapshot(&key, made.stamp));
        snapshots.push(made);
    }
    let place = |link: &BackendLink| link.snapshots_kept_through().map(|place| place.offset);
    assert_eq!(place(&link), Some(Offset::new(7, 4)), "the engine keeps all of them");
    link.recheck_snapshots();
    assert_ne!(place(&link), Some(Offset::new(7, 4)));
    let mut due = due_within(&link, 60).await;
    due.extend(due_within(&link, 60).await);
    due.sort();
    due.dedup();
    assert_eq!(due, [1, 2, 3, 4].map(|number| format!(r#"{{"number":{number}}}"#)), "known or not");
    for snapshot in &snapshots {
        assert!(link.record_kept_snapshot(&snapshot.key, snapshot.stamp));
    }
    assert_eq!(place(&link), Some(Offset::new(7, 4)));
}

fn ingest(link: &BackendLink, at: u64, message: &Answer) {
    let payload = serde_json::to_vec(message).unwrap();
    link.ingest(Offset::new(7, at), IncomingEntry::new(&payload));
}

#[tornadose_test::test]
async fn the_place_is_not_beyond_the_first_message_that_a_recovered_snapshot_lacks() {
    let (epoch, key) = (Epoch::fresh(), r#"{"run":1}"#);
    let whole = |text: &str| format!(r#"{{"text":{{"run":1,"text":"{text}"}}}}"#);
    let (store, link) = open_kept::<Answer>(&[kept(key, 3, epoch, whole("abc"))], |_| {}).await;
    ingest(&link, 4, &token(1, "d"));
    link.skip_unreadable(Offset::new(7, 5), "of another version");
    for (at, text) in [(6, "f"), (7, "g"), (8, "h"), (9, "i")] {
        ingest(&link, at, &token(1, text));
    }
    assert_eq!(link.snapshots_kept_through(), None, "the sum is not known");

    // Another process has read the entry, and has kept what it made of it.
    assert_eq!(link.recover_snapshot(&kept(key, 6, epoch, whole("abcdef"))), LoadedSnapshot::Known);
    link.record_all_loaded(Offset::new(7, 6));
    assert_eq!(received(&mut store.subscribe_to(run(1))), ["[abcdefghi]"]);
    assert_eq!(link.snapshots_kept_through().unwrap().offset, Offset::new(7, 6), "7 is in no snapshot that is kept");
}

#[tornadose_test::test]
async fn a_store_that_is_closed_while_another_epoch_is_loaded_ends_its_readers() {
    let key = r#"{"run":1}"#;
    let whole = |text: &str| format!(r#"{{"text":{{"run":1,"text":"{text}"}}}}"#);
    let (store, link) = open_kept::<Answer>(&[kept(key, 3, Epoch::fresh(), whole("old"))], |_| {}).await;
    let mut readers = [store.subscribe(), store.subscribe_to(run(1))];
    for reader in &mut readers {
        assert_eq!(received(reader), ["[old]"]);
    }
    store.close();
    // The log takes nothing any more, and so is not as far as the snapshot.
    let snapshot = kept(key, 9, Epoch::fresh(), whole("new"));
    link.reset(snapshot.stamp.epoch, Offset::START);
    link.load_snapshot(&snapshot);
    link.caught_up();
    for mut reader in readers {
        assert_eq!(received(&mut reader), ["restarted None"]);
        assert!(reader.next().await.is_none());
    }
}
