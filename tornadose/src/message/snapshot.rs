//! How the messages of a key are summed to a snapshot.

use std::fmt;

/// How the queue messages `M` of a key `K` are summed to one message, its snapshot. Readers that come late get it instead of the
/// messages that they have missed.
///
/// The attribute `#[snapshot]` of [`#[store]`](macro@crate::store) writes these rules. By hand they are the constant
/// [`Message::SNAPSHOT`](crate::Message::SNAPSHOT):
///
/// ```
/// use tornadose::{EncodeError, Event, Message, Retention, SnapshotRole, SnapshotRules};
///
/// #[derive(Clone)]
/// enum Count {
///     Added(u64),
///     Total(u64),
/// }
///
/// impl Message for Count {
///     type Key = tornadose::NoKey;
///     const HAS_LATEST: bool = false;
///     const CHANNEL: &'static str = "count";
///     const SNAPSHOT: Option<SnapshotRules<Self, tornadose::NoKey>> = Some(
///         SnapshotRules::new(
///             |_| Count::Total(0),
///             |total, added| match (total, added) {
///                 (Count::Total(total), Count::Added(added)) => *total += added,
///                 _ => {}
///             },
///             |message| match message {
///                 Count::Added(_) => SnapshotRole::Summed,
///                 Count::Total(_) => SnapshotRole::Snapshot,
///             },
///         )
///         .sums_everything(),
///     );
///
///     fn key(&self) -> Self::Key {
///         tornadose::NoKey
///     }
///     fn retention(&self) -> Retention {
///         Retention::Queue
///     }
///     fn event(&self) -> Result<Event, EncodeError> {
///         let (name, number) = match self {
///             Count::Added(number) => ("added", number),
///             Count::Total(number) => ("total", number),
///         };
///         Ok(Event::text(number.to_string()).with_name(name.try_into()?))
///     }
/// }
/// # fn main() {}
/// ```
pub struct SnapshotRules<M, K> {
    pub(crate) init: fn(&K) -> M,
    pub(crate) apply: fn(&mut M, &M),
    pub(crate) role: fn(&M) -> SnapshotRole,
    pub(crate) copy: fn(&M) -> M,
    pub(crate) version: u32,
    pub(crate) sums_everything: bool,
}

/// The part that a queue message has in the snapshot of its key.
///
/// ```
/// assert_ne!(tornadose::SnapshotRole::Summed, tornadose::SnapshotRole::Snapshot);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotRole {
    /// It is applied to the snapshot.
    Summed,
    /// It is a snapshot, and replaces the one before.
    Snapshot,
    /// The snapshot knows nothing of it.
    Other,
}

impl<M, K> SnapshotRules<M, K> {
    /// Returns rules with the version 1.
    ///
    /// - `init` makes the snapshot of a key without messages.
    /// - `apply` applies a summed message to the snapshot, in the order of the log.
    /// - `role` says what a queue message is. It is not asked about others.
    ///
    /// All of them must depend on their arguments alone, and must not call the store: a snapshot is made once per process,
    /// and all processes have to make the same. After a panic of `init` or `apply` the key's snapshot is not known, until
    /// [`Store::remove`](crate::Store::remove) or a submitted snapshot. Its readers then get gaps.
    #[must_use]
    pub const fn new(init: fn(&K) -> M, apply: fn(&mut M, &M), role: fn(&M) -> SnapshotRole) -> Self
    where
        M: Clone,
    {
        Self { init, apply, role, copy: M::clone, version: 1, sums_everything: false }
    }

    /// Sets the version of the rules, which is kept beside a snapshot. A snapshot of another version is not known.
    ///
    /// ```
    /// use tornadose::SnapshotRules;
    ///
    /// fn changed<M, K>(rules: SnapshotRules<M, K>) -> SnapshotRules<M, K> {
    ///     rules.version(2)
    /// }
    /// ```
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Says that no queue message is [`SnapshotRole::Other`]. A client whose id is not known then gets the snapshot of its
    /// key without a gap.
    ///
    /// ```
    /// use tornadose::SnapshotRules;
    ///
    /// fn complete<M, K>(rules: SnapshotRules<M, K>) -> SnapshotRules<M, K> {
    ///     rules.sums_everything()
    /// }
    /// ```
    #[must_use]
    pub const fn sums_everything(mut self) -> Self {
        self.sums_everything = true;
        self
    }
}

impl<M, K> Clone for SnapshotRules<M, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, K> Copy for SnapshotRules<M, K> {}

impl<M, K> fmt::Debug for SnapshotRules<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, sums_everything, .. } = self;
        f.debug_struct("SnapshotRules")
            .field("version", version)
            .field("sums_everything", sums_everything)
            .finish_non_exhaustive()
    }
}
