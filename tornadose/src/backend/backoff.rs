//! How long to wait before the next try. What is tried is the backend's affair.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that grow up to 2 s, each spread over its upper half, for ever.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    chance: u64,
}

impl Backoff {
    /// The same seed waits the same times; processes take different ones, so that they do not come back together.
    pub(crate) fn new(seed: &str) -> Self {
        let chance = seed
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Xorshift stands still at 0.
        Self { next: FIRST, chance: chance.max(1) }
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let half = whole / 2;
        let thousandths = u32::try_from(self.chance % 1000).unwrap_or(0);
        half + half * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..10_000).map(move |_| backoff.next()).collect::<Vec<_>>()
        };
        let (one, other) = (waits("one"), waits("other"));
        assert_eq!(one, waits("one"));
        assert_ne!(one, other);
        let bounds = [100, 200, 400, 800, 1600].into_iter().chain(std::iter::repeat(2000)).map(Duration::from_millis);
        for (wait, bound) in one.iter().zip(bounds) {
            assert!(*wait >= bound / 2 && *wait <= bound, "{wait:?} of {bound:?}");
        }
        let spread: std::collections::BTreeSet<_> = one[5..].iter().collect();
        assert!(spread.len() > 500, "{} different waits", spread.len());
        let mut backoff = Backoff::new("one");
        assert!((0..9).map(|_| backoff.next()).max() > Some(FIRST));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
