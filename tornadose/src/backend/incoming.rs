//! Entries on their way from a backend into a store. The store implements the trait `LogSink`, and a backend calls it
//! through its link.

use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::snapshots::{KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp, SnapshotsDue};
use crate::id::{Epoch, Offset};

/// A message that a backend has received from its engine.
///
/// ```
/// use tornadose::backend::IncomingEntry;
///
/// let entry = IncomingEntry::new(br#"{"text":"hi"}"#);
/// assert!(entry.sender.is_none());
/// assert_eq!(entry.with_sender("a1b2c3d4", 7).sender, Some(("a1b2c3d4", 7)));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IncomingEntry<'a> {
    /// The message, as `serde_json` writes its type.
    pub payload: &'a [u8],
    /// The sending process and the message's number there, if they are known: [`BackendLink::sender_id`] and
    /// [`Outgoing::number`].
    ///
    /// [`BackendLink::sender_id`]: crate::backend::BackendLink::sender_id
    /// [`Outgoing::number`]: crate::backend::Outgoing::number
    pub sender: Option<(&'a str, u64)>,
    /// The JSON of the message's key, if its sender has sent it: [`Outgoing::key`].
    ///
    /// [`Outgoing::key`]: crate::backend::Outgoing::key
    pub key: Option<&'a str>,
    /// How long ago the engine has taken the message, by the engine's clock. Only ephemeral messages and messages that expire, by
    /// their [`QUEUE_TTL`](crate::Message::QUEUE_TTL) or [`latest_ttl`](crate::Message::latest_ttl), need it.
    pub age: Duration,
}

impl<'a> IncomingEntry<'a> {
    /// An entry of an unknown sender.
    ///
    /// ```
    /// use tornadose::backend::IncomingEntry;
    ///
    /// assert_eq!(IncomingEntry::new(b"1").payload, b"1");
    /// ```
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, sender: None, key: None, age: Duration::ZERO }
    }

    /// Sets the sender. The store drops an entry as a duplicate when it has received this number of the same sender. A
    /// sender id of more than 64 bytes counts as unknown.
    ///
    /// ```
    /// use tornadose::backend::IncomingEntry;
    ///
    /// assert_eq!(IncomingEntry::new(b"1").with_sender("a1b2c3d4", 7).sender, Some(("a1b2c3d4", 7)));
    /// ```
    #[must_use]
    pub fn with_sender(self, sender_id: &'a str, number: u64) -> Self {
        Self { sender: Some((sender_id, number)), ..self }
    }

    /// Sets the JSON of the message's key. An entry with a key and a sender is decoded only when this process has a
    /// reader of the key, or when the first one arrives. Until then it counts as ingested
    /// ([`Ingested::Queue`]).
    ///
    /// ```
    /// use tornadose::backend::IncomingEntry;
    ///
    /// let entry = IncomingEntry::new(br#"{"room":7,"text":"hi"}"#).with_sender("a1b2c3d4", 7);
    /// assert_eq!(entry.with_key(r#"{"room":7}"#).key, Some(r#"{"room":7}"#));
    /// ```
    #[must_use]
    pub fn with_key(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Sets how long ago the engine has taken the message. One that is older than its type's
    /// [`QUEUE_TTL`](crate::Message::QUEUE_TTL) is delivered to nobody, and neither is an ephemeral one of 5 s. An entry counts as no older than the entries before it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::backend::IncomingEntry;
    ///
    /// let entry = IncomingEntry::new(b"1").with_age(Duration::from_secs(60));
    /// assert_eq!(entry.age.as_secs(), 60);
    /// ```
    #[must_use]
    pub fn with_age(self, age: Duration) -> Self {
        Self { age, ..self }
    }
}

