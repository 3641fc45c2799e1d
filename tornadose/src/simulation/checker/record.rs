//! The record of a test: each submit with its outcome, and the items that each reader received.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::outgoing::SendOutcome;
use crate::id::Id;
use crate::message::Message;
use crate::store::error::SubmitError;
use crate::store::gap::GapReason;
use crate::store::kept_as::KeptAs;

/// How many lines a transcript has at most.
const TRANSCRIPT_LINES_MAX: usize = 40;

/// The text by which a message is recognized.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Description {
    pub(super) key: String,
    pub(super) event_name: Option<String>,
    pub(super) data: String,
    pub(super) is_latest: bool,
    /// How long it is kept, if it is a `latest` message that expires.
    pub(super) ttl: Option<Duration>,
    pub(super) is_ephemeral: bool,
}

/// Returns what a message is known by.
pub(crate) fn describe<M: Message>(message: &M) -> Description {
    let event = message.event().ok();
    let kept_as = KeptAs::of(message);
    let is_latest = matches!(kept_as, Ok(KeptAs::Latest { .. }));
    Description {
        key: format!("{:?}", message.key()),
        event_name: event.as_ref().and_then(|event| event.name()).map(str::to_owned),
        data: event.map_or_else(String::new, |event| event.data().to_owned()),
        is_latest,
        ttl: if is_latest && M::HAS_LATEST_TTL { message.latest_ttl() } else { None },
        is_ephemeral: matches!(kept_as, Ok(KeptAs::Ephemeral)),
    }
}

/// The answer to a submit.
#[derive(Clone)]
pub(crate) enum Answer {
    Acknowledged(Id),
    /// The backend has it. The function returns whether its store is still open.
    HandedOff(Arc<dyn Fn() -> bool + Send + Sync>),
    Unknown,
    /// It is certain that it was not appended.
    Rejected(String),
}

impl Answer {
    pub(crate) fn of<M>(result: &Result<Id, SubmitError<M>>) -> Self {
        match result {
            Ok(id) => Self::Acknowledged(*id),
            Err(error) => Self::of_error(error),
        }
    }

    pub(crate) fn of_error<M>(error: &SubmitError<M>) -> Self {
        match error {
            SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. } => Self::Unknown,
            error => Self::Rejected(error.to_string()),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(id) => write!(f, "acknowledged as {id}"),
            Self::HandedOff(_) => f.write_str("handed off"),
            Self::Unknown => f.write_str("outcome unknown"),
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
        }
    }
}

pub(super) struct MessageRecord {
    pub(super) description: Description,
    /// When it was submitted; `None` for a message of another program.
    pub(super) submitted: Option<usize>,
    pub(super) answer: Option<Answer>,
    /// When it was answered.
    pub(super) answered: Option<usize>,
    /// The id of its first copy, if the engine has taken it more than once.
    pub(super) first_copy: Option<Id>,
    /// Whether it may be lost without a report.
    pub(super) is_excused: bool,
}

pub(super) struct ReaderRecord {
    pub(super) name: String,
    /// The keys that it reads; `None` for all.
    pub(super) keys: Option<Vec<String>>,
    pub(super) opened: usize,
    /// Whether it has ended, so that nothing more is owed to it.
    pub(super) is_ended: bool,
    /// The id of its last finish, after which nothing more is owed to it.
    pub(super) finish: Option<Id>,
    pub(super) items: Vec<Item>,
}

/// An item that a reader received, and its place in the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) at: usize,
    pub(super) kind: ItemKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// A message, and whether it carried its id.
    Message {
        message: usize,
        id: Id,
        with_id: bool,
    },
    /// An ephemeral message, and its place.
    Ephemeral {
        message: usize,
        id: Id,
    },
    Gap(GapReason),
    /// Everything that is owed up to this id was received.
    Position(Id),
    /// A key is finished, and whether that carried its id.
    Finished {
        key: usize,
        id: Id,
        with_id: bool,
    },
    /// A value has expired, the id of the value and of its end, and whether that carried its id.
    Expired {
        message: usize,
        value: Id,
        id: Id,
        with_id: bool,
    },
    /// The client was cut off, and has resumed.
    Resumed,
}

