//! Mistakes that a backend could make. The tests of this crate plant them, to show that each is found.

/// A mistake that a backend could make, to test that it is found.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The sender of an entry is not passed to the store, which then cannot find duplicates.
    LosesTheSender,
    /// A message is acknowledged before it is appended.
    AcknowledgesEarly,
    /// Entries that were trimmed unread are not reported.
    ForgetsTheGap,
    /// Acknowledged entries that are lost unread do not begin a new epoch.
    OverlooksTheRollback,
    /// A refused message is dropped, also when no caller waits for it.
    DropsTheRefused,
    /// Finishes whose entries are trimmed are not passed to a store that is opened.
    ForgetsFinishes,
    /// A finish that is appended while the stream is read is not passed to the store.
    SwallowsFinishes,
    /// A value that has expired stays in this process.
    SwallowsExpiries,
    /// A value that is submitted again counts as old, and the engine does not look how old it is.
    ExpiresTheRenewed,
    /// An ephemeral message is passed to the store before the entry that it follows.
    OverlooksWhatIsFollowed,
    /// Ephemeral messages are read again, as those of another program.
    RepeatsEphemerals,
    /// A snapshot is kept under the offset of a newer one.
    KeepsAnOlderSnapshot,
    /// A snapshot that the engine has lost counts as kept.
    LosesASnapshot,
    /// The engine was restored, and what it had kept before counts as kept.
    OverlooksLostSnapshots,
    /// A place before lost messages counts as one after them.
    BelievesAnOlderPlace,
    /// The snapshot of a key that was removed stays.
    KeepsRemovedSnapshots,
    /// An entry that cannot be read is passed over, as if the snapshots contained it.
    CoversTheSkipped,
    /// Another key is passed to the store beside a message, which then has no reader of it.
    MixesUpKeys,
}

/// Whether the backend of this task is to make a mistake. It never does outside of the tests of this crate.
#[derive(Clone, Copy)]
pub(super) struct Mistakes {
    #[cfg(test)]
    pub(super) mistake: Option<Mistake>,
    /// Which payloads this process cannot read, as one of an older version.
    #[cfg(test)]
    pub(super) cannot_read: Option<fn(&[u8]) -> bool>,
}

#[cfg(test)]
impl Mistakes {
    /// Returns a payload as this process reads it.
    pub(super) fn payload_as_read(self, payload: &[u8]) -> &[u8] {
        if self.cannot_read.is_some_and(|cannot_read| cannot_read(payload)) { b"{}" } else { payload }
    }
}

macro_rules! mistakes {
    ($($name:ident => $mistake:ident),*) => {
        impl Mistakes {
            $(
                #[cfg(test)]
                pub(super) fn $name(self) -> bool {
                    self.mistake == Some(Mistake::$mistake)
                }

                #[cfg(not(test))]
                pub(super) const fn $name(self) -> bool {
                    let _ = self;
                    false
                }
            )*
        }
    };
}

mistakes! {
    loses_the_sender => LosesTheSender,
    acknowledges_early => AcknowledgesEarly,
    forgets_the_gap => ForgetsTheGap,
    overlooks_the_rollback => OverlooksTheRollback,
    drops_the_refused => DropsTheRefused,
    forgets_finishes => ForgetsFinishes,
    swallows_finishes => SwallowsFinishes,
    swallows_expiries => SwallowsExpiries,
    expires_the_renewed => ExpiresTheRenewed,
    overlooks_what_is_followed => OverlooksWhatIsFollowed,
    repeats_ephemerals => RepeatsEphemerals,
    keeps_an_older_snapshot => KeepsAnOlderSnapshot,
    loses_a_snapshot => LosesASnapshot,
    overlooks_lost_snapshots => OverlooksLostSnapshots,
    believes_an_older_place => BelievesAnOlderPlace,
    keeps_removed_snapshots => KeepsRemovedSnapshots,
    covers_the_skipped => CoversTheSkipped,
    mixes_up_keys => MixesUpKeys
}
