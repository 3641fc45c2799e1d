//! A subscriber's messages as the bytes of a transport: filter, position frames, gaps. The callers have the sockets
//! and timers.
//!
//! # Ordering
//!
//! Bytes are returned in log order. A position frame comes after everything that it covers.
//!
//! # Lagging
//!
//! A gap is written in the place of the missing messages.
//!
//! # Closing
//!
//! A feed ends with its reader. The last frame of a connection is its transport's.

pub(crate) mod format;
mod throttle;
mod load;
mod watch;
mod load_watched;

use std::mem::offset_of;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::handler::connection::record::{CloseReason, CloseReasonCell, ConnectionRecord};
use crate::handler::feed::format::Format;
use crate::handler::feed::throttle::Throttle;
use crate::handler::served::{ConnectionKind, Served};
use crate::id::{Id, Offset};
use crate::message::Message;
use crate::metrics;
use crate::store::end::{EndReason, EndState};
use crate::store::entry::Entry;
use crate::store::gap::{Gap, GapReason};
use crate::store::log::batch::Batch;
use crate::store::observers::ObservedEvent;
use crate::store::reader::throttled::Throttled;
use crate::store::reader::{ReadStep, Reader};
use crate::subscriber::options::Lag;

/// From this size on a piece is returned, though more messages may be ready.
const FLUSH_BYTES: usize = 64 << 10;

pub(crate) enum FeedItem {
    Bytes(Bytes),
    /// No message is ready. The waker is registered for the next.
    Pending,
    Ended(EndReason),
    /// The connection ends, because its state cannot be loaded. That is logged already.
    NotLoaded(CloseReason),
}

/// Turns the messages of a reader into bytes.
///
/// The fields that each message touches are first, in one cache line.
#[repr(C)]
pub(crate) struct Feed<M: Message> {
    /// The newest position that was written to the client.
    written: Option<Offset>,
    /// How many messages the filter has skipped since then.
    filtered_since_position: usize,
    /// Whether the reader has read up to the head of the log.
    is_at_head: bool,
    /// Whether a message may be returned as it is: the buffer is empty, and the reader has not lagged.
    fast_path: bool,
    /// Whether the end of a value, or a snapshot, is in the buffer.
    has_expired: bool,
    /// Why the connection ends after what is in the buffer: it has lagged, or its keys are finished.
    ending: Option<EndReason>,
    lag: Lag,
    reader: Reader<M>,
    record: ConnectionRecord,
    /// Bytes that are written before anything else.
    buffer: BytesMut,
    /// How many messages are in the buffer.
    buffered: usize,
    throttle: Option<Box<Throttle>>,
}

impl<M: Message> Feed<M> {
    pub(crate) fn new(reader: Reader<M>, record: ConnectionRecord, lag: Lag) -> Self {
        const { assert!(offset_of!(Self, reader) <= 64) }
        Self {
            written: None,
            filtered_since_position: 0,
            is_at_head: false,
            fast_path: true,
            has_expired: false,
            ending: None,
            lag,
            reader,
            record,
            buffer: BytesMut::new(),
            buffered: 0,
            throttle: None,
        }
    }

    /// Makes the feed return messages at most once per period. What is ready together is returned together.
    pub(crate) fn with_throttle(mut self, period: Duration) -> Self {
        self.throttle = Some(Box::new(Throttle::new(period)));
        self.fast_path = false;
        self
    }

    /// Sets the bytes that the client is sent before anything else.
    pub(crate) fn begin_with(&mut self, mut prologue: BytesMut) {
        self.fast_path = false;
        prologue.extend_from_slice(&self.buffer);
        self.buffer = prologue;
    }

    /// Ends the throttle of a connection that is about to end, so that [`next`](Self::next) returns what waits. Returns
    /// whether anything may wait.
    pub(crate) fn end_throttle(&mut self) -> bool {
        self.throttle.take().is_some_and(|throttle| throttle.is_waiting())
    }

    /// Marks the connection as one that owns its socket.
    pub(crate) fn mark_detached(&mut self) {
        self.record.mark_detached();
    }

    pub(crate) fn record(&self) -> &ConnectionRecord {
        &self.record
    }

    pub(crate) fn close_reason(&self) -> &CloseReasonCell {
        self.record.close_reason()
    }

    pub(crate) fn reader(&self) -> &Reader<M> {
        &self.reader
    }