/// Everything that was recorded, in order. A moment is an index into `events`.
#[derive(Default)]
pub(crate) struct Record {
    pub(super) messages: Vec<MessageRecord>,
    pub(super) readers: Vec<ReaderRecord>,
    by_description: HashMap<Description, usize>,
    events: Vec<Line>,
    /// Keys that were forgotten.
    pub(super) forgotten: Vec<String>,
    /// Keys that were removed.
    pub(super) removed: Vec<String>,
    /// The keys that were finished.
    pub(super) finished: Vec<String>,
}

/// A record with several writers. A cheap clone.
#[derive(Clone, Default)]
pub(crate) struct SharedRecord(Arc<Mutex<Record>>);

impl SharedRecord {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the transcript, and what it is about.
struct Line {
    at: Instant,
    message: Option<usize>,
    reader: Option<usize>,
    text: String,
}

impl Record {
    fn push(&mut self, message: Option<usize>, reader: Option<usize>, text: String) -> usize {
        self.events.push(Line { at: Instant::now(), message, reader, text });
        self.events.len() - 1
    }

    fn message(&mut self, description: Description) -> usize {
        if let Some(index) = self.by_description.get(&description) {
            return *index;
        }
        let index = self.messages.len();
        self.by_description.insert(description.clone(), index);
        self.messages.push(MessageRecord {
            description,
            submitted: None,
            answer: None,
            answered: None,
            first_copy: None,
            is_excused: false,
        });
        index
    }

    pub(crate) fn submit(&mut self, description: Description) -> usize {
        let text = format!("submit {description}");
        let message = self.message(description);
        let at = self.push(Some(message), None, text);
        self.messages[message].submitted = Some(at);
        message
    }

    /// Records where the engine has taken a message first, which was answered with the id of a later copy.
    #[cfg(test)]
    pub(crate) fn record_first_copy(&mut self, message: usize, id: Id) {
        self.messages[message].first_copy = Some(id);
    }

    pub(crate) fn answer(&mut self, message: usize, answer: Answer) {
        let text = format!("{answer:?}: {}", self.messages[message].description);
        let at = self.push(Some(message), None, text);
        (self.messages[message].answer, self.messages[message].answered) = (Some(answer), Some(at));
    }

    /// Records that messages with an id that passes this test may be lost without a report.
    #[cfg(test)]
    pub(crate) fn excuse(&mut self, is_excused: impl Fn(Id) -> bool) {
        for message in &mut self.messages {
            message.is_excused |= matches!(message.answer, Some(Answer::Acknowledged(id)) if is_excused(id));
        }
        for item in self.readers.iter().flat_map(|reader| &reader.items) {
            if let ItemKind::Message { message, id, .. } = item.kind {
                self.messages[message].is_excused |= is_excused(id);
            }
        }
    }

    /// Records that the latest values of a key are to be dropped.
    #[cfg(test)]
    pub(crate) fn forget(&mut self, key: String) {
        self.push(None, None, format!("forget {key}"));
        self.forgotten.push(key);
    }

    /// Records that everything of a key is to be removed.
    #[cfg(test)]
    pub(crate) fn remove(&mut self, key: String) {
        self.push(None, None, format!("remove {key}"));
        self.removed.push(key);
    }

    pub(crate) fn open(&mut self, name: String, keys: Option<Vec<String>>) -> usize {
        let reader = self.readers.len();
        let opened = self.push(None, Some(reader), format!("{name}: opened"));
        self.readers.push(ReaderRecord { name, keys, opened, is_ended: false, finish: None, items: Vec::new() });
        reader
    }

    /// Records that a reader which had ended starts over, and returns its new index.
    pub(crate) fn reopen(&mut self, reader: usize) -> usize {
        let ReaderRecord { name, keys, .. } = &self.readers[reader];
        let (name, keys) = (name.clone(), keys.clone());
        self.open(name, keys)
    }

