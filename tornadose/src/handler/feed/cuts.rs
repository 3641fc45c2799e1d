//! A stream that is cut at every byte, and resumed. Nothing is lost, and no event with an id arrives twice.

use std::collections::BTreeSet;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use serde_json::Value;

use super::{Feed, FeedItem};
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::{Format, Sse, Ws};
use crate::message::{Keys, Message, Retention};
use crate::store::Store;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

/// A message whose text is its own number, which is its offset in the log.
struct Note {
    number: u64,
    key: char,
    latest: bool,
}

impl Message for Note {
    type Key = char;
    const CAPACITY: usize = 4;
    const CHANNEL: &'static str = "notes";
    fn key(&self) -> char {
        self.key
    }
    fn retention(&self) -> Retention {
        if self.latest { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(&self.number)
    }
}

/// A subscriber of everything but multiples of nine.
struct Reads;

impl Subscriber for Reads {
    type Message = Note;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<char> {
        Keys::All
    }
    fn filter(&self, message: &Note) -> bool {
        !message.number.is_multiple_of(9)
    }
}

/// What a client has parsed from the bytes that reached it.
#[derive(Default)]
struct Seeing {
    last_id: Option<String>,
    /// The events up to the newest id, and those without one since then.
    settled: BTreeSet<u64>,
    loose: BTreeSet<u64>,
    gaps: usize,
}

impl Seeing {
    fn event(&mut self, id: Option<&str>, name: Option<&str>, data: Option<&str>) {
        match (name, data) {
            (Some("tornadose:gap"), _) => self.gaps += 1,
            (_, Some(number)) => {
                let number = number.parse().unwrap();
                assert!(!self.settled.contains(&number), "{number} came twice, and had its id");
                self.loose.insert(number);
            }
            _ => {}
        }
        if let Some(id) = id {
            self.last_id = Some(id.to_owned());
            self.settled.append(&mut self.loose);
        }
    }
}

/// Parses bytes as the standards demand of a client, as far as they are complete.
trait Client: Format {
    fn read(bytes: &[u8], seeing: &mut Seeing);
}

impl Client for Sse {
    fn read(bytes: &[u8], seeing: &mut Seeing) {
        let text = std::str::from_utf8(bytes).unwrap();
        // Text after the last blank line was cut, and is never dispatched.
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for block in whole.split("\n\n").filter(|block| !block.is_empty()) {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            seeing.event(field("id"), field("event"), field("data"));
        }
    }
}

impl Client for Ws {
    fn read(mut bytes: &[u8], seeing: &mut Seeing) {
        // Every frame here is a text of less than 126 bytes.
        while let [0x81, length, rest @ ..] = bytes
            && let Some((text, rest)) = rest.split_at_checked(usize::from(*length))
        {
            let frame: Value = serde_json::from_slice(text).unwrap();
            let data = frame.get("data").map(Value::to_string);
            seeing.event(frame["id"].as_str(), frame["event"].as_str(), data.as_deref());
            bytes = rest;
        }
    }
}

/// A store, and the messages that were submitted to it.
struct Told {
    store: Store<Note>,
    queue: Vec<(char, u64)>,
    number: u64,
}

impl Told {
    fn submit(&mut self, key: char, latest: bool) {
        self.number += 1;
        if !latest {
            self.queue.push((key, self.number));
        }
        self.store.try_submit(Note { number: self.number, key, latest }).unwrap();
    }

