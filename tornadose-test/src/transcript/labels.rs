//! Labels for values that differ from run to run (ids, UUIDs, tickets, masked values). Equal values get equal labels, numbered
//! in the order in which they are printed.

use std::collections::{HashMap, HashSet};

use crate::entry::{CutPoint, Entry, Happening};
use crate::text;
use crate::transcript::mask::Mask;

/// The shortest id that is replaced inside data: a plain handler's `7` may mean anything there.
const ID_CHARS_MIN: usize = 8;

pub(crate) struct Labels<'masks> {
    masks: &'masks [Mask],
    /// The number of values that each mask has replaced.
    pub(crate) replaced: Vec<usize>,
    /// The number of each masked value, by the name of its label and its JSON text.
    masked: HashMap<(&'masks str, String), usize>,
    /// Whether every label is quoted, so that the result is JSON.
    json: bool,
    /// The ids that were seen on the wire, and their epochs.
    known: HashSet<String>,
    epochs: HashSet<String>,
    ids: HashMap<String, usize>,
    uuids: HashMap<String, usize>,
    tickets: HashMap<String, usize>,
}

impl<'masks> Labels<'masks> {
    /// Makes labels that recognize the ids of these entries.
    pub(crate) fn new(entries: &[Entry], masks: &'masks [Mask]) -> Self {
        let carried = entries.iter().filter_map(|entry| match &entry.happening {
            Happening::Event(event) => event.id.clone().or_else(|| event.at.clone()),
            Happening::Position(id) => Some(id.clone()),
            Happening::Cut(CutPoint::Inside { id, .. } | CutPoint::After { id, .. }) => id.clone(),
            _ => None,
        });
        let known: HashSet<String> = carried.collect();
        let epochs = known.iter().filter_map(|id| epoch(id)).map(str::to_owned).collect();
        Self {
            masks,
            replaced: vec![0; masks.len()],
            masked: HashMap::new(),
            json: false,
            known,
            epochs,
            ids: HashMap::new(),
            uuids: HashMap::new(),
            tickets: HashMap::new(),
        }
    }

    /// Makes labels for data that remains JSON.
    pub(crate) fn in_json(entries: &[Entry], masks: &'masks [Mask]) -> Self {
        Self { json: true, ..Self::new(entries, masks) }
    }

    /// Replaces the masked values, ids and UUIDs of an event's data.
    pub(crate) fn data(&mut self, data: &str) -> String {
        let masks = self.masks;
        let found = masks.iter().enumerate();
        let mut found: Vec<_> =
            found.flat_map(|(nth, mask)| mask.find(data).into_iter().map(move |range| (range, nth))).collect();
        found.sort_unstable();
        let (mut labelled, mut end) = (String::with_capacity(data.len()), 0);
        for ((from, to), nth) in found {
            self.replaced[nth] += 1;
            // A masked value covers the values inside it.
            if from >= end {
                labelled += &self.text(&data[end..from]);
                let label = self.mask_label(masks[nth].name(), &data[from..to]);
                labelled += &label;
                end = to;
            }
        }
        labelled + &self.text(&data[end..])
    }

    /// Replaces the values of a WebSocket text message. Masks are paths into an event's data, or into the whole of any
    /// other text.
    pub(crate) fn frame(&mut self, text: &str) -> String {
        let data = Mask::parse(".data").map(|data| data.find(text)).unwrap_or_default();
        match data.first() {
            Some(&(from, to)) => self.text(&text[..from]) + &self.data(&text[from..to]) + &self.text(&text[to..]),
            None => self.data(text),
        }
    }

    fn mask_label(&mut self, name: &'masks str, value: &str) -> String {
        let next = self.masked.keys().filter(|(other, _)| *other == name).count() + 1;
        let number = *self.masked.entry((name, value.to_owned())).or_insert(next);
        // A label without quotes shows that the value was not a string.
        let quote = if self.json || value.starts_with('"') { "\"" } else { "" };
        format!("{quote}[{name}-{number}]{quote}")
    }

    /// Returns `#1` for an id that was seen on the wire or shares its epoch with one; any other id is quoted.
    pub(crate) fn id(&mut self, id: &str) -> String {
        if self.known.contains(id) || epoch(id).is_some_and(|epoch| self.epochs.contains(epoch)) {
            let next = self.ids.len() + 1;
            format!("#{}", self.ids.entry(id.to_owned()).or_insert(next))
        } else {
            text::quoted(id)
        }
    }