    pub(crate) fn receive(&mut self, reader: usize, description: Description, id: Id, with_id: bool) {
        let name = &self.readers[reader].name;
        let without_id = if with_id { "" } else { " without its id" };
        let text = format!("{name}: received {id} {description}{without_id}");
        let is_ephemeral = description.is_ephemeral;
        let message = self.message(description);
        let at = self.push(Some(message), Some(reader), text);
        let kind =
            if is_ephemeral { ItemKind::Ephemeral { message, id } } else { ItemKind::Message { message, id, with_id } };
        self.readers[reader].items.push(Item { at, kind });
    }

    /// Returns how much time has passed between two moments.
    pub(super) fn time_between(&self, first: usize, second: usize) -> Duration {
        self.events[second].at.saturating_duration_since(self.events[first].at)
    }

    pub(crate) fn gap(&mut self, reader: usize, reason: GapReason) {
        self.item(reader, ItemKind::Gap(reason), format_args!("gap {reason}"));
    }

    pub(crate) fn position(&mut self, reader: usize, id: Id) {
        self.item(reader, ItemKind::Position(id), format_args!("position {id}"));
    }

    /// Records that a reader is told of the finish of a key; without a key, of the last of its keys.
    pub(crate) fn finished(&mut self, reader: usize, key: Option<&str>, id: Id, with_id: bool) {
        let last = || self.readers[reader].keys.as_ref().and_then(|keys| keys.first().cloned()).unwrap_or_default();
        let name = key.map_or_else(last, str::to_owned);
        let known = self.finished.iter().position(|finished| *finished == name);
        let index = known.unwrap_or_else(|| {
            self.finished.push(name.clone());
            self.finished.len() - 1
        });
        self.item(reader, ItemKind::Finished { key: index, id, with_id }, format_args!("finished {id} {name}"));
        if key.is_none() {
            self.readers[reader].finish = Some(id);
        }
    }

    /// Records that a reader is told that a value has expired.
    pub(crate) fn expired(&mut self, reader: usize, description: Description, (value, id): (Id, Id), with_id: bool) {
        let text = format!("expired {id} {description}");
        let message = self.message(description);
        self.item(reader, ItemKind::Expired { message, value, id, with_id }, format_args!("{text}"));
    }

    /// Returns the time of a moment.
    pub(super) fn time_of(&self, moment: usize) -> Instant {
        self.events[moment].at
    }

    pub(crate) fn resume(&mut self, reader: usize) {
        self.readers[reader].finish = None;
        self.item(reader, ItemKind::Resumed, format_args!("resumed"));
        self.readers[reader].is_ended = false;
    }

    fn item(&mut self, reader: usize, kind: ItemKind, text: fmt::Arguments<'_>) {
        let text = format!("{}: {text}", self.readers[reader].name);
        let at = self.push(None, Some(reader), text);
        self.readers[reader].items.push(Item { at, kind });
    }

    pub(crate) fn end(&mut self, reader: usize) {
        let text = format!("{}: cut off", self.readers[reader].name);
        self.push(None, Some(reader), text);
        self.readers[reader].is_ended = true;
    }

    /// Adds a line about all messages and readers.
    #[cfg(test)]
    pub(crate) fn note(&mut self, text: String) {
        self.push(None, None, text);
    }

    /// Returns the newest lines about these messages and readers.
    pub(super) fn transcript(&self, messages: &[usize], readers: &[usize]) -> String {
        let is_told = |line: &&Line| match (line.message, line.reader) {
            (Some(message), None) => messages.contains(&message),
            (None, Some(reader)) => readers.contains(&reader),
            (Some(message), Some(reader)) => messages.contains(&message) || readers.contains(&reader),
            (None, None) => true,
        };
        let told: Vec<&Line> = self.events.iter().filter(is_told).collect();
        let Some(start) = self.events.first().map(|line| line.at) else { return String::new() };
        let mut transcript = String::new();
        for line in &told[told.len().saturating_sub(TRANSCRIPT_LINES_MAX)..] {
            let milliseconds = line.at.saturating_duration_since(start).as_millis();
            writeln!(transcript, "{milliseconds:>7} ms  {}", line.text).expect("writing to a string cannot fail");
        }
        transcript
    }
}

impl ReaderRecord {
    pub(super) fn reads(&self, description: &Description) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&description.key))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.event_name {
            write!(f, "{name} ")?;
        }
        f.write_str(&self.data)
    }
}