    /// As [`Reader::poll_ended`].
    pub(crate) fn poll_ended(&mut self, waker: &Waker) -> Option<EndState> {
        self.reader.poll_ended(waker)
    }

    /// Returns whether nothing is ready, and registers the waker then. [`next`](Self::next) would return the same, at
    /// a higher cost.
    pub(crate) fn try_park(&mut self, waker: &Waker) -> bool {
        let parked = self.fast_path && self.reader.try_park(waker);
        self.is_at_head |= parked;
        parked
    }

    /// Returns the next bytes: everything that is ready, in one piece. This reads the log even when the feed could
    /// [park](Self::try_park), and so updates the position, which moves with messages of other keys too.
    pub(crate) fn next<F: Format>(&mut self, subscriber: &mut dyn Served<M>, waker: &Waker) -> FeedItem {
        let next = if self.fast_path { self.reader.poll_mailbox(waker) } else { None };
        if let Some(entry) = &next {
            self.is_at_head = false;
            if subscriber.filter(&entry.message) {
                self.set_written(entry.offset());
                self.count_delivered(1);
                return FeedItem::Bytes(F::share(entry.encoded::<F>()));
            }
            self.skip_filtered::<F>(entry, true);
        }
        let kind = subscriber.kind();
        let mut step = None;
        if next.is_none() && self.ending.is_none() {
            if let Some(item) = self.load_or_watch::<F>(kind, subscriber, waker) {
                return item;
            }
            // Loaded messages do not wait.
            let may_wait = self.throttle.is_some() && (!kind.loads() || self.buffer.is_empty());
            if may_wait && self.poll_throttled(waker) {
                return FeedItem::Pending;
            }
            step = Some(self.reader.poll_log(waker));
        }
        let mut item = self.assemble::<F>(step, kind, subscriber, waker);
        if kind.watches()
            && matches!(item, FeedItem::Pending)
            && subscriber.watches_mut().is_some_and(|watches| watches.is_open())
        {
            item = self.watch_again::<F>(kind, subscriber, waker);
        }
        self.fast_path = self.buffer.is_empty() && self.ending.is_none() && self.throttle.is_none();
        if kind != ConnectionKind::Plain {
            let is_loading = subscriber.loads_mut().is_some_and(|loads| loads.is_open());
            self.fast_path &= !is_loading && !subscriber.watches_mut().is_some_and(|watches| watches.is_open());
        }
        if let (Some(throttle), FeedItem::Pending) = (&mut self.throttle, &item) {
            throttle.record_all_written();
        }
        item
    }

