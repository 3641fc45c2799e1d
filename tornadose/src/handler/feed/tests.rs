//! A message is encoded once, whoever reads it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use salvo::http::StatusError;
use salvo::{Depot, Request};

use super::*;
use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::record::Transport;
use crate::handler::feed::format::Sse;
use crate::message::{Keys, NoKey, Retention};
use crate::store::Store;
use crate::store::entry::Encoding;
use crate::store::gap::Gap;
use crate::store::reader::ReaderOptions;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static ENCODED: AtomicUsize = AtomicUsize::new(0);

struct Line;

impl Message for Line {
    type Key = NoKey;
    const CAPACITY: usize = 8;
    const CHANNEL: &'static str = "lines";
    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        ASKED.fetch_add(1, Relaxed);
        Ok(Event::text("x"))
    }
}

struct Reads;

impl Subscriber for Reads {
    type Message = Line;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<NoKey> {
        Keys::One(NoKey)
    }
}

/// Server-Sent Events, counted.
struct Counted;

impl Encoding for Counted {
    const SLOT: usize = <Sse>::SLOT;
    fn encode(id: Option<Id>, event: &Event) -> Bytes {
        ENCODED.fetch_add(1, Relaxed);
        <Sse>::encode(id, event)
    }
    fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
        <Sse>::join(pieces)
    }
}

impl Format for Counted {
    fn share(encoded: &Bytes) -> Bytes {
        <Sse>::share(encoded)
    }
    fn append(out: &mut BytesMut, encoded: &Bytes) {
        <Sse>::append(out, encoded);
    }
    fn without_id<T>(out: &mut BytesMut, entry: &Entry<T>) {
        <Sse>::append(out, entry.encoded::<Self>());
    }
    fn position(out: &mut BytesMut, id: Id) {
        <Sse>::position(out, id);
    }
    fn gap(out: &mut BytesMut, gap: Gap) {
        <Sse>::gap(out, gap);
    }
    fn loaded(out: &mut BytesMut, event: &Event) {
        <Sse>::loaded(out, event);
    }
    fn notice(out: &mut BytesMut, id: Option<Id>, name: &str, json: &str) {
        <Sse>::notice(out, id, name, json);
    }
}

fn feeds(store: &Store<Line>, number: usize) -> Vec<Feed<Line>> {
    let terms = ReaderOptions { replay: 100, kind: ReaderKind::Sse, gets_snapshots: true };
    let open = || {
        let reader = Reader::open(store.shared(), Keys::One(NoKey), Resume::New, terms);
        let record = ConnectionRecord::open(Transport::Sse, 1, &reader);
        Feed::new(reader, record, Lag::Skip)
    };
    (0..number).map(|_| open()).collect()
}

fn read(feed: &mut Feed<Line>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while let FeedItem::Bytes(bytes) = feed.next::<Counted>(&mut Reads, &NOOP_WAKER) {
        pieces.push(bytes);
    }
    pieces
}

#[test]
fn a_message_is_encoded_once_for_all_its_readers() {
    let store = Store::new();
    let mut live = feeds(&store, 100);
    for feed in &mut live {
        read(feed);
    }
    for burst in [1, 5, 1, 8] {
        let before = (ASKED.load(Relaxed), ENCODED.load(Relaxed));
        for _ in 0..burst {
            store.try_submit(Line).unwrap();
        }
        let shared = read(&mut live[0]).remove(0);
        for feed in &mut live[1..] {
            let pieces = read(feed);
            // One piece, in the same memory as the first reader's.
            assert_eq!((pieces.len(), pieces[0].as_ptr()), (1, shared.as_ptr()));
        }
        // Ten readers that open later.
        for feed in &mut feeds(&store, 10) {
            assert!(!read(feed).is_empty());
        }
        assert_eq!((ASKED.load(Relaxed), ENCODED.load(Relaxed)), (before.0 + burst, before.1 + burst));
    }
}
