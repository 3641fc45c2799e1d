//! Delays between attempts to reconnect.

use std::time::Duration;

const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// An endless sequence of delays. They double up to 2 s, and each is drawn from the upper half of its bound.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    bound: Duration,
    random: u64,
}

impl Backoff {
    /// Creates a sequence. The seed decides the delays, so processes take different seeds and do not reconnect
    /// together.
    pub(crate) fn new(seed: &str) -> Self {
        let hash = seed
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Xorshift never leaves 0.
        Self { bound: MIN_DELAY, random: hash.max(1) }
    }

    pub(crate) fn reset(&mut self) {
        self.bound = MIN_DELAY;
    }

    pub(crate) fn next_delay(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = self.bound / 2;
        self.bound = (self.bound * 2).min(MAX_DELAY);
        let thousandths = u32::try_from(self.random % 1000).unwrap_or(0);
        half + half * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_differ_between_seeds() {
        let delays = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..10_000).map(move |_| backoff.next_delay()).collect::<Vec<_>>()
        };
        let (one, other) = (delays("one"), delays("other"));
        assert_eq!(one, delays("one"));
        assert_ne!(one, other);
        let bounds = [100, 200, 400, 800, 1600].into_iter().chain(std::iter::repeat(2000)).map(Duration::from_millis);
        for (delay, bound) in one.iter().zip(bounds) {
            assert!(*delay >= bound / 2 && *delay <= bound, "{delay:?} of {bound:?}");
        }
        let different: std::collections::BTreeSet<_> = one[5..].iter().collect();
        assert!(different.len() > 500, "{} different delays", different.len());
        let mut backoff = Backoff::new("one");
        assert!((0..9).map(|_| backoff.next_delay()).max() > Some(MIN_DELAY));
        backoff.reset();
        assert!(backoff.next_delay() <= MIN_DELAY);
    }
}
