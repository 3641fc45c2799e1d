//! The snapshots of keys on their way between a store and an engine that keeps them.

use crate::id::{Epoch, Offset};

/// What a kept snapshot is of: the messages of its key up to an offset, in an epoch, summed by rules of a version.
///
/// ```
/// use tornadose::backend::{Epoch, Offset, SnapshotStamp};
///
/// let newest = Offset::new(7, 0);
/// let stamp = SnapshotStamp { offset: newest, newest, epoch: Epoch::fresh(), version: 1 };
/// assert_ne!(stamp, SnapshotStamp { version: 2, ..stamp });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotStamp {
    /// It contains all messages of its key up to here: the newest of them, or the finish of the key. An engine has an entry
    /// at this offset.
    pub offset: Offset,
    /// The newest message in it.
    pub newest: Offset,
    /// The epoch of the offsets.
    pub epoch: Epoch,
    /// The [version](crate::SnapshotRules::version) of the rules.
    pub version: u32,
}

/// A place up to which an engine keeps the snapshots of all keys, in an epoch and a version of the rules.
///
/// ```
/// use tornadose::backend::{Epoch, Offset, SnapshotPlace};
///
/// let place = SnapshotPlace { offset: Offset::new(7, 0), epoch: Epoch::fresh(), version: 1 };
/// assert_ne!(place, SnapshotPlace { version: 2, ..place });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPlace {
    /// Every message at or below this offset is in the snapshot of its key, unless the key was removed since.
    pub offset: Offset,
    /// The epoch of the offset.
    pub epoch: Epoch,
    /// The [version](crate::SnapshotRules::version) of the rules.
    pub version: u32,
}

/// The snapshot of a key, as an engine keeps it.
///
/// ```
/// use tornadose::backend::{Epoch, KeptSnapshot, Offset, SnapshotStamp};
///
/// let newest = Offset::new(7, 0);
/// let stamp = SnapshotStamp { offset: newest, newest, epoch: Epoch::fresh(), version: 1 };
/// let snapshot = KeptSnapshot::new(r#"{"run":1}"#, stamp, br#"{"text":{"run":1,"text":"hi"}}"#.to_vec());
/// assert_eq!(snapshot.key, r#"{"run":1}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptSnapshot {
    /// The JSON of the key.
    pub key: String,
    /// The state of its key that it holds.
    pub stamp: SnapshotStamp,
    /// The message that is the snapshot, as `serde_json` writes it.
    pub payload: Vec<u8>,
}

impl KeptSnapshot {
    /// Returns a snapshot that an engine has kept.
    ///
    /// ```
    /// # use tornadose::backend::{Epoch, KeptSnapshot, Offset, SnapshotStamp};
    /// let newest = Offset::new(7, 0);
    /// let stamp = SnapshotStamp { offset: newest, newest, epoch: Epoch::fresh(), version: 1 };
    /// assert_eq!(KeptSnapshot::new("7", stamp, b"{}".to_vec()).stamp, stamp);
    /// ```
    pub fn new(key: impl Into<String>, stamp: SnapshotStamp, payload: Vec<u8>) -> Self {
        Self { key: key.into(), stamp, payload }
    }
}

/// A key of which an engine has to keep a newer snapshot.
///
/// ```
/// # fn show(due: &tornadose::backend::DueSnapshot) -> String {
/// format!("the snapshot of {}, which another process has not kept in time: {}", due.key, due.is_overdue)
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueSnapshot {
    /// The JSON of the key.
    pub key: String,
    /// Whether another process has submitted the newest message of the key. That process keeps the snapshot, unless it has
    /// ended: look first.
    pub is_overdue: bool,
}

/// The outcome of loading a snapshot into a store.
///
/// ```
/// use tornadose::backend::LoadedSnapshot;
///
/// assert_ne!(LoadedSnapshot::Known, LoadedSnapshot::NoRoom);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadedSnapshot {
    /// The store has it. The messages of its key after its offset are applied when they are ingested.
    Known,
    /// The store cannot use it: it is not [trusted](crate::backend::BackendLink::trusts_snapshot), or is no snapshot of its
    /// key.
    Unknown,
    /// There is no room for it. There is none for further ones.
    NoRoom,
}

/// The snapshots that are due, or when the next ones are.
pub(crate) enum SnapshotsDue {
    Now(Vec<DueSnapshot>),
    At(tokio::time::Instant),
    Never,
}
