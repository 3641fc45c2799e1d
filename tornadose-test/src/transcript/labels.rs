//! Labels: what differs from run to run (ids, UUIDs) gets a number that keeps its identity, in the order of printing.

use std::collections::{HashMap, HashSet};

use crate::entry::{Line, Severed, What};
use crate::text;
use crate::transcript::mask::Mask;

/// An id inside data is replaced from this length on: a plain handler's `7` may stand for anything there.
const TELLING: usize = 8;

pub(crate) struct Labels<'masks> {
    masks: &'masks [Mask],
    /// How many values each mask has replaced.
    pub(crate) replaced: Vec<usize>,
    /// What was masked, by the name of its labels and its JSON text.
    masked: HashMap<(&'masks str, String), usize>,
    /// Whether labels stand in quotes whatever they replace: the result is to be JSON.
    json: bool,
    known: HashSet<String>,
    epochs: HashSet<String>,
    ids: HashMap<String, usize>,
    uuids: HashMap<String, usize>,
}

impl<'masks> Labels<'masks> {
    /// Knows the ids that a record's events and positions carry.
    pub(crate) fn of(lines: &[Line], masks: &'masks [Mask]) -> Self {
        let carried = lines.iter().filter_map(|line| match &line.what {
            What::Event(event) => event.id.clone(),
            What::Position(id) => Some(id.clone()),
            What::Cut(Severed::Inside { id, .. } | Severed::After { id, .. }) => id.clone(),
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
        }
    }

    /// Labels for data that stays JSON.
    pub(crate) fn in_json(lines: &[Line], masks: &'masks [Mask]) -> Self {
        Self { json: true, ..Self::of(lines, masks) }
    }

    /// Data with its masked values replaced, and its ids and UUIDs relabelled.
    pub(crate) fn data(&mut self, data: &str) -> String {
        let masks = self.masks;
        let found = masks.iter().enumerate();
        let mut found: Vec<_> =
            found.flat_map(|(nth, mask)| mask.find(data).into_iter().map(move |place| (place, nth))).collect();
        found.sort_unstable();
        let (mut labelled, mut end) = (String::with_capacity(data.len()), 0);
        for ((from, to), nth) in found {
            self.replaced[nth] += 1;
            // What lies inside of a masked value is masked with it.
            if from >= end {
                labelled += &self.text(&data[end..from]);
                let label = self.masked(masks[nth].name(), &data[from..to]);
                labelled += &label;
                end = to;
            }
        }
        labelled + &self.text(&data[end..])
    }

    /// A WebSocket's text: masks are paths into an event's data, and into any other text as a whole.
    pub(crate) fn frame(&mut self, text: &str) -> String {
        let data = Mask::parse(".data").map(|data| data.find(text)).unwrap_or_default();
        match data.first() {
            Some(&(from, to)) => self.text(&text[..from]) + &self.data(&text[from..to]) + &self.text(&text[to..]),
            None => self.data(text),
        }
    }

    fn masked(&mut self, name: &'masks str, value: &str) -> String {
        let next = self.masked.keys().filter(|(of, _)| *of == name).count() + 1;
        let number = *self.masked.entry((name, value.to_owned())).or_insert(next);
        // Without quotes it shows that it was no text.
        let quote = if self.json || value.starts_with('"') { "\"" } else { "" };
        format!("{quote}[{name}-{number}]{quote}")
    }

    /// `#1` for an id that was seen on the wire, or is of the same epoch as one that was; else the id, in quotes.
    pub(crate) fn id(&mut self, id: &str) -> String {
        if self.known.contains(id) || epoch(id).is_some_and(|epoch| self.epochs.contains(epoch)) {
            let next = self.ids.len() + 1;
            format!("#{}", self.ids.entry(id.to_owned()).or_insert(next))
        } else {
            text::quoted(id)
        }
    }

    /// Text with its ids and UUIDs relabelled.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut labelled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            labelled += &rest[..start];
            rest = &rest[start..];
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            self.word(word, &mut labelled);
            rest = behind;
        }
        labelled + rest
    }

    /// The bytes of an SSE block on one line: the ids of its `id` fields relabelled, whatever they look like.
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
        } else if word.len() >= TELLING
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

/// The first part of an id that looks like `<8 characters>-<digits>`, the digits with a point at most.
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
    use crate::entry::{Event, Line, What};

    fn labels(ids: &[&str]) -> Labels<'static> {
        let line = |id: &&str| Line {
            at: Duration::ZERO,
            act: 0,
            own: false,
            client: Some(0),
            what: What::Event(Event::new(None, Some((*id).to_owned()), String::new())),
            read: false,
        };
        Labels::of(&ids.iter().map(line).collect::<Vec<_>>(), &[])
    }

    #[test]
    fn an_epoch_is_eight_characters_before_an_offset() {
        assert_eq!(epoch("k3v9x0aq-17"), Some("k3v9x0aq"));
        assert_eq!(epoch("k3v9x0aq-1700000000000.3"), Some("k3v9x0aq"));
        assert_eq!(epoch("k3v9x0aq-"), None);
        assert_eq!(epoch("short-17"), None);
    }

    #[test]
    fn ids_are_numbered_as_they_are_printed() {
        let mut labels = labels(&["k3v9x0aq-1", "k3v9x0aq-2", "7"]);
        assert_eq!(labels.id("k3v9x0aq-2"), "#1");
        assert_eq!(labels.id("7"), "#2");
        assert_eq!(labels.id("k3v9x0aq-1"), "#3");
        assert_eq!(labels.id("k3v9x0aq-2"), "#1");
    }

    #[test]
    fn a_head_of_the_same_epoch_is_an_id_and_a_foreign_one_is_quoted() {
        let mut labels = labels(&["k3v9x0aq-1"]);
        assert_eq!(labels.id("k3v9x0aq-99"), "#1");
        assert_eq!(labels.id("zzzzzzzz-99"), "\"zzzzzzzz-99\"");
        assert_eq!(labels.id("8"), "\"8\"");
    }

    #[test]
    fn data_keeps_short_ids_and_loses_telling_ones() {
        let mut labels = labels(&["7", "k3v9x0aq-1"]);
        assert_eq!(labels.text(r#"{"room":"7","after":"k3v9x0aq-1"}"#), r##"{"room":"7","after":"#1"}"##);
    }

    #[test]
    fn the_same_uuid_gets_the_same_label_in_either_case() {
        let mut labels = labels(&[]);
        let text = "0190a6b0-7c1e-7a2b-8000-00000000000A 0190a6b0-7c1e-7a2b-8000-00000000000b 0190A6B0-7C1E-7A2B-8000-00000000000a";
        assert_eq!(labels.text(text), "[uuid-1] [uuid-2] [uuid-1]");
    }
}
