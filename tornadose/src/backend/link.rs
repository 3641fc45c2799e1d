//! The link between a backend and its store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::incoming::{IncomingEntry, Ingested, LogSink};
use crate::backend::outbox::Outbox;
use crate::backend::outgoing::Outgoing;
use crate::backend::snapshots::{
    DueSnapshot, KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp, SnapshotsDue,
};
use crate::id::{Epoch, Offset};

/// Connects a [`Backend`](crate::backend::Backend) to its store, in both directions. A cheap clone.
///
/// ```
/// use futures_util::StreamExt;
/// use tornadose::Received;
/// use tornadose::backend::{Backend, BackendLink, Epoch, IncomingEntry, Ingested, Offset, OpenError};
/// use tornadose::prelude::*;
///
/// /// Plays what an engine may deliver: entries, losses and outages.
/// struct Script;
///
/// impl Backend for Script {
///     fn sender_id(&self) -> Option<String> {
///         Some("script01".into())
///     }
///
///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
///         assert_eq!((link.channel(), link.type_name(), link.sender_id()), ("lines", "Line", "script01"));
///         assert!(!link.crate_name().is_empty());
///         assert!(link.memory() > 0 && link.ack_timeout() == self.ack_timeout());
///         let at = |seq| Offset::new(7, seq);
///         let ingest = |seq, payload| link.ingest(at(seq), IncomingEntry::new(payload));
///
///         // The history.
///         link.reset(Epoch::fresh(), Offset::START);
///         assert_eq!(ingest(1, br#""one""#), Ingested::Queue);
///         assert_eq!(ingest(2, b"{}"), Ingested::Unreadable);
///         link.caught_up();
///
///         // Submitted messages, received back from the engine.
///         for outgoing in link.next_outgoing(100).await.into_iter().flatten() {
///             let entry = IncomingEntry::new(outgoing.payload()).with_sender(link.sender_id(), outgoing.number());
///             link.ingest(at(3), entry);
///             // The same number again is a duplicate.
///             assert_eq!(link.ingest(at(4), entry), Ingested::Ignored);
///             outgoing.appended(at(3));
///         }
///
///         // After an outage two messages are trimmed, and an entry of another program has no data.
///         link.report_disconnected("connection reset");
///         link.recheck_snapshots();
///         link.report_trimmed(Some(2));
///         link.mark_trimmed_through(at(6));
///         link.skip_unreadable(at(7), "no field `data`");
///         ingest(8, br#""eight""#);
///         assert!(link.record_request(("a1b2c3d4", 7)) && !link.record_request(("a1b2c3d4", 7)));
///         assert!(link.forget(None, "()").is_empty(), "there are no latest values");
///         link.retain_latest(&|_| false);
///         link.caught_up();
///
///         // Some messages may be lost; the next one gets the next offset.
///         link.report_outage();
///         link.advance_to(at(20));
///         assert_eq!(link.ingest_unplaced(IncomingEntry::new(br#""last""#)), (at(21), Ingested::Queue));
///         std::future::pending().await
///     }
/// }
///
/// #[store(queue, channel = "lines")]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::<Line>::open(Script).await?;
/// let mut reader = store.subscribe();
/// store.submit(Line("mine".into())).await?;
/// let mut seen = Vec::new();
/// while seen.last().is_none_or(|last| last != "last") {
///     match reader.next().await {
///         Some(Received::Message { message, .. }) => seen.push(message.0.clone()),
///         Some(Received::Gap { reason, missed, .. }) => seen.push(format!("{reason:?} {missed:?}")),
///         _ => break,
///     }
/// }
/// assert_eq!(seen, ["mine", "Trimmed Some(2)", "Unreadable Some(1)", "eight", "Outage None", "last"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BackendLink {
    store: Arc<dyn LogSink>,
    outbox: Arc<Outbox>,
    ack_timeout: Duration,
}

impl BackendLink {
    pub(crate) fn new(store: Arc<dyn LogSink>, outbox: Arc<Outbox>, ack_timeout: Duration) -> Self {
        Self { store, outbox, ack_timeout }
    }

