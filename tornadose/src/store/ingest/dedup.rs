//! Finds messages that arrive a second time, by their senders' numbers.

use std::collections::HashMap;

/// How many senders are remembered for their highest number. A process is a new sender each time it starts.
const MAX_SENDERS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Duplicate,
}

pub(super) struct Dedup {
    senders: HashMap<String, Sender>,
    /// How many messages were recorded.
    messages: u64,
}

struct Sender {
    highest: u64,
    /// When its last message was recorded, counted in messages.
    last_seen: u64,
}

impl Dedup {
    pub(super) fn new() -> Self {
        Self { senders: HashMap::new(), messages: 0 }
    }

    /// Records a message. It is a duplicate when its number is not above all earlier numbers of its sender.
    pub(super) fn record(&mut self, sender_id: &str, number: u64) -> Arrival {
        self.messages += 1;
        let now = self.messages;
        if let Some(sender) = self.senders.get_mut(sender_id) {
            let arrival = if number <= sender.highest { Arrival::Duplicate } else { Arrival::New };
            *sender = Sender { highest: sender.highest.max(number), last_seen: now };
            return arrival;
        }
        if self.senders.len() >= MAX_SENDERS {
            self.forget_older_half();
        }
        self.senders.insert(sender_id.to_owned(), Sender { highest: number, last_seen: now });
        Arrival::New
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
}