    fn read<F: Client>(&self, keys: &Keys<char>, id: Option<&str>, replay: usize) -> (Vec<u8>, Feed<Note>) {
        let seen = id.map_or(Resume::New, Resume::after_text);
        let reader = Reader::open(
            self.store.shared(),
            keys.clone(),
            seen,
            ReaderOptions { replay, kind: ReaderKind::Sse, gets_snapshots: true },
        );
        let record = ConnectionRecord::open(Transport::Sse, 1, &reader);
        let mut feed = Feed::new(reader, record, Lag::Skip);
        (rest::<F>(&mut feed), feed)
    }
}

fn rest<F: Client>(feed: &mut Feed<Note>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let FeedItem::Bytes(piece) = feed.next::<F>(&mut Reads, &NOOP_WAKER) {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// Cuts the stream that begins after `id` at every byte, including the live part.
fn check<F: Client>(keys: &Keys<char>, id: impl Fn(&Told) -> Option<String>, replay: usize) {
    let mut told = Told { store: Store::new(), queue: Vec::new(), number: 0 };
    // Key `a` is trimmed far beyond what is kept of `b`, so that the kept state of both begins without ids.
    for (key, latest) in [('b', false), ('a', true), ('b', false), ('c', false)] {
        told.submit(key, latest);
    }
    let before = told.store.head().to_string();
    for _ in 0..6 {
        told.submit('a', false);
    }
    let id = id(&told).map(|id| id.replace("BEFORE", &before));
    let (mut stream, mut feed) = told.read::<F>(keys, id.as_deref(), replay);
    for (key, latest) in [('a', false), ('c', true), ('b', true), ('a', true), ('b', false)] {
        told.submit(key, latest);
        stream.extend(rest::<F>(&mut feed));
    }
    let mut first = Seeing::default();
    F::read(&stream, &mut first);
    let owed: BTreeSet<u64> = (&first.settled | &first.loose).into_iter().collect();
    assert!(owed.len() >= 2, "there is something to lose: {owed:?}");

    for cut in 0..=stream.len() {
        let mut seeing = Seeing { last_id: id.clone(), ..Seeing::default() };
        F::read(&stream[..cut], &mut seeing);
        seeing.loose.clear();
        let (resumed, _feed) = told.read::<F>(keys, seeing.last_id.as_deref(), replay);
        let (gaps, had_a_position) = (seeing.gaps, seeing.last_id.is_some());
        F::read(&resumed, &mut seeing);
        let has = &seeing.settled | &seeing.loose;
        let queued = |number: &u64| told.queue.iter().any(|(_, queued)| queued == number);
        // A latest message may have been replaced by a newer one, and a second gap reports what was trimmed
        // meanwhile.
        let lost: Vec<u64> = (&owed - &has).into_iter().filter(queued).collect();
        assert!(lost.is_empty() || seeing.gaps > gaps || !had_a_position, "cut at {cut}: {lost:?} lost");
        let kept: Vec<u64> = lost.into_iter().filter(|number| is_kept(&told, *number)).collect();
        assert!(kept.is_empty() || !had_a_position, "cut at {cut}: {kept:?} are kept, and did not come");
    }
}

fn is_kept(told: &Told, number: u64) -> bool {
    let (key, _) = told.queue.iter().find(|(_, queued)| *queued == number).unwrap();
    told.queue.iter().rev().filter(|(of, _)| of == key).take(Note::CAPACITY).any(|(_, queued)| *queued == number)
}

#[test]
fn a_stream_can_be_cut_at_any_byte() {
    for keys in [Keys::One('a'), Keys::Set(vec!['a', 'b']), Keys::All] {
        for replay in [0, 3, 100] {
            let fresh = |_: &Told| None;
            let resumed = |told: &Told| Some(told.store.head().to_string());
            let trimmed = |_: &Told| Some("BEFORE".to_owned());
            let unknown = |_: &Told| Some("abcdefgh-1".to_owned());
            check::<Sse>(&keys, fresh, replay);
            check::<Ws>(&keys, fresh, replay);
            check::<Sse>(&keys, resumed, replay);
            check::<Ws>(&keys, resumed, replay);
            check::<Sse>(&keys, trimmed, replay);
            check::<Ws>(&keys, trimmed, replay);
            check::<Sse>(&keys, unknown, replay);
            check::<Ws>(&keys, unknown, replay);
        }
    }
}