    /// Returns the channel's name, as the message type declares it.
    pub fn channel(&self) -> &'static str {
        self.store.channel()
    }

    /// Returns the name of the message type, without its path.
    pub fn type_name(&self) -> &'static str {
        self.store.type_name()
    }

    /// Returns the name of the crate that defines the message type.
    pub fn crate_name(&self) -> &'static str {
        self.store.crate_name()
    }

    /// Returns how many bytes the store keeps. A longer payload cannot be a message of this store.
    pub fn memory(&self) -> usize {
        self.store.memory()
    }

    /// Returns how long a queue message is kept at most, as the message type declares it.
    ///
    /// The backend gives each entry its [age](IncomingEntry::with_age). It may trim the engine's log by this time. Of
    /// several processes that declare different times the shortest holds, which each tells its store with
    /// [`set_queue_ttl`](Self::set_queue_ttl).
    pub fn queue_ttl(&self) -> Option<Duration> {
        self.store.queue_ttl()
    }

    /// Lets queue messages expire after this time, or after that of their type, whichever is shorter. Nothing happens for
    /// a type whose messages do not expire.
    pub fn set_queue_ttl(&self, ttl: Duration) {
        self.store.set_queue_ttl(ttl);
    }

    /// Returns the id of this sender, which is new whenever a process opens the store.
    pub fn sender_id(&self) -> &str {
        self.outbox.sender_id()
    }

    /// Returns how long a submit waits for its acknowledgement.
    pub fn ack_timeout(&self) -> Duration {
        self.ack_timeout
    }

    /// Takes the next messages to send, at most `at_most`, and waits for the first. Returns `None` when the store is
    /// closed and every message is taken. Zero counts as 1.
    ///
    /// A message that is not taken is not sent: take messages only while there is a connection to send them on.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has taken nothing.
    pub async fn next_outgoing(&self, at_most: usize) -> Option<Vec<Outgoing>> {
        self.outbox.dequeue(at_most).await
    }

    /// Starts a new, empty epoch of the log. This must be the first call on a link.
    ///
    /// At a later reset readers receive the gap `restarted`, and then the messages that the backend ingests again.
    /// Messages at or below `floor` may have existed before.
    pub fn reset(&self, epoch: Epoch, floor: Offset) {
        self.store.reset(epoch, floor);
    }

    /// Appends an entry at its offset, which must be above every earlier one; any other is [`Ingested::Ignored`].
    pub fn ingest(&self, offset: Offset, entry: IncomingEntry<'_>) -> Ingested {
        self.store.ingest(Some(offset), entry).1
    }

    /// Appends an entry at the next offset, which is returned. For engines that number nothing themselves.
    pub fn ingest_unplaced(&self, entry: IncomingEntry<'_>) -> (Offset, Ingested) {
        self.store.ingest(None, entry)
    }

    /// Returns whether the store has ephemeral messages.
    pub fn has_ephemeral(&self) -> bool {
        self.store.has_ephemeral()
    }

    /// Appends an ephemeral message ([`OutgoingKind::Ephemeral`]) after everything that was ingested so far. It has no offset
    /// of its own, and the log does not move.
    ///
    /// Each process ingests it after the entry that it follows, and after the ephemeral messages before it. One that is not
    /// an ephemeral message of the store is [`Ingested::Unreadable`]: it is counted and logged, and readers receive no gap.
    ///
    /// [`OutgoingKind::Ephemeral`]: crate::backend::OutgoingKind::Ephemeral
    ///
    /// ```
    /// # use futures_util::StreamExt;
    /// # use tornadose::Received;
    /// # use tornadose::backend::{Backend, BackendLink, Epoch, Features, IncomingEntry, Ingested, Offset, OpenError, OutgoingKind};
    /// # use tornadose::prelude::*;
    /// struct Engine;
    ///
    /// impl Backend for Engine {
    ///     const SUPPORTS: Features = Features::EPHEMERAL;
    ///
    ///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    ///         link.reset(Epoch::fresh(), Offset::START);
    ///         link.caught_up();
    ///         let newest = Offset::new(7, 0);
    ///         link.advance_to(newest);
    ///         for outgoing in link.next_outgoing(100).await.into_iter().flatten() {
    ///             assert_eq!(outgoing.kind(), &OutgoingKind::Ephemeral);
    ///             assert_eq!(link.ingest_ephemeral(IncomingEntry::new(outgoing.payload())), Ingested::Ephemeral);
    ///             outgoing.appended(newest);
    ///         }
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// #[store(queue)]
    /// #[derive(Serialize, Deserialize)]
    /// enum Room {
    ///     Said(String),
    ///     #[ephemeral]
    ///     Typing,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Store::<Room>::open(Engine).await?;
    /// let mut readers = store.subscribe();
    /// store.submit(Room::Typing).await.unwrap();
    /// assert!(matches!(readers.next().await, Some(Received::Message { message, .. }) if matches!(*message, Room::Typing)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn ingest_ephemeral(&self, entry: IncomingEntry<'_>) -> Ingested {
        self.store.ingest_ephemeral(entry)
    }

    /// Skips the entry at this offset because it is not a message. It is counted, and logged with the reason unless
    /// another one was logged in the last minute. Readers receive the gap `unreadable`.
    pub fn skip_unreadable(&self, offset: Offset, reason: &str) {
        self.store.skip_unreadable(offset, reason);
    }

    /// Records a request to forget or remove a key, by its sender and its number there. Returns false for one that was
    /// received before: what follows the first must not be dropped by the second, so pass only its offset to
    /// [`advance_to`](Self::advance_to).
    pub fn record_request(&self, sender: (&str, u64)) -> bool {
        self.store.record_request(sender)
    }

    /// Drops the `latest` values of a key or of one of its slots ([`OutgoingKind::Forget`]), at this offset if there is
    /// one. Returns the slots that had values.
    ///
    /// [`OutgoingKind::Forget`]: crate::backend::OutgoingKind::Forget
    pub fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String> {
        self.store.forget(offset, key)
    }

    /// Drops every `latest` value whose slot is not kept by the engine: after entries were trimmed unread, there may have
    /// been a [`forget`](Self::forget) among them.
    pub fn retain_latest(&self, is_kept: &dyn Fn(&str) -> bool) {
        self.store.retain_latest(is_kept);
    }

    /// Returns whether the keys of the store can be finished.
    pub fn can_finish(&self) -> bool {
        self.store.can_finish()
    }

    /// Finishes a key at this offset, above every earlier one ([`OutgoingKind::Finish`], and messages that
    /// [finish](Outgoing::finishes) their key). Of two finishes the first counts. Messages of the key that follow are
    /// dropped, counted and logged.
    ///
    /// When the history is loaded, the finishes come in the order of their offsets too, also those whose messages the
    /// engine does not keep any more.
    ///
    /// [`OutgoingKind::Finish`]: crate::backend::OutgoingKind::Finish
    pub fn finish(&self, offset: Offset, key: &str) {
        self.store.finish(offset, key);
    }

    /// Forgets a key's finish at this offset: the key is new. A process does so when the engine says so, and not by a clock
    /// of its own.
    pub fn reopen(&self, offset: Offset, key: &str) {
        self.store.reopen(offset, key);
    }

    /// Forgets every finish that the engine does not have at its offset: after entries were trimmed unread, there may have
    /// been a [`reopen`](Self::reopen) or a [`remove`](Self::remove) among them, and a later finish of the same key.
    pub fn retain_finishes(&self, is_kept: &dyn Fn(Offset, &str) -> bool) {
        self.store.retain_finishes(is_kept);
    }

    /// Removes everything that is kept of a key, at this offset ([`OutgoingKind::Remove`]). Returns the slots that had
    /// `latest` values.
    ///
    /// [`OutgoingKind::Remove`]: crate::backend::OutgoingKind::Remove
    pub fn remove(&self, offset: Offset, key: &str) -> Vec<String> {
        self.store.remove(offset, key)
    }

    /// Returns whether `latest` values of the store expire, so that the [age](IncomingEntry::with_age) of each is needed.
    pub fn expires_latest(&self) -> bool {
        self.store.expires_latest()
    }

    /// Drops a `latest` value at this offset because the engine has expired it ([`OutgoingKind::Expire`]): the one that
    /// was appended at the offset `value`, with its payload. Readers get the event `tornadose:expired`.
    ///
    /// A process that keeps a newer value in its slot, or has dropped the value before, does nothing but advance to the
    /// offset. One that has not seen the value, because the engine does not keep its entry, reads it from the payload.
    ///
    /// [`OutgoingKind::Expire`]: crate::backend::OutgoingKind::Expire
    pub fn expire(&self, offset: Offset, value: Offset, payload: &[u8]) {
        self.store.expire(offset, value, payload);
    }

    /// Returns the [version](crate::SnapshotRules::version) by which the store makes snapshots that the engine is to keep;
    /// `None` for a type without snapshots, and for an engine that does not support
    /// [`Features::SNAPSHOTS`](crate::backend::Features::SNAPSHOTS).
    pub fn snapshot_version(&self) -> Option<u32> {
        self.store.snapshot_version()
    }

    /// Waits for keys of which the engine has to keep a newer snapshot, and takes at most so many. Zero counts as 1. Never
    /// resolves where there are [no snapshots](Self::snapshot_version).
    ///
    /// A key is due a second after its first message that the kept snapshot does not contain, or 5 to 6 s later in a
    /// process that has not submitted its newest, each after a delay of its own. All snapshots together are due at 4
    /// MB per second at most.
    ///
    /// Of each key, [make](Self::make_snapshot) the snapshot and [record](Self::record_kept_snapshot) that the engine has it,
    /// or [try again](Self::retry_snapshot). The engine keeps it in place of an older one, in the same epoch, if the entry at
    /// its offset is in its log or was trimmed from it: otherwise the log has gone back.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has taken nothing.
    ///
    /// ```
    /// # use futures_util::{FutureExt, StreamExt};
    /// use std::sync::{Arc, Mutex};
    ///
    /// use tornadose::Received;
    /// use tornadose::backend::{
    ///     Backend, BackendLink, Epoch, Features, IncomingEntry, KeptSnapshot, LoadedSnapshot, Offset, OpenError,
    /// };
    /// use tornadose::prelude::*;
    ///
    /// /// An engine that keeps snapshots, and has trimmed every entry of its log.
    /// struct Engine(Arc<Mutex<Vec<KeptSnapshot>>>, Epoch);
    ///
    /// impl Backend for Engine {
    ///     const SUPPORTS: Features = Features::SNAPSHOTS;
    ///
    ///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    ///         let Engine(kept, epoch) = self;
    ///         assert_eq!(link.snapshot_version(), Some(1));
    ///         let newest = kept.lock().unwrap().iter().map(|kept| kept.stamp.offset).max().unwrap_or_default();
    ///         link.reset(epoch, newest);
    ///         for snapshot in &*kept.lock().unwrap() {
    ///             assert!(link.trusts_snapshot(snapshot.stamp, None));
    ///             assert_eq!(link.load_snapshot(snapshot), LoadedSnapshot::Known);
    ///         }
    ///         link.advance_to(newest);
    ///         link.caught_up();
    ///         for outgoing in link.next_outgoing(1).await.into_iter().flatten() {
    ///             link.ingest(Offset::new(1, 0), IncomingEntry::new(outgoing.payload()));
    ///             outgoing.appended(Offset::new(1, 0));
    ///         }
    ///         loop {
    ///             for due in link.next_snapshots(10).await {
    ///                 let Some(snapshot) = link.make_snapshot(&due.key) else { continue };
    ///                 assert!(link.record_kept_snapshot(&due.key, snapshot.stamp));
    ///                 kept.lock().unwrap().push(snapshot);
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// #[store(queue)]
    /// #[derive(Clone, PartialEq, Serialize, Deserialize)]
    /// enum Count {
    ///     Added(u64),
    ///     #[snapshot(apply = add)]
    ///     Total(u64),
    /// }
    ///
    /// fn add(total: &mut u64, message: &Count) {
    ///     if let Count::Added(number) = message {
    ///         *total += number;
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), OpenError> {
    /// let (kept, epoch) = (Arc::new(Mutex::default()), Epoch::fresh());
    /// let one = Store::<Count>::open(Engine(Arc::clone(&kept), epoch)).await?;
    /// one.submit(Count::Added(7)).await.unwrap();
    /// tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    ///
    /// let other = Store::<Count>::open(Engine(kept, epoch)).await?;
    /// let first = other.subscribe().next().await;
    /// assert!(matches!(first, Some(Received::Message { message, .. }) if *message == Count::Total(7)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_snapshots(&self, at_most: usize) -> Vec<DueSnapshot> {
        let Some(changed) = self.store.snapshots_changed() else { return std::future::pending().await };
        loop {
            let changed = changed.notified();
            let due_at = match self.store.take_due_snapshots(at_most.max(1)) {
                SnapshotsDue::Now(due) => return due,
                SnapshotsDue::At(due_at) => Some(due_at),
                SnapshotsDue::Never => None,
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(due_at.unwrap_or_else(Instant::now)), if due_at.is_some() => {}
            }
        }
    }

    /// Makes the snapshot of a key that was [due](Self::next_snapshots), with all its messages that were ingested. Returns
    /// `None` when it is not known. It calls the code of the message's type.
    pub fn make_snapshot(&self, key: &str) -> Option<KeptSnapshot> {
        self.store.make_snapshot(key)
    }

    /// Records that the engine keeps a snapshot of this key, of this process or of another. Returns false when the key was
    /// removed, or its finish forgotten, since the snapshot was made: the engine must not keep it.
    pub fn record_kept_snapshot(&self, key: &str, kept: SnapshotStamp) -> bool {
        self.store.record_kept_snapshot(key, kept)
    }

    /// Makes the snapshot of a key due again in a second, because the engine does not keep it for now.
    pub fn retry_snapshot(&self, key: &str) {
        self.store.retry_snapshot(key);
    }

    /// Counts no snapshot as kept, until it is [recorded](Self::record_kept_snapshot) again. All keys become due within a
    /// second: look for their snapshots first. While the log is loaded, this waits for [`caught_up`](Self::caught_up).
    ///
    /// Call it when the engine may have gone back to an older state, as at each new connection to one that fails over to a
    /// replica: that may have every entry of the log, and lack snapshots that were made of them.
    pub fn recheck_snapshots(&self) {
        self.store.recheck_snapshots();
    }

    /// Returns a place up to which the engine keeps the snapshots of all keys, as far as they were
    /// [recorded](Self::record_kept_snapshot); `None` when this process cannot know that, because it does not know every
    /// snapshot. The engine keeps it beside the snapshots, in place of an older one, if its entry is in the log.
    pub fn snapshots_kept_through(&self) -> Option<SnapshotPlace> {
        self.store.snapshots_kept_through()
    }

    /// Records that every snapshot which the engine keeps was [loaded](Self::load_snapshot), or
    /// [recovered](Self::recover_snapshot), and that it keeps them [up to this offset](Self::snapshots_kept_through). A key
    /// without a snapshot is new then, unless the offset is below what may be [lost](Self::messages_lost_through). Without
    /// this, the snapshot of such a key is not known.
    pub fn record_all_loaded(&self, through: Offset) {
        self.store.record_all_loaded(through);
    }

    /// Returns whether the store can use a kept snapshot: it is of this epoch and version, and contains every message of its
    /// key that will not be ingested, because it is not below the floor of the [reset](Self::reset), or not below the finish
    /// of its key.
    pub fn trusts_snapshot(&self, kept: SnapshotStamp, finish: Option<Offset>) -> bool {
        self.store.trusts_snapshot(kept, finish)
    }

    /// Loads a snapshot that the engine has kept, if it is [trusted](Self::trusts_snapshot), after a
    /// [reset](Self::reset) and before anything else is ingested. Snapshots of open keys come first, then the newest.
    pub fn load_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        self.store.load_snapshot(snapshot)
    }

    /// Returns an offset at or below which messages may have been lost, so that a key without a snapshot need not be new;
    /// `None` when it is.
    ///
    /// Look now and then whether the engine keeps all snapshots up to there. If so, [recover](Self::recover_snapshot) those
    /// that [are lacking](Self::lacks_snapshot), and [record](Self::record_all_loaded) that.
    pub fn messages_lost_through(&self) -> Option<Offset> {
        self.store.messages_lost_through()
    }

    /// Returns whether the snapshot of a key is missing in this process because messages may have been lost.
    pub fn lacks_snapshot(&self, key: &str) -> bool {
        self.store.lacks_snapshot(key)
    }

    /// Returns keys whose snapshots are not known because messages may have been lost: an entry was
    /// [unreadable](Self::skip_unreadable), or was trimmed unread. Another process may have read it. At most so many
    /// are returned, and others by the next call.
    ///
    /// Look now and then for what the engine keeps of them, and [recover](Self::recover_snapshot) it.
    pub fn lost_snapshots(&self, at_most: usize) -> Vec<String> {
        self.store.take_lost_snapshots(at_most.max(1))
    }

    /// Replaces a [lost](Self::lost_snapshots) snapshot by one that the engine keeps, if it is
    /// [trusted](Self::trusts_snapshot), or adds that of a key without one. It is [`LoadedSnapshot::Unknown`] also where the
    /// store has trimmed messages of the key that are not in it, or has yet to ingest some that are.
    pub fn recover_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot {
        self.store.recover_snapshot(snapshot)
    }

    /// Advances the log to this offset, at which there is no message.
    pub fn advance_to(&self, offset: Offset) {
        self.store.advance_to(offset);
    }

    /// Reports that messages after the last ingested one were trimmed, and how many if that is known. Readers receive
    /// the gap `trimmed`.
    pub fn report_trimmed(&self, missed: Option<u64>) {
        self.store.report_trimmed(missed);
    }

    /// Marks the messages at or below this offset as possibly trimmed. Call it after [`report_trimmed`](Self::report_trimmed)
    /// when `latest` values from among the trimmed entries are ingested: a client that resumes from the id of one of
    /// them then receives the gap `trimmed`, because there may have been messages after it. Also call it where the engine
    /// keeps snapshots: one that has none of those messages is not [trusted](Self::trusts_snapshot) then.
    pub fn mark_trimmed_through(&self, offset: Offset) {
        self.store.mark_trimmed_through(offset);
    }

    /// Reports that messages may have been sent which were not received. Readers receive the gap `outage`. Call it
    /// once messages are received again.
    pub fn report_outage(&self) {
        self.store.report_outage();
    }

    /// Reports that the engine refuses messages for now, in these words, and that the backend keeps those
    /// [for which no caller waits](Outgoing::is_fire_and_forget). It is logged once, and again when a message is
    /// [accepted](Outgoing::appended).
    ///
    /// ```
    /// # use tornadose::backend::{Backend, BackendLink, Epoch, Offset, OpenError};
    /// # use tornadose::prelude::*;
    /// struct Full;
    ///
    /// impl Backend for Full {
    ///     async fn run(self, link: BackendLink) -> Result<(), OpenError> {
    ///         link.reset(Epoch::fresh(), Offset::START);
    ///         link.caught_up();
    ///         let mut kept = Vec::new();
    ///         while let Some(messages) = link.next_outgoing(100).await {
    ///             link.report_refused("the disk is full");
    ///             for outgoing in messages {
    ///                 if outgoing.is_fire_and_forget() { kept.push(outgoing) } else { outgoing.refused("the disk is full") }
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # #[store(queue)]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Line(String);
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), OpenError> {
    /// let store = Store::<Line>::open(Full).await?;
    /// assert!(store.try_submit(Line("kept".into())).unwrap().is_none());
    /// assert!(store.submit(Line("refused".into())).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_refused(&self, reason: &str) {
        self.outbox.send_log().record_refused(reason, 0);
    }

    /// Reports that the engine cannot be reached, for this reason. Readers stay connected. It is logged when it begins,
    /// and when the reason changes.
    pub fn report_disconnected(&self, reason: &str) {
        self.store.report_disconnected(reason);
    }

    /// Reports that everything in the engine's log has been ingested. The first call opens the store; a call after
    /// [`report_disconnected`](Self::report_disconnected) reports the engine as connected again.
    pub fn caught_up(&self) {
        self.store.caught_up();
    }
}

impl fmt::Debug for BackendLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendLink").field("channel", &self.channel()).finish_non_exhaustive()
    }
}
