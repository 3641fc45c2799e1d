//! The library's mailbox, and stubs of what it imports.

pub(crate) mod entry {
    /// A message in the log.
    pub(crate) struct Entry<M> {
        pub(crate) message: M,
    }
}

pub(crate) mod reader {
    pub(crate) use crate::mailbox_source as mailbox;
}

pub(crate) mod end {
    /// The reason why a reader ends.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum EndReason {
        Stopping,
    }
}
