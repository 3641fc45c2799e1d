//! The newest number of each sender up to a place in the log. By it a process that starts recognises a message that
//! was sent again, also where its first copy is trimmed: a sender appends its messages in the order of their numbers.

use std::fmt;

use crate::backend::outbox::is_valid_sender_id;

/// How many senders are remembered: those that have sent last.
const SENDERS_MAX: usize = 100;

/// The senders, each with its newest number. The one that has sent last is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Senders(Vec<(String, u64)>);

impl Senders {
    /// Records a message that was appended.
    pub(crate) fn record(&mut self, sender: (&str, u64)) {
        let (sender_id, number) = sender;
        if let Some(index) = self.0.iter().rposition(|(known, _)| known == sender_id) {
            let known = &mut self.0[index..];
            known[0].1 = known[0].1.max(number);
            known.rotate_left(1);
            return;
        }
        if !is_valid_sender_id(sender_id) {
            return;
        }
        if self.0.len() == SENDERS_MAX {
            self.0.remove(0);
        }
        self.0.push((sender_id.to_owned(), number));
    }

    /// Records what was appended later.
    pub(crate) fn record_all(&mut self, later: &Self) {
        for (sender_id, number) in &later.0 {
            self.record((sender_id, *number));
        }
    }

    /// Returns whether a message of this number was recorded, or one after it.
    pub(crate) fn has_number(&self, sender: (&str, u64)) -> bool {
        self.0.iter().any(|(sender_id, number)| sender_id == sender.0 && sender.1 <= *number)
    }

    /// Reads what [`Display`](fmt::Display) writes.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut senders = Self::default();
        if text == "-" {
            return Some(senders);
        }
        for sender in text.split(',') {
            let (sender_id, number) = sender.split_once(':').filter(|(sender_id, _)| is_valid_sender_id(sender_id))?;
            senders.record((sender_id, number.parse().ok()?));
        }
        Some(senders)
    }
}

/// Writes `id:number` of each with commas between, or `-`.
impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (index, (sender_id, number)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{sender_id}:{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_with_all_before_it() {
        let mut senders = Senders::default();
        assert_eq!(senders.to_string(), "-");
        for sender in [("a", 7), ("b", 3), ("a", 5), ("no word", 1), ("", 1)] {
            senders.record(sender);
        }
        assert!(senders.has_number(("a", 7)) && senders.has_number(("a", 1)) && !senders.has_number(("a", 8)));
        assert!(senders.has_number(("b", 3)) && !senders.has_number(("no word", 1)) && !senders.has_number(("", 1)));
        assert_eq!(senders.to_string(), "b:3,a:7");
        assert_eq!(Senders::parse("b:3,a:7"), Some(senders));
        assert_eq!(Senders::parse("-"), Some(Senders::default()));
        for invalid in ["", "a", "a:", "a:x", "a:1,", ":1", "a b:1"] {
            assert_eq!(Senders::parse(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn those_that_have_sent_last_are_remembered() {
        let mut senders = Senders::default();
        senders.record(("first", 1));
        senders.record(("second", 1));
        for number in 1..SENDERS_MAX as u64 - 1 {
            senders.record((&number.to_string(), number));
        }
        senders.record(("first", 2));
        senders.record(("last", 1));
        assert!(
            senders.has_number(("first", 2)) && senders.has_number(("last", 1)) && !senders.has_number(("second", 1))
        );
        assert_eq!(senders.0.len(), SENDERS_MAX);
    }
}
