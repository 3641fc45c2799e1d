//! The newest entry that Redis has acknowledged to this process. A stream that ends before it has lost entries.

use std::sync::{Mutex, PoisonError};

use crate::id::Offset;

/// Shared by the writer, which records, and the reader, which compares.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<Offset>);

impl Acknowledged {
    /// Records that Redis has appended an entry at this offset.
    pub(super) fn record(&self, offset: Offset) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = offset.max(*newest);
    }

    /// Returns the newest acknowledged offset. A poll that is sent afterwards finds the entry, unless it was lost.
    pub(super) fn newest(&self) -> Offset {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was acknowledged, because it belongs to an earlier epoch.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Offset::START;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_kept_in_whatever_order_they_are_recorded() {
        let acknowledged = Acknowledged::default();
        for minor in [3, 1, 2] {
            acknowledged.record(Offset::new(5, minor));
        }
        assert_eq!(acknowledged.newest(), Offset::new(5, 3));
        acknowledged.forget();
        assert_eq!(acknowledged.newest(), Offset::START);
    }
}