/// The outcome of an entry that was ingested.
///
/// ```
/// use tornadose::backend::Ingested;
///
/// assert_ne!(Ingested::Queue, Ingested::Unreadable);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingested {
    /// It was appended as a `queue` message, decoded or not.
    Queue,
    /// It was appended as the newest value of this slot.
    Latest {
        /// The text of its key and of its slot or its event's name, as in [`OutgoingKind::Latest`](crate::backend::OutgoingKind::Latest).
        slot: String,
    },
    /// It was appended as a `queue` message, and dropped the values of these slots. An engine that keeps `latest` values
    /// drops them too, unless they are newer than this entry.
    Tombstone {
        /// The texts of the slots.
        slots: Vec<String>,
    },
    /// It was appended as an ephemeral message.
    Ephemeral,
    /// It was dropped: it was received before, its offset is not above the head, its key is finished, it is ephemeral and too
    /// old, or the store is closed.
    Ignored,
    /// It is not a message of this store. It was counted and logged, and readers receive the gap `unreadable`.
    Unreadable,
}

/// The store's side of a link, whatever the type of its messages.
pub(crate) trait LogSink: Send + Sync {
    fn channel(&self) -> &'static str;
    fn type_name(&self) -> &'static str;
    fn crate_name(&self) -> &'static str;
    fn memory(&self) -> usize;
    fn has_ephemeral(&self) -> bool;
    /// Appends an ephemeral message after the head, without an offset of its own.
    fn ingest_ephemeral(&self, entry: IncomingEntry<'_>) -> Ingested;
    fn queue_ttl(&self) -> Option<Duration>;
    fn set_queue_ttl(&self, ttl: Duration);
    fn reset(&self, epoch: Epoch, floor: Offset);
    /// Appends an entry, at the next offset when it has none of its own. Returns the offset and what became of the entry.
    fn ingest(&self, offset: Option<Offset>, entry: IncomingEntry<'_>) -> (Offset, Ingested);
    fn skip_unreadable(&self, offset: Offset, reason: &str);
    fn record_request(&self, sender: (&str, u64)) -> bool;
    fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String>;
    fn retain_latest(&self, is_kept: &dyn Fn(&str) -> bool);
    fn can_finish(&self) -> bool;
    fn finish(&self, offset: Offset, key: &str);
    fn reopen(&self, offset: Offset, key: &str);
    fn retain_finishes(&self, is_kept: &dyn Fn(Offset, &str) -> bool);
    fn remove(&self, offset: Offset, key: &str) -> Vec<String>;
    fn expires_latest(&self) -> bool;
    fn expire(&self, offset: Offset, value: Offset, payload: &[u8]);
    fn advance_to(&self, offset: Offset);
    fn report_trimmed(&self, missed: Option<u64>);
    fn mark_trimmed_through(&self, offset: Offset);
    fn report_outage(&self);
    fn report_disconnected(&self, reason: &str);
    fn caught_up(&self);
    /// Returns the version of the rules by which snapshots are made, of a type that has them.
    fn snapshot_version(&self) -> Option<u32>;
    /// Returns what is notified when a snapshot becomes due at another time than was returned.
    fn snapshots_changed(&self) -> Option<&Notify>;
    /// Takes snapshots that are due.
    fn take_due_snapshots(&self, at_most: usize) -> SnapshotsDue;
    fn make_snapshot(&self, key: &str) -> Option<KeptSnapshot>;
    fn record_kept_snapshot(&self, key: &str, kept: SnapshotStamp) -> bool;
    fn retry_snapshot(&self, key: &str);
    fn recheck_snapshots(&self);
    fn snapshots_kept_through(&self) -> Option<SnapshotPlace>;
    fn record_all_loaded(&self, through: Offset);
    fn trusts_snapshot(&self, kept: SnapshotStamp, finish: Option<Offset>) -> bool;
    fn load_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot;
    fn messages_lost_through(&self) -> Option<Offset>;
    fn lacks_snapshot(&self, key: &str) -> bool;
    /// Takes keys whose snapshots are not known because messages may have been lost.
    fn take_lost_snapshots(&self, at_most: usize) -> Vec<String>;
    fn recover_snapshot(&self, snapshot: &KeptSnapshot) -> LoadedSnapshot;
}
