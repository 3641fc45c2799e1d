//! Finds messages that arrive a second time, by their senders' numbers.

use std::collections::{BTreeMap, HashMap};

/// How many senders are remembered. A process is a new sender each time it starts.
const MAX_SENDERS: usize = 10_000;

/// How many runs of a sender's numbers are remembered. The two oldest are then joined: numbers between them, which
/// were withdrawn or refused, count as seen.
const MAX_RUNS: usize = 256;

/// The longest sender id by which duplicates are found, in bytes. Ours have 8.
const MAX_SENDER_ID: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Duplicate,
}

/// Whether a sender writes the key of its message beside it, as this process writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyTrust {
    /// No message of it was decoded yet.
    Unchecked,
    Trusted,
    /// It is another program, or another version whose keys have other JSON.
    Distrusted,
}

pub(super) struct Dedup {
    senders: HashMap<String, Sender>,
    /// How many messages were recorded.
    messages: u64,
}

struct Sender {
    seen: Runs,
    /// When its last message was recorded, counted in messages.
    last_seen: u64,
    key_trust: KeyTrust,
}

/// A set of numbers as runs of consecutive ones: the first number of each, and its last. A number that is far beyond
/// the others is a run of its own, and says nothing of those before it.
#[derive(Default)]
struct Runs(BTreeMap<u64, u64>);

impl Runs {
    fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    /// Adds a number that is not contained.
    fn insert(&mut self, number: u64) {
        let before = self.0.range(..number).next_back().map(|(first, last)| (*first, *last));
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            _ => number,
        };
        let after = number.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(number));
        if self.0.len() > MAX_RUNS
            && let Some((first, _)) = self.0.pop_first()
            && let Some((_, last)) = self.0.pop_first()
        {
            self.0.insert(first, last);
        }
    }
}

impl Dedup {
    pub(super) fn new() -> Self {
        Self { senders: HashMap::new(), messages: 0 }
    }

    /// Returns whether a message of this number was recorded.
    pub(super) fn contains(&self, sender_id: &str, number: u64) -> bool {
        self.senders.get(sender_id).is_some_and(|sender| sender.seen.contains(number))
    }

    /// Records a message. It is a duplicate when one of its number was recorded.
    pub(super) fn record(&mut self, sender_id: &str, number: u64) -> Arrival {
        if sender_id.len() > MAX_SENDER_ID {
            return Arrival::New;
        }
        self.messages += 1;
        let now = self.messages;
        if let Some(sender) = self.senders.get_mut(sender_id) {
            sender.last_seen = now;
            if sender.seen.contains(number) {
                return Arrival::Duplicate;
            }
            sender.seen.insert(number);
            return Arrival::New;
        }
        if self.senders.len() >= MAX_SENDERS {
            self.forget_older_half();
        }
        let mut sender = Sender { seen: Runs::default(), last_seen: now, key_trust: KeyTrust::Unchecked };
        sender.seen.insert(number);
        self.senders.insert(sender_id.to_owned(), sender);
        Arrival::New
    }

    /// Returns what is known of the keys that a sender writes beside its messages; `None` if the sender is not
    /// remembered.
    pub(super) fn key_trust(&self, sender_id: &str) -> Option<KeyTrust> {
        self.senders.get(sender_id).map(|sender| sender.key_trust)
    }

    pub(super) fn set_key_trust(&mut self, sender_id: &str, key_trust: KeyTrust) {
        if let Some(sender) = self.senders.get_mut(sender_id) {
            sender.key_trust = key_trust;
        }
    }

    /// Forgets the senders that have been silent longest.
    fn forget_older_half(&mut self) {
        let mut times: Vec<u64> = self.senders.values().map(|sender| sender.last_seen).collect();
        let (_, median, _) = times.select_nth_unstable(MAX_SENDERS / 2);
        let median = *median;
        self.senders.retain(|_, sender| sender.last_seen > median);
    }

    pub(super) fn clear(&mut self) {
        self.senders.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_flood_of_senders_is_remembered_up_to_a_bound() {
        let mut dedup = Dedup::new();
        for number in 0..50_000 {
            assert_eq!(dedup.record("always active", number + 1), Arrival::New);
            assert_eq!(dedup.record(&number.to_string(), 1), Arrival::New);
            assert!(dedup.senders.len() <= MAX_SENDERS);
        }
        assert_eq!(dedup.record("always active", 50_000), Arrival::Duplicate);
        assert_eq!(dedup.record("49999", 1), Arrival::Duplicate);
    }

    #[test]
    fn numbers_are_recorded_in_any_order() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut dedup, mut seen) = (Dedup::new(), HashSet::new());
        for _ in 0..20_000 {
            let number = random.u64(0..200);
            let arrival = if seen.insert(number) { Arrival::New } else { Arrival::Duplicate };
            assert_eq!(dedup.record("one", number), arrival, "{number}");
            assert!(!dedup.contains("one", 200 + number));
        }
        assert_eq!(dedup.senders["one"].seen.0.len(), 1);
    }

    #[test]
    fn a_number_far_beyond_the_others_says_nothing_of_them() {
        let mut dedup = Dedup::new();
        assert_eq!(dedup.record("one", u64::MAX), Arrival::New);
        assert_eq!(dedup.record("one", u64::MAX), Arrival::Duplicate);
        for number in [1, 2, u64::MAX - 1, 0] {
            assert_eq!(dedup.record("one", number), Arrival::New);
        }
        assert_eq!(dedup.record("one", 1), Arrival::Duplicate);
    }

    #[test]
    fn a_sender_with_many_holes_is_remembered_up_to_a_bound() {
        let mut dedup = Dedup::new();
        for number in 0..10_000 {
            assert_eq!(dedup.record("one", 2 * number), Arrival::New);
        }
        assert_eq!(dedup.senders["one"].seen.0.len(), MAX_RUNS);
        assert_eq!(dedup.record("one", 2 * 9_999), Arrival::Duplicate);
        assert_eq!(dedup.record("one", 2 * 9_999 - 1), Arrival::New);
        assert_eq!(dedup.record("one", 1), Arrival::Duplicate, "the oldest runs are joined");
    }

    #[test]
    fn a_long_sender_id_is_not_remembered() {
        let mut dedup = Dedup::new();
        let sender_id = "x".repeat(MAX_SENDER_ID + 1);
        assert_eq!(dedup.record(&sender_id, 1), Arrival::New);
        assert_eq!(dedup.record(&sender_id, 1), Arrival::New);
        assert!(dedup.senders.is_empty());
    }
}
