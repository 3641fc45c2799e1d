//! A subscriber's messages as the bytes of a transport: filter, positions, gaps. Sockets and timers are its callers' affair.
//!
//! # Ordering
//!
//! Bytes come in log order; a position stands behind all that it covers.
//!
//! # Lagging
//!
//! A gap is written where the missing messages would have stood.
//!
//! # Closing
//!
//! An ended reader has nothing more to say; what its connection says last is the transport's affair.

pub(crate) mod format;

use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::handler::connection::span::{Closing, Visit};
use crate::handler::feed::format::Format;
use crate::id::{Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::gap::GapReason;
use crate::store::log::batch::Batch;
use crate::store::reader::{ReadStep, Reader};
use crate::store::registry::EndReason;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

/// What is written at once, roughly, before the socket is asked again.
const AT_ONCE: usize = 64 << 10;

pub(crate) enum Fed {
    Bytes(Bytes),
    /// Nothing more for now; the waker is kept for the next message.
    Wait,
    Ended(EndReason),
}

/// Turns what a reader is given into bytes.
#[repr(C)]
pub(crate) struct Feed<M: Message> {
    /// The newest position that the client was given.
    written: Option<Offset>,
    /// How many messages the filter has withheld since.
    withheld: usize,
    /// Whether the reader has read to its end.
    caught_up: bool,
    /// Whether a message may go out as it is: nothing lies in `out`, and it has not lagged.
    plain: bool,
    /// Whether it has lagged, and is to end then.
    lagged: bool,
    lag: Lag,
    reader: Reader<M>,
    visit: Visit,
    /// What is to be written before anything else.
    out: BytesMut,
    /// How many messages are in it.
    holds: usize,
}

impl<M: Message> Feed<M> {
    pub(crate) fn new(reader: Reader<M>, visit: Visit, lag: Lag, prologue: BytesMut) -> Self {
        Self {
            written: None,
            withheld: 0,
            caught_up: false,
            plain: prologue.is_empty(),
            lagged: false,
            lag,
            reader,
            visit,
            out: prologue,
            holds: 0,
        }
    }

    pub(crate) fn visit(&self) -> &Visit {
        &self.visit
    }

    pub(crate) fn closing(&self) -> &Closing {
        self.visit.closing()
    }

    pub(crate) fn reader(&self) -> &Reader<M> {
        &self.reader
    }

    /// Whether there is nothing new and nothing left to write; its waker is kept then. What `next` would say too, for less.
    pub(crate) fn rests(&mut self, waker: &Waker) -> bool {
        let rests = self.plain && self.reader.try_park(waker);
        self.caught_up |= rests;
        rests
    }

    /// The next bytes, all that is ready together in one piece. The store is asked, though the feed may [rest](Self::rests): so the
    /// position is known anew, which moves with messages of other keys too.
    pub(crate) fn next<F: Format>(&mut self, subscriber: &impl Subscriber<Message = M>, waker: &Waker) -> Fed {
        let live = if self.plain { self.reader.poll_mailbox(waker) } else { None };
        let step = match live {
            Some(entry) => {
                self.caught_up = false;
                if subscriber.filter(&entry.message) {
                    self.settled(entry.offset());
                    self.hands_out(1);
                    return Fed::Bytes(F::shared(entry.encoded::<F>()));
                }
                self.withhold::<F>(&entry, true);
                None
            }
            None if self.lagged => None,
            None => Some(self.reader.poll_log(waker)),
        };
        let fed = self.next_after::<F>(step, subscriber, waker);
        self.plain = self.out.is_empty() && !self.lagged;
        fed
    }

    // Apart, so that the one message that most turns bring does not pay for its room.
    #[inline(never)]
    fn next_after<F: Format>(
        &mut self,
        mut step: Option<ReadStep<M>>,
        subscriber: &impl Subscriber<Message = M>,
        waker: &Waker,
    ) -> Fed {
        loop {
            if step.is_none() && self.out.len() >= AT_ONCE {
                return self.take::<F>();
            }
            if self.lagged {
                return if self.out.is_empty() { Fed::Ended(EndReason::Lagged) } else { self.take::<F>() };
            }
            match step.take().unwrap_or_else(|| self.reader.poll(waker)) {
                ReadStep::Ended(end) => return if self.out.is_empty() { Fed::Ended(end) } else { self.take::<F>() },
                ReadStep::Gap(gap) if gap.reason == GapReason::Lagged && self.lag == Lag::Close => {
                    self.visit.has_gap(gap);
                    self.lagged = true;
                }
                ReadStep::Gap(gap) => {
                    self.visit.has_gap(gap);
                    F::gap(&mut self.out, gap);
                    self.written = None;
                    self.caught_up = false;
                }
                ReadStep::Batch { position, batch, with_ids } => {
                    self.caught_up = false;
                    if let Some(id) = position {
                        self.position::<F>(id);
                    }
                    if let Some(shared) = self.run::<F>(subscriber, &batch, with_ids) {
                        return Fed::Bytes(shared);
                    }
                }
                ReadStep::Pending => return if self.out.is_empty() { Fed::Wait } else { self.take::<F>() },
                ReadStep::CaughtUp { head, is_first } => {
                    self.caught_up = true;
                    if is_first && self.written != Some(head.offset) {
                        self.position::<F>(head);
                    }
                    return if self.out.is_empty() { Fed::Wait } else { self.take::<F>() };
                }
            }
        }
    }

    /// The position of a client that has all that it is owed, moved or not: on a WebSocket it shows that the line is alive.
    pub(crate) fn position_again<F: Format>(&mut self, out: &mut BytesMut) {
        if self.caught_up {
            let id = self.reader.head();
            F::position(out, id);
            self.settled(id.offset);
        }
    }

    /// A position for a client that has all up to its reader's place but has not been told so.
    pub(crate) fn bookmark<F: Format>(&mut self, out: &mut BytesMut) {
        let id = self.reader.head();
        if self.caught_up && self.written != Some(id.offset) {
            F::position(out, id);
            self.settled(id.offset);
        }
    }

    /// Writes what the filter lets through. When that is all of a run and nothing stands before it, answers the bytes that
    /// all readers at this place share instead.
    fn run<F: Format>(
        &mut self,
        subscriber: &impl Subscriber<Message = M>,
        run: &Batch<M>,
        numbered: bool,
    ) -> Option<Bytes> {
        let entries = run.entries();
        let through = entries.iter().take_while(|entry| subscriber.filter(&entry.message)).count();
        if numbered && through == entries.len() {
            self.settled(entries[through - 1].offset());
            if self.out.is_empty() {
                self.hands_out(through);
                return Some(F::shared(run.encoded::<F>()));
            }
            self.holds += through;
            F::append(&mut self.out, run.encoded::<F>());
            return None;
        }
        for (place, entry) in entries.iter().enumerate() {
            // Asked once per message: those before `through` have passed, the one there has not.
            let passes = place < through || (place > through && subscriber.filter(&entry.message));
            if passes {
                self.write::<F>(entry, numbered);
            } else {
                self.withhold::<F>(entry, numbered);
            }
        }
        None
    }

    fn write<F: Format>(&mut self, entry: &Entry<M>, numbered: bool) {
        self.holds += 1;
        if numbered {
            F::append(&mut self.out, entry.encoded::<F>());
            self.settled(entry.offset());
        } else {
            F::without_id(&mut self.out, entry);
        }
    }

    fn withhold<F: Format>(&mut self, entry: &Entry<M>, numbered: bool) {
        self.reader.record_filtered();
        self.withheld += 1;
        if numbered && self.withheld >= (self.reader.capacity() / 4).max(1) {
            self.position::<F>(entry.id);
        }
    }

    fn position<F: Format>(&mut self, id: Id) {
        F::position(&mut self.out, id);
        self.settled(id.offset);
    }

    fn settled(&mut self, offset: Offset) {
        self.written = Some(offset);
        self.withheld = 0;
    }

    fn hands_out(&mut self, messages: usize) {
        self.reader.record_delivered(messages);
        self.reader.flush_metrics();
    }

    fn take<F: Format>(&mut self) -> Fed {
        let holds = std::mem::take(&mut self.holds);
        self.hands_out(holds);
        Fed::Bytes(F::own(std::mem::take(&mut self.out)))
    }
}

impl<M: Message> Drop for Feed<M> {
    fn drop(&mut self) {
        self.visit.closes(|| self.reader.balance());
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod cuts;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use salvo::http::StatusError;
    use salvo::{Depot, Request};

    use super::*;
    use crate::event::Event;
    use crate::event::error::EncodeError;
    use crate::handler::feed::format::Sse;
    use crate::message::{Keys, NoKey, Retention};
    use crate::store::Store;
    use crate::store::entry::Encoding;
    use crate::store::gap::Gap;
    use crate::store::reader::ReaderOptions;
    use crate::store::reader::mailbox::NOOP_WAKER;
    use crate::store::reader::resume::Resume;

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
        fn encode(id: Id, event: &Event) -> Bytes {
            ENCODED.fetch_add(1, Relaxed);
            <Sse>::encode(id, event)
        }
        fn join<'a>(pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
            <Sse>::join(pieces)
        }
    }

    impl Format for Counted {
        fn shared(encoded: &Bytes) -> Bytes {
            <Sse>::shared(encoded)
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
    }

    fn feeds(store: &Store<Line>, number: usize) -> Vec<Feed<Line>> {
        let terms = ReaderOptions { replay: 100, is_connection: true };
        let open = || {
            let reader = Reader::open(store.shared(), Keys::One(NoKey), Resume::New, terms);
            let visit = Visit::opens("sse", 1, &reader);
            Feed::new(reader, visit, Lag::Skip, BytesMut::new())
        };
        (0..number).map(|_| open()).collect()
    }

    fn read(feed: &mut Feed<Line>) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while let Fed::Bytes(bytes) = feed.next::<Counted>(&Reads, &NOOP_WAKER) {
            pieces.push(bytes);
        }
        pieces
    }

    #[test]
    fn a_message_is_asked_and_encoded_once_for_all_its_readers() {
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
                // One piece, and the very bytes that the first reader got.
                assert_eq!((pieces.len(), pieces[0].as_ptr()), (1, shared.as_ptr()));
            }
            // Some that come late, and one of them at a place of its own.
            for feed in &mut feeds(&store, 10) {
                assert!(!read(feed).is_empty());
            }
            assert_eq!((ASKED.load(Relaxed), ENCODED.load(Relaxed)), (before.0 + burst, before.1 + burst));
        }
    }
}
