//! The library's connection registry, and stubs of what it imports.

pub(crate) mod connection {
    pub(crate) use crate::registry_source as registry;

    pub(crate) mod control {
        use tokio::time::Instant;

        use crate::handler::connection::record::CloseReason;
        use crate::store::end::EndReason;

        pub(crate) trait Control: Send + Sync {
            fn end(&self, reason: EndReason);
            fn abort(&self, reason: CloseReason);
            fn unread_since(&self) -> Option<Instant>;
            fn end_due(&self) -> Option<(Instant, EndReason)>;
        }
    }

    pub(crate) mod record {
        use crate::store::end::EndReason;

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum CloseReason {
            Stalled,
            Aborted,
            Ended(EndReason),
        }
    }
}