    /// Replaces the ids, UUIDs and tickets of a text.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut labelled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            labelled += &rest[..start];
            rest = &rest[start..];
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            self.word(word, &mut labelled);
            rest = after;
        }
        labelled + rest
    }

    /// Formats an SSE block on one line; the values of `id` fields are replaced whatever their form.
    pub(crate) fn block(&mut self, block: &[u8]) -> String {
        let lines = block.split_inclusive(|byte| matches!(byte, b'\n' | b'\r'));
        let mut labelled = String::new();
        for line in lines {
            let (line, end) = match line.split_last() {
                Some((b'\n', line)) => (line, "\\n"),
                Some((b'\r', line)) => (line, "\\r"),
                _ => (line, ""),
            };
            labelled += &self.field(&text::bytes(line));
            labelled += end;
        }
        labelled
    }

    fn field(&mut self, line: &str) -> String {
        if let Some(value) = line.strip_prefix("id:") {
            let (field, id) = value.strip_prefix(' ').map_or(("id:", value), |value| ("id: ", value));
            if self.known.contains(id) {
                return format!("{field}{}", self.id(id));
            }
        }
        match line.strip_prefix("data:") {
            Some(data) => format!("data:{}", self.data(data)),
            None => self.text(line),
        }
    }

    fn word(&mut self, word: &str, labelled: &mut String) {
        if is_uuid(word) {
            let next = self.uuids.len() + 1;
            let number = self.uuids.entry(word.to_ascii_lowercase()).or_insert(next);
            labelled.extend(["[uuid-", &number.to_string(), "]"]);
        } else if is_ticket(word) {
            let next = self.tickets.len() + 1;
            let number = self.tickets.entry(word.to_owned()).or_insert(next);
            labelled.extend(["[ticket-", &number.to_string(), "]"]);
        } else if word.len() >= ID_CHARS_MIN
            && (self.known.contains(word) || epoch(word).is_some_and(|epoch| self.epochs.contains(epoch)))
        {
            *labelled += &self.id(word);
        } else {
            *labelled += word;
        }
    }
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_')
}

/// Returns whether this is a ticket of Tornadose: the milliseconds until its end, its value, and a signature of 32 bytes,
/// both as base64.
fn is_ticket(word: &str) -> bool {
    let mut parts = word.split('.');
    let (end, value, signature) = (parts.next(), parts.next(), parts.next());
    let has_length = |part: Option<&str>, length| part.is_some_and(|part| part.len() == length);
    has_length(end, 13)
        && end.is_some_and(|end| end.bytes().all(|byte| byte.is_ascii_digit()))
        && value.is_some_and(|value| !value.is_empty())
        && has_length(signature, 43)
        && parts.next().is_none()
}

/// Returns the epoch of an id of the form `<8 characters>-<digits>`; the digits may contain points.
fn epoch(id: &str) -> Option<&str> {
    let (epoch, offset) = id.rsplit_once('-')?;
    let digits = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (epoch.len() == 8 && digits).then_some(epoch)
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Labels, epoch};
    use crate::entry::{Entry, Event, Happening};

    fn labels(ids: &[&str]) -> Labels<'static> {
        let entry = |id: &&str| Entry {
            at: Duration::ZERO,
            step: 0,
            by_test: false,
            client: Some(0),
            happening: Happening::Event(Event::new(None, Some((*id).to_owned()), String::new())),
            read: false,
        };
        Labels::new(&ids.iter().map(entry).collect::<Vec<_>>(), &[])
    }

    #[test]
    fn an_epoch_is_the_eight_characters_before_the_offset() {
        assert_eq!(epoch("k3v9x0aq-17"), Some("k3v9x0aq"));
        assert_eq!(epoch("k3v9x0aq-1700000000000.3"), Some("k3v9x0aq"));
        assert_eq!(epoch("k3v9x0aq-"), None);
        assert_eq!(epoch("short-17"), None);
    }

    #[test]
    fn ids_are_numbered_in_the_order_of_printing() {
        let mut labels = labels(&["k3v9x0aq-1", "k3v9x0aq-2", "7"]);
        assert_eq!(labels.id("k3v9x0aq-2"), "#1");
        assert_eq!(labels.id("7"), "#2");
        assert_eq!(labels.id("k3v9x0aq-1"), "#3");
        assert_eq!(labels.id("k3v9x0aq-2"), "#1");
    }

    #[test]
    fn a_ticket_is_numbered_wherever_it_is() {
        let mut labels = labels(&[]);
        let signature = "x-_4567890123456789012345678901234567890123";
        let (one, two) = (format!("1700000000000.Nw.{signature}"), format!("1700000060000.Nw.{signature}"));
        assert_eq!(labels.text(&format!("/inbox?ticket={one}&x=1")), "/inbox?ticket=[ticket-1]&x=1");
        assert_eq!(labels.text(&format!("{two} {one}")), "[ticket-2] [ticket-1]");
        for odd in [format!("170000000000.Nw.{signature}"), format!("1700000000000..{signature}"), format!("{one}.x")] {
            assert_eq!(labels.text(&odd), odd);
        }
    }

    #[test]
    fn an_unseen_id_is_labelled_in_a_known_epoch_and_quoted_in_another() {
        let mut labels = labels(&["k3v9x0aq-1"]);
        assert_eq!(labels.id("k3v9x0aq-99"), "#1");
        assert_eq!(labels.id("zzzzzzzz-99"), "\"zzzzzzzz-99\"");
        assert_eq!(labels.id("8"), "\"8\"");
    }

    #[test]
    fn data_keeps_short_ids_and_labels_long_ones() {
        let mut labels = labels(&["7", "k3v9x0aq-1"]);
        assert_eq!(labels.text(r#"{"room":"7","after":"k3v9x0aq-1"}"#), r##"{"room":"7","after":"#1"}"##);
    }

    #[test]
    fn a_uuid_gets_the_same_label_in_either_case() {
        let mut labels = labels(&[]);
        let text = "0190a6b0-7c1e-7a2b-8000-00000000000A 0190a6b0-7c1e-7a2b-8000-00000000000b 0190A6B0-7C1E-7A2B-8000-00000000000a";
        assert_eq!(labels.text(text), "[uuid-1] [uuid-2] [uuid-1]");
    }
}
