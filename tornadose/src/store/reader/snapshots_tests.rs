//! Readers that get snapshots where something beside the summed messages is lost, and what is kept of snapshots that
//! nobody reads.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::advance;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::id::{Epoch, Offset};
use crate::message::snapshot::{SnapshotRole, SnapshotRules};
use crate::message::tombstone::Tombstone;
use crate::message::{Finish, Keys, Message, NoKey, Retention};
use crate::store::Store;
use crate::store::gap::{Gap, GapReason};
use crate::store::kept_as::{KeptAs, QueueRole};
use crate::store::log::key::KeySelection;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;

thread_local! {
    /// Happens while the next snapshot is encoded.
    static WHILE_ENCODED: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// What is appended to a snapshot. A test counts who holds it.
#[derive(Clone)]
struct Piece {
    text: &'static str,
    held: Arc<()>,
}

/// A message. `ALL`: its type says that its snapshots sum every queue message.
#[derive(Clone)]
struct Line<const ALL: bool> {
    key: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Piece(Piece),
    Whole(Vec<Piece>),
    Note,
    Value,
}

impl<const ALL: bool> Line<ALL> {
    const RULES: SnapshotRules<Self, u64> = SnapshotRules::new(
        |key| Self { key: *key, kind: Kind::Whole(Vec::new()) },
        |whole, line| {
            if let (Kind::Whole(whole), Kind::Piece(piece)) = (&mut whole.kind, &line.kind) {
                assert_ne!(piece.text, "panic", "as asked");
                whole.push(piece.clone());
            }
        },
        |line| match line.kind {
            Kind::Piece(_) => SnapshotRole::Summed,
            Kind::Whole(_) => SnapshotRole::Snapshot,
            Kind::Note | Kind::Value => SnapshotRole::Other,
        },
    );

    fn text(&self) -> String {
        match &self.kind {
            Kind::Piece(piece) => piece.text.into(),
            Kind::Whole(whole) => format!("[{}]", whole.iter().map(|piece| piece.text).collect::<String>()),
            Kind::Note => "note".into(),
            Kind::Value => "value".into(),
        }
    }
}

impl<const ALL: bool> Message for Line<ALL> {
    type Key = u64;
    const CAPACITY: usize = 4;
    const MEMORY: usize = 64 << 10;
    const CAN_FINISH: bool = true;
    const HAS_LATEST_TTL: bool = true;
    const CHANNEL: &'static str = "lines";
    const SNAPSHOT: Option<SnapshotRules<Self, u64>> =
        Some(if ALL { Self::RULES.sums_everything() } else { Self::RULES });

    fn key(&self) -> u64 {
        self.key
    }
    fn retention(&self) -> Retention {
        if matches!(self.kind, Kind::Value) { Retention::Latest } else { Retention::Queue }
    }
    fn latest_ttl(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    fn event(&self) -> Result<Event, EncodeError> {
        if matches!(self.kind, Kind::Whole(_))
            && let Some(happens) = WHILE_ENCODED.take()
        {
            happens();
        }
        Ok(Event::text(self.text()))
    }
}

impl<const ALL: bool> Finish for Line<ALL> {}

fn piece<const ALL: bool>(key: u64, text: &'static str) -> Line<ALL> {
    Line { key, kind: Kind::Piece(Piece { text, held: Arc::default() }) }
}

fn submit<const ALL: bool>(store: &Store<Line<ALL>>, key: u64, texts: &[&'static str]) {
    for text in texts {
        store.try_submit(piece(key, text)).map(drop).unwrap();
    }
}

fn submit_kind(store: &Store<Line<false>>, key: u64, kind: Kind) {
    store.try_submit(Line { key, kind }).map(drop).unwrap();
}

fn open<const ALL: bool>(store: &Store<Line<ALL>>, keys: Keys<u64>, resume: Resume) -> Reader<Line<ALL>> {
    let options = ReaderOptions { replay: 100, kind: ReaderKind::Subscription, gets_snapshots: true };
    Reader::open(store.shared(), keys, resume, options)
}

/// Returns what the reader has to read now. A snapshot is in brackets.
fn read<const ALL: bool>(reader: &mut Reader<Line<ALL>>) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        match reader.poll_log(Waker::noop()) {
            ReadStep::Gap(Gap { reason, missed }) => read.push(format!("{} {missed:?}", reason.name())),
            ReadStep::Batch { batch, .. } => read.extend(batch.entries().iter().map(|entry| entry.message.text())),
            ReadStep::Snapshot { entry, .. } => read.push(entry.message.text()),
            ReadStep::Expired { .. } => read.push("expired".into()),
            ReadStep::Finished { .. } => read.push("finished".into()),
            ReadStep::AtHead { .. } | ReadStep::Pending | ReadStep::Ended(_) => return read,
        }
    }
}

/// Lets all values expire, and so many others that the notices of the first are forgotten.
async fn forget_expiries(store: &Store<Line<false>>) {
    advance(Duration::from_secs(2)).await;
    drop(store.shared().lock().expire_now());
    for key in 100..120 {
        submit_kind(store, key, Kind::Value);
    }
    advance(Duration::from_secs(2)).await;
    drop(store.shared().lock().expire_now());
}

// --- What is kept ------------------------------------------------------------------------------------------------------

#[test]
fn a_removed_snapshot_is_freed_although_nothing_is_applied() {
    let store = Store::<Line<false>>::new();
    let message = piece(1, "a");
    let Kind::Piece(Piece { held, .. }) = &message.kind else { panic!("a piece") };
    let held = Arc::clone(held);
    store.try_submit(message).map(drop).unwrap();
    store.remove(&1).now_or_never().expect("in memory").unwrap();
    assert_eq!(Arc::strong_count(&held), 1, "the store holds it");
}

#[test]
fn a_reader_of_all_keys_gets_the_sum_of_a_key_that_was_removed_while_it_was_away() {
    let store = Store::<Line<false>>::new();
    submit(&store, 1, &["a"]);
    submit(&store, 2, &["b"]);
    assert_eq!(read(&mut open(&store, Keys::All, Resume::New)), ["[a]", "[b]"]);
    let id = store.head();
    store.remove(&1).now_or_never().expect("in memory").unwrap();
    assert_eq!(read(&mut open(&store, Keys::All, Resume::After(id))), ["trimmed None", "[]"]);
}

#[test]
fn a_reader_of_all_keys_is_told_of_a_finished_key_that_was_forgotten_while_it_was_away() {
    let store = Store::<Line<false>>::new();
    submit(&store, 1, &["a"]);
    let id = store.head();
    submit(&store, 1, &["b"]);
    store.finish(&1).now_or_never().expect("in memory").unwrap();
    for key in 100..1000 {
        submit(&store, key, &["x"]);
        store.finish(&key).now_or_never().expect("in memory").unwrap();
    }
    assert_eq!(store.key_state(&1), crate::store::finish::KeyState::Unknown);
    assert!(read(&mut open(&store, Keys::All, Resume::After(id)))[0].starts_with("trimmed"), "`b` is gone");
}

#[test]
fn a_reader_of_a_key_without_messages_leaves_nothing() {
    let store = Store::<Line<false>>::new();
    for _ in 0..3 {
        drop(open(&store, Keys::One(1), Resume::Unknown));
    }
    let mut state = store.shared().lock();
    assert!(state.log.snapshots_mut().take_discarded().is_empty());
    assert_eq!(state.log.snapshot_bytes(), 0);
}

#[test]
fn snapshots_of_keys_without_messages_fill_no_memory_beside_a_reader_of_all() {
    let store = Store::<Line<false>>::new();
    let _all = open(&store, Keys::All, Resume::New);
    for key in 1000..2000 {
        drop(open(&store, Keys::One(key), Resume::Unknown));
    }
    submit(&store, 1, &["a", "b"]);
    assert!(store.shared().lock().log.bytes() <= Line::<false>::MEMORY);
    assert_eq!(read(&mut open(&store, Keys::One(1), Resume::New)), ["[ab]"]);
}

#[test]
fn keys_whose_finish_is_forgotten_early_fill_no_memory() {
    let store = Store::<Line<false>>::new();
    for key in 0..1000 {
        submit(&store, key, &["a"]);
        store.finish(&key).now_or_never().expect("in memory").unwrap();
    }
    let mut state = store.shared().lock();
    state.log.snapshot_bytes();
    assert_eq!(state.log.snapshots_mut().needed_bytes(), 0, "all of them may be dropped");
}

#[test]
fn what_an_engine_has_sent_has_room_beside_a_reader_of_all() {
    let store = Store::<Line<false>>::new();
    let mut all = open(&store, Keys::All, Resume::New);
    let _own = open(&store, Keys::One(0), Resume::New);
    for key in 0..8 {
        submit(&store, key, &["a", "b", "c", "d", "e", "f"]);
    }
    let drop_largest = || {
        let mut state = store.shared().lock();
        let state = &mut *state;
        state.log.drop_largest_snapshot(|key_index| state.readers.count_of_key(key_index) > 0)
    };
    for dropped in 1..=8 {
        assert!(drop_largest());
        let mut state = store.shared().lock();
        assert_eq!(state.log.snapshot_counts().0, 8 - dropped);
        let own = state.log.key_index(&0).unwrap();
        assert_eq!(state.log.snapshots_mut().is_known(own), dropped < 8, "those that are read by their own go last");
    }
    assert!(!drop_largest(), "their messages are kept");
    for key in 100..180 {
        submit(&store, key, &["a"]);
    }
    while drop_largest() {}
    assert!(store.shared().lock().log.snapshot_bytes() < 64 << 9, "those without messages are gone");
    assert!(read(&mut all)[0].starts_with("lagged"), "what is in no snapshot is told");
}

#[test]
fn a_key_that_was_forgotten_while_its_snapshot_was_not_known_is_not_taken_for_new() {
    let store = Store::<Line<false>>::new();
    submit(&store, 1, &["a", "b", "c", "d", "e", "f"]);
    for key in 100..180 {
        submit(&store, key, &["a"]);
    }
    let drop_largest = || store.shared().lock().log.drop_largest_snapshot(|_| false);
    while drop_largest() {}
    assert_eq!(store.shared().lock().log.key_index(&1), None, "the key is forgotten");
    submit(&store, 1, &["g"]);
    assert!(!read(&mut open(&store, Keys::One(1), Resume::New)).contains(&"[g]".into()), "`g` is not all");
    // Once an engine has had the snapshots of all keys, those without one are new.
    let mut state = store.shared().lock();
    let head = state.log.head().offset;
    state.log.record_all_loaded(head);
    drop(state);
    submit(&store, 2, &["x"]);
    assert_eq!(read(&mut open(&store, Keys::One(2), Resume::New)), ["[x]"]);
}

// --- Expiries that are lost --------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_lost_expiry_is_told_beside_a_snapshot() {
    let store = Store::new();
    submit_kind(&store, 1, Kind::Value);
    let mut slow = open(&store, Keys::One(1), Resume::New);
    assert_eq!(read(&mut slow), ["value"]);
    let id = store.head();
    forget_expiries(&store).await;
    submit(&store, 1, &["a", "b"]);
    assert_eq!(read(&mut slow), ["lagged Some(0)", "[ab]"]);
    assert_eq!(read(&mut open(&store, Keys::One(1), Resume::After(id))), ["trimmed None", "[ab]"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_expiry_swallows_no_message_of_a_reader_that_loads() {
    let store = Store::new();
    submit_kind(&store, 1, Kind::Value);
    submit(&store, 1, &["a"]);
    let mut slow = open(&store, Keys::One(1), Resume::New);
    assert_eq!(read(&mut slow), ["value", "[a]"]);
    forget_expiries(&store).await;
    submit_kind(&store, 1, Kind::Note);
    let Poll::Ready(gap) = slow.poll_gap(Waker::noop()) else { panic!("the log is loaded") };
    assert!(matches!(gap, Some(Gap { reason: GapReason::Lagged, missed: Some(0) })));
    assert_eq!(read(&mut slow), ["note"]);
}

// --- Snapshots that are not known beside others ------------------------------------------------------------------------

/// Returns a store in which the snapshot of key 2 is not known, beside that of key 1.
fn store_with_unknown() -> Store<Line<true>> {
    let store = Store::new();
    submit(&store, 1, &["a", "b"]);
    submit(&store, 2, &["panic", "v", "w", "x", "y"]);
    assert_eq!(store.shared().lock().log.snapshot_counts().0, 1);
    store
}

#[test]
fn an_unknown_id_is_told_where_one_of_several_snapshots_is_not_known() {
    let store = store_with_unknown();
    let mut set = open(&store, Keys::Set(vec![1, 2]), Resume::Unknown);
    assert_eq!(read(&mut set), ["restarted None", "v", "w", "x", "y", "[ab]"]);
    let mut known = open(&store, Keys::One(1), Resume::Unknown);
    assert_eq!(read(&mut known), ["[ab]"], "its snapshot is all that it needs");
}

#[test]
fn messages_that_no_snapshot_has_are_told_when_they_are_trimmed_in_a_pass() {
    let store = store_with_unknown();
    let mut set = open(&store, Keys::Set(vec![1, 2]), Resume::New);
    submit(&store, 2, &["1", "2"]);
    submit(&store, 1, &["c", "d"]);
    assert_eq!(read(&mut set), ["lagged None", "x", "y", "1", "2", "[abcd]"]);
    assert_eq!(set.balance().missed, 2);
}

#[test]
fn a_gap_of_the_log_is_told_between_what_was_before_it_and_the_snapshots_after_it() {
    let store = Store::<Line<false>>::new();
    let mut all = open(&store, Keys::All, Resume::New);
    submit(&store, 1, &["a"]);
    store.shared().lock().log.record_gap(Gap { reason: GapReason::Trimmed, missed: None });
    submit(&store, 1, &["b"]);
    submit_kind(&store, 2, Kind::Whole(Vec::new()));
    submit(&store, 2, &["1", "2", "3", "4", "5"]);
    assert_eq!(read(&mut all), ["a", "b", "trimmed None", "[12345]"]);
}

#[test]
fn a_snapshot_that_is_lost_before_it_is_sent_is_told_and_so_is_the_gap_after_what_is_kept() {
    let store = Store::<Line<false>>::new();
    submit_kind(&store, 1, Kind::Whole(Vec::new()));
    submit(&store, 1, &["a"]);
    let mut new = open(&store, Keys::One(1), Resume::New);
    store.shared().lock().log.record_gap(Gap { reason: GapReason::Trimmed, missed: None });
    assert_eq!(read(&mut new), ["trimmed None", "[]", "a", "trimmed None"]);
}

#[test]
fn a_new_reader_is_told_of_the_removal_of_a_key_after_its_snapshot() {
    let store = Store::<Line<false>>::new();
    submit(&store, 1, &["a"]);
    submit(&store, 2, &["b"]);
    let mut all = open(&store, Keys::All, Resume::New);
    let ReadStep::Snapshot { entry, .. } = all.poll_log(Waker::noop()) else { panic!("a snapshot") };
    assert_eq!(entry.message.text(), "[a]");
    store.remove(&1).now_or_never().expect("in memory").unwrap();
    assert_eq!(read(&mut all), ["[b]", "[]"]);
}

#[test]
fn a_snapshot_has_the_epoch_of_its_messages() {
    let store = Store::<Line<false>>::new();
    submit(&store, 1, &["a", "b"]);
    let (head, reset) = (store.head(), store.clone());
    let mut one = open(&store, Keys::One(1), Resume::New);
    WHILE_ENCODED.set(Some(Box::new(move || {
        drop(reset.shared().lock_only().log.reset(Epoch::fresh(), Offset::START));
    })));
    let ReadStep::Snapshot { entry, .. } = one.poll_log(Waker::noop()) else { panic!("a snapshot") };
    assert_ne!(store.head().epoch, head.epoch);
    assert_eq!((entry.message.text(), entry.id), ("[ab]".into(), head));
    assert_eq!(read(&mut one), ["restarted None", "[]"]);
}

// --- Tombstones --------------------------------------------------------------------------------------------------------

/// A tombstone of a type that says that it sums everything.
#[derive(Clone)]
struct Gone;

impl Message for Gone {
    type Key = NoKey;
    const HAS_TOMBSTONES: bool = true;
    const CHANNEL: &'static str = "gone";
    const SNAPSHOT: Option<SnapshotRules<Self, NoKey>> =
        Some(SnapshotRules::new(|_| Self, |_, _| {}, |_| SnapshotRole::Summed).sums_everything());

    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn tombstone(&self) -> Result<Option<Tombstone>, EncodeError> {
        Ok(Some(Tombstone::Key))
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("gone"))
    }
}

#[test]
fn no_snapshot_contains_a_tombstone() {
    let kept_as = KeptAs::of(&Gone).unwrap();
    assert_eq!(kept_as, KeptAs::Tombstone(Tombstone::Key, QueueRole::Other));
    let store = Store::<Gone>::new();
    assert!(!store.shared().lock().log.sums_restarts(&KeySelection::All));
}
