//! Read rates: a client reads slowly.

use std::fmt;
use std::time::Duration;

/// Makes a client read slowly, in virtual time: the server's bytes fill the pipe, and its writer waits.
///
/// ```
#[doc = include_str!("../../../doc/news.md")]
/// use tornadose_test::ReadRate;
///
/// let start = tokio::time::Instant::now();
/// let ada = app.client("ada").fault(ReadRate::bytes_per_second(20)).sse("/news").await;
/// assert!(start.elapsed() > Duration::from_secs(3)); // the head of the response alone takes that long
/// assert_eq!(ada.next_event().await.name, "said");
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRate(u32);

impl ReadRate {
    /// Reads this many bytes in each second of virtual time.
    ///
    /// ```
    /// assert_eq!(tornadose_test::ReadRate::bytes_per_second(100).to_string(), "100 bytes a second");
    /// ```
    ///
    /// # Panics
    ///
    /// When `bytes` is 0: that is [`stall`](crate::Client::stall).
    pub fn bytes_per_second(bytes: u32) -> Self {
        assert!(bytes > 0, "a rate of 0 is a stall: write `.stall().await`");
        Self(bytes)
    }

    /// Returns the number of bytes that are read at once.
    pub(crate) fn read_limit(self) -> usize {
        usize::try_from((self.0 / 10).max(1)).unwrap_or(usize::MAX)
    }

    /// Returns the pause after reading this many bytes.
    pub(crate) fn pause_after(self, count: usize) -> Duration {
        let ms = u64::try_from(count).expect("a length fits 64 bits").saturating_mul(1000).div_ceil(u64::from(self.0));
        Duration::from_millis(ms)
    }
}

impl fmt::Display for ReadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 byte a second") } else { write!(f, "{} bytes a second", self.0) }
    }
}
