//! How many bytes to ask for, or to send, at once: as many as the connection carries in a fraction of a second.

use std::time::Duration;

/// The size of the first transfer.
const INITIAL_BYTES: usize = 64 << 10;

/// No transfer is smaller than this, unless there is less to transfer.
const MIN_BYTES: usize = 4 << 10;

const MAX_BYTES: usize = 4 << 20;

/// A transfer that takes less than this lets the next ones be larger, and one that takes more than the maximum lets
/// them be smaller.
const FAST: Duration = Duration::from_millis(250);
const SLOW: Duration = Duration::from_secs(1);

/// No transfer of less than this is too large for a server.
const MIN_CEILING: usize = 256 << 10;

/// After how many transfers the size may grow again above one that failed.
const TRANSFERS_BELOW_CEILING: u32 = 100;

/// The size of the next transfer, which follows the speed of the connection.
#[derive(Clone, Debug)]
pub(super) struct TransferSize {
    bytes: usize,
    /// The size stays at or below it, because a larger transfer has failed.
    ceiling: usize,
    /// How many transfers were completed under this ceiling.
    completed: u32,
}

impl TransferSize {
    pub(super) fn new() -> Self {
        Self { bytes: INITIAL_BYTES, ceiling: MAX_BYTES, completed: 0 }
    }

    /// Returns how many bytes to transfer next. A single message may be larger.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adapts the size to a transfer of this many bytes.
    pub(super) fn completed(&mut self, bytes: usize, took: Duration) {
        self.completed = self.completed.saturating_add(1);
        if self.completed >= TRANSFERS_BELOW_CEILING {
            (self.ceiling, self.completed) = (MAX_BYTES, 0);
        }
        if took > SLOW {
            self.bytes = (self.bytes / 2).max(MIN_BYTES);
        } else if took < FAST && bytes >= self.bytes / 2 {
            // A transfer of less proves nothing about a larger one.
            self.bytes = (self.bytes * 2).min(self.ceiling);
        }
    }

    /// Adapts the size to a transfer that has failed. The server may have refused to hold an answer of this size.
    pub(super) fn failed(&mut self) {
        self.bytes = (self.bytes / 2).max(MIN_BYTES);
        (self.ceiling, self.completed) = (self.bytes.max(MIN_CEILING), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long these bytes take at so many bytes a second.
    fn at_rate(bytes: usize, rate: u64) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / rate)
    }

    #[test]
    fn the_size_follows_the_speed_between_its_bounds() {
        let mut size = TransferSize::new();
        assert_eq!(size.bytes(), INITIAL_BYTES);
        let mut sizes = Vec::new();
        // 12 MB/s.
        for _ in 0..20 {
            let bytes = size.bytes();
            size.completed(bytes, at_rate(bytes, 12_000_000));
            sizes.push(size.bytes());
        }
        assert_eq!(size.bytes(), MAX_BYTES);
        assert!(sizes.is_sorted());
        // 50 kB/s: the size shrinks until a transfer takes a second at most.
        for _ in 0..20 {
            let bytes = size.bytes();
            size.completed(bytes, at_rate(bytes, 50_000));
        }
        assert_eq!(size.bytes(), 32 << 10);
        for _ in 0..20 {
            size.completed(1, Duration::from_secs(5));
        }
        assert_eq!(size.bytes(), MIN_BYTES);
        // Small transfers prove nothing, however fast they are.
        for _ in 0..20 {
            size.completed(100, Duration::ZERO);
        }
        assert_eq!(size.bytes(), MIN_BYTES);
    }

    #[test]
    fn a_size_that_failed_is_not_tried_again_soon() {
        let mut size = TransferSize::new();
        let complete = |size: &mut TransferSize, times| {
            for _ in 0..times {
                size.completed(size.bytes(), Duration::ZERO);
            }
        };
        complete(&mut size, 10);
        size.failed();
        size.failed();
        complete(&mut size, TRANSFERS_BELOW_CEILING - 1);
        assert_eq!(size.bytes(), 1 << 20);
        complete(&mut size, 10);
        assert_eq!(size.bytes(), MAX_BYTES);
    }
}