    /// Brings the loads or requests of the connection on. Returns `None` when messages of the log are next.
    #[inline]
    fn load_or_watch<F: Format>(
        &mut self,
        kind: ConnectionKind,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> Option<FeedItem> {
        if kind.loads()
            && let Some(item) = self.load::<F>(subscriber, waker)
        {
            return Some(item);
        }
        if !kind.watches() || !subscriber.watches_mut().is_some_and(|watches| watches.is_open()) {
            return None;
        }
        let item = self.watch::<F>(subscriber, waker);
        // An unwatch may have reported a gap, after which a load is due.
        if item.is_none() && kind.loads() { self.load::<F>(subscriber, waker) } else { item }
    }

    /// Returns whether messages have to wait. The waker is registered then.
    #[cold]
    fn poll_throttled(&mut self, waker: &Waker) -> bool {
        let Some(throttle) = &mut self.throttle else { return false };
        if !throttle.poll_waiting(waker) {
            return false;
        }
        match self.reader.poll_throttled(waker) {
            Throttled::Waits { has_unread } => {
                self.is_at_head = !has_unread;
                true
            }
            Throttled::IsEnding | Throttled::IsDue => {
                throttle.release();
                false
            }
        }
    }

    // A function of its own, so that the common case of one message does not pay for this one's stack frame.
    #[inline(never)]
    fn assemble<F: Format>(
        &mut self,
        mut step: Option<ReadStep<M>>,
        kind: ConnectionKind,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> FeedItem {
        loop {
            if step.is_none() && self.buffer.len() >= FLUSH_BYTES {
                return self.take_buffer::<F>();
            }
            if let Some(end) = self.ending {
                return if self.buffer.is_empty() { FeedItem::Ended(end) } else { self.take_buffer::<F>() };
            }
            match step.take().unwrap_or_else(|| self.reader.poll(waker)) {
                ReadStep::Ended(end) => {
                    return if self.buffer.is_empty() { FeedItem::Ended(end) } else { self.take_buffer::<F>() };
                }
                ReadStep::Gap(gap) => {
                    self.report_gap::<F>(gap);
                    if kind.loads()
                        && let Some(item) = self.load_again::<F>(subscriber, waker)
                    {
                        return item;
                    }
                }
                ReadStep::Batch { position, batch, with_ids } => {
                    self.is_at_head = false;
                    if let Some(id) = position {
                        self.write_position::<F>(id);
                    }
                    if let Some(shared) = self.write_batch::<F>(&*subscriber, &batch, with_ids) {
                        return FeedItem::Bytes(shared);
                    }
                }
                ReadStep::Finished { position, id, with_id, key } => {
                    self.is_at_head = false;
                    if let Some(id) = position {
                        self.write_position::<F>(id);
                    }
                    let json = key.as_ref().map_or_else(|| "{}".into(), |key| format!("{{\"key\":{key}}}"));
                    F::notice(&mut self.buffer, Some(id).filter(|_| with_id), "tornadose:finished", &json);
                    if with_id {
                        self.set_written(id.offset);
                    }
                    if key.is_none() {
                        self.ending = Some(EndReason::Finished);
                    }
                }
                ReadStep::Expired { position, id, with_id, value } => {
                    self.is_at_head = false;
                    if let Some(id) = position {
                        self.write_position::<F>(id);
                    }
                    // The client must not learn of a value that was withheld.
                    if subscriber.filter(&value.entry.message) {
                        let id = Some(id).filter(|_| with_id);
                        F::notice(&mut self.buffer, id, "tornadose:expired", &value.json);
                        self.has_expired = true;
                        if let Some(id) = id {
                            self.set_written(id.offset);
                        }
                    }
                }
                ReadStep::Snapshot { entry, with_id, owed } => {
                    self.is_at_head = false;
                    if subscriber.filter(&entry.message) {
                        self.write_snapshot::<F>(&entry, with_id);
                    } else if let Some(reason) = owed {
                        self.report_gap::<F>(Gap { reason, missed: None });
                        if kind.loads()
                            && let Some(item) = self.load_again::<F>(subscriber, waker)
                        {
                            return item;
                        }
                    }
                }
                ReadStep::Pending => {
                    return if self.buffer.is_empty() { FeedItem::Pending } else { self.take_buffer::<F>() };
                }
                ReadStep::AtHead { head, is_first } => {
                    self.is_at_head = true;
                    if kind.loads()
                        && let Some(loads) = subscriber.loads_mut()
                    {
                        loads.record_at_head();
                    }
                    if is_first && self.written != Some(head.offset) {
                        self.write_position::<F>(head);
                    }
                    return if self.buffer.is_empty() { FeedItem::Pending } else { self.take_buffer::<F>() };
                }
            }
        }
    }

    /// Writes a gap, or ends the feed of a reader that lagged where that is so set.
    fn report_gap<F: Format>(&mut self, gap: Gap) {
        if gap.reason == GapReason::Lagged && self.lag == Lag::Close {
            self.tell_gap(gap);
            self.ending = Some(EndReason::Lagged);
        } else {
            self.write_gap::<F>(gap);
        }
    }

    /// Logs a gap, and tells those who look at the store.
    fn tell_gap(&self, gap: Gap) {
        self.record.log_gap(gap);
        self.reader.tell_observers(ObservedEvent::Gap(gap));
    }

    fn write_gap<F: Format>(&mut self, gap: Gap) {
        if !Reader::<M>::TELLS_GAPS {
            return;
        }
        self.tell_gap(gap);
        F::gap(&mut self.buffer, gap);
        self.written = None;
        self.is_at_head = false;
    }

    /// Writes the position of a client that has every message, whether it moved or not. On a WebSocket that shows
    /// that the connection is alive.
    pub(crate) fn repeat_position<F: Format>(&mut self, bytes: &mut BytesMut) {
        if self.is_at_head {
            let id = self.reader.head();
            F::position(bytes, id);
            self.set_written(id.offset);
        }
    }

    /// Writes the position of a client that has every message, if it moved.
    pub(crate) fn write_moved_position<F: Format>(&mut self, bytes: &mut BytesMut) {
        let id = self.reader.head();
        if self.is_at_head && self.written != Some(id.offset) {
            F::position(bytes, id);
            self.set_written(id.offset);
        }
    }

    /// Writes the messages that pass the filter. If all of the batch pass and the buffer is empty, returns the
    /// encoded batch instead, which all readers share.
    fn write_batch<F: Format>(
        &mut self,
        subscriber: &dyn Served<M>,
        batch: &Batch<M>,
        with_ids: bool,
    ) -> Option<Bytes> {
        let entries = batch.entries();
        let passing = subscriber.count_passing(entries);
        if with_ids && passing == entries.len() {
            // An ephemeral message writes no position.
            let written = entries.iter().rfind(|entry| !M::HAS_EPHEMERAL || !entry.is_ephemeral());
            if let Some(entry) = written {
                self.set_written(entry.offset());
            }
            if self.buffer.is_empty() {
                self.count_delivered(passing);
                self.record_written(passing);
                return Some(F::share(batch.encoded::<F>()));
            }
            self.buffered += passing;
            F::append(&mut self.buffer, batch.encoded::<F>());
            return None;
        }
        for (index, entry) in entries.iter().enumerate() {
            // The filter is called once per message: those before `passing` have passed, and the one at `passing` has
            // not.
            let passes = index < passing || (index > passing && subscriber.filter(&entry.message));
            if passes {
                self.write::<F>(entry, with_ids);
            } else {
                self.skip_filtered::<F>(entry, with_ids);
            }
        }
        None
    }

    fn write<F: Format>(&mut self, entry: &Entry<M>, with_ids: bool) {
        self.buffered += 1;
        if with_ids {
            F::append(&mut self.buffer, entry.encoded::<F>());
            if !M::HAS_EPHEMERAL || !entry.is_ephemeral() {
                self.set_written(entry.offset());
            }
        } else {
            F::without_id(&mut self.buffer, entry);
        }
    }

    fn write_snapshot<F: Format>(&mut self, entry: &Entry<M>, with_id: bool) {
        metrics::snapshot();
        self.has_expired = true;
        if with_id {
            F::append(&mut self.buffer, entry.encoded::<F>());
            self.set_written(entry.offset());
        } else {
            F::without_id(&mut self.buffer, entry);
        }
    }

    fn skip_filtered<F: Format>(&mut self, entry: &Entry<M>, with_ids: bool) {
        self.reader.record_filtered();
        if M::HAS_EPHEMERAL && entry.is_ephemeral() {
            // It trims nothing.
            return;
        }
        self.filtered_since_position += 1;
        // Often enough that the client's position is not trimmed while all its messages are filtered.
        if with_ids && self.filtered_since_position >= (self.reader.capacity() / 4).max(1) {
            self.write_position::<F>(entry.id);
        }
    }

    fn write_position<F: Format>(&mut self, id: Id) {
        F::position(&mut self.buffer, id);
        self.set_written(id.offset);
    }

    fn set_written(&mut self, offset: Offset) {
        self.written = Some(offset);
        self.filtered_since_position = 0;
    }

    fn count_delivered(&mut self, messages: usize) {
        self.reader.record_delivered(messages);
        self.reader.flush_metrics();
    }

    fn record_written(&mut self, messages: usize) {
        if let Some(throttle) = self.throttle.as_mut().filter(|_| messages > 0) {
            let through = throttle.record_written(|| self.reader.newest_offset());
            // Messages that have come meanwhile wait, or steady submits would be written one by one.
            if self.reader.has_read_through(through) {
                throttle.record_all_written();
            }
        }
    }

    fn take_buffer<F: Format>(&mut self) -> FeedItem {
        let buffered = std::mem::take(&mut self.buffered);
        self.count_delivered(buffered);
        let has_expired = std::mem::take(&mut self.has_expired);
        self.record_written(buffered + usize::from(has_expired));
        FeedItem::Bytes(F::take_bytes(std::mem::take(&mut self.buffer)))
    }
}

impl<M: Message> Drop for Feed<M> {
    fn drop(&mut self) {
        let (reason, code) = self.record.log_close(|| self.reader.balance());
        self.reader.tell_observers(ObservedEvent::Closed { reason, code });
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod cuts;

#[cfg(test)]
mod load_model;

#[cfg(test)]
mod watch_model;

#[cfg(test)]
mod snapshot_model;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod throttle_tests;
