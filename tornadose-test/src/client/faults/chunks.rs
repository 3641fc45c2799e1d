//! Chunks: the bytes of a connection arrive in small pieces.

use std::fmt;

/// Splits the bytes of a connection into chunks that arrive one at a time, in both directions: the server's response,
/// and the client's request and messages.
///
/// ```
#[doc = include_str!("../../../doc/news.md")]
/// use tornadose_test::Chunks;
///
/// let ada = app.client("ada").fault(Chunks::of(1)).sse("/news").await;
/// assert_eq!(ada.next_event().await.name, "said");
/// assert!(ada.recording().to_string().contains("ada ! chunks of 1 byte"));
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Of(usize),
    At(Vec<usize>),
    Seeded(u64),
}

impl Chunks {
    /// Chunks of this many bytes.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::of(3).to_string(), "chunks of 3 bytes");
    /// ```
    ///
    /// # Panics
    ///
    /// When `bytes` is 0.
    pub fn of(bytes: usize) -> Self {
        assert!(bytes > 0, "a chunk has at least 1 byte");
        Self(Rule::Of(bytes))
    }

    /// Chunks that end at these bytes, counted in each direction from the moment when the fault is set.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::at([1, 7]).to_string(), "chunks that end at bytes 1, 7");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `boundaries` is empty or contains 0.
    pub fn at(boundaries: impl IntoIterator<Item = usize>) -> Self {
        let mut boundaries: Vec<usize> = boundaries.into_iter().collect();
        boundaries.sort_unstable();
        assert!(boundaries.first().is_some_and(|first| *first > 0), "give at least one boundary, and none at 0");
        Self(Rule::At(boundaries))
    }

    /// Chunks of 1 to 16 bytes, the same for the same seed.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::seeded(7).to_string(), "chunks by seed 7");
    /// ```
    pub fn seeded(seed: u64) -> Self {
        Self(Rule::Seeded(seed))
    }

    /// Returns the number of bytes to the next boundary after `passed` bytes.
    pub(crate) fn len_to_boundary(&self, passed: usize) -> usize {
        match &self.0 {
            Rule::Of(bytes) => bytes - passed % bytes,
            Rule::At(boundaries) => {
                boundaries.iter().find(|boundary| **boundary > passed).map_or(usize::MAX, |at| at - passed)
            }
            Rule::Seeded(_) => (1..=16).find(|length| self.is_boundary(passed + length)).unwrap_or(16),
        }
    }

    /// Whether a chunk ends after `passed` bytes.
    pub(crate) fn is_boundary(&self, passed: usize) -> bool {
        match &self.0 {
            Rule::Of(bytes) => passed.is_multiple_of(*bytes),
            Rule::At(boundaries) => boundaries.contains(&passed),
            // Every sixteenth byte is a boundary, and by the seed one byte in eight of the others.
            Rule::Seeded(seed) => passed.is_multiple_of(16) || random_byte(*seed, passed).is_multiple_of(8),
        }
    }
}

/// Returns a random byte for this position, the same in every run.
fn random_byte(seed: u64, position: usize) -> u8 {
    let position = u64::try_from(position).expect("a length fits 64 bits");
    // The rotation keeps the generators of neighbouring seeds apart.
    fastrand::Rng::with_seed(seed.rotate_left(32) ^ position).u8(..)
}

impl fmt::Display for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Of(1) => f.write_str("chunks of 1 byte"),
            Rule::Of(bytes) => write!(f, "chunks of {bytes} bytes"),
            Rule::At(boundaries) => {
                let boundaries: Vec<String> = boundaries.iter().map(ToString::to_string).collect();
                write!(f, "chunks that end at bytes {}", boundaries.join(", "))
            }
            Rule::Seeded(seed) => write!(f, "chunks by seed {seed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;

    #[test]
    fn seeded_chunks_have_1_to_16_bytes_and_repeat() {
        let lengths = |seed| {
            let chunks = Chunks::seeded(seed);
            let mut passed = 0;
            let lengths = std::iter::repeat_with(|| {
                let length = chunks.len_to_boundary(passed);
                passed += length;
                length
            });
            lengths.take(200).collect::<Vec<_>>()
        };
        assert!(lengths(1).iter().all(|length| (1..=16).contains(length)));
        assert_eq!(lengths(7), lengths(7));
        assert_ne!(lengths(7), lengths(8));
    }
}
