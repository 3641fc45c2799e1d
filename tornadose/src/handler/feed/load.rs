//! The state that a connection loads from elsewhere, before what is read from the log.

use std::task::{Poll, Waker};
use std::vec;

use crate::handler::feed::format::Format;
use crate::handler::feed::{FLUSH_BYTES, Feed, FeedItem};
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::loads::{LoadPhase, Loads};
use crate::handler::served::Served;
use crate::handler::watch::key_json;
use crate::id::Id;
use crate::message::Message;
use crate::metrics;
use crate::store::end::{EndReason, EndState};
use crate::store::reader::loading::Placement;

impl<M: Message> Feed<M> {
    /// Loads after a gap that was found in the log. See [`load`](Self::load).
    #[cold]
    pub(super) fn load_again<F: Format>(&mut self, subscriber: &mut dyn Served<M>, waker: &Waker) -> Option<FeedItem> {
        if self.ending.is_some() {
            return None;
        }
        self.owe_load::<F>(subscriber);
        self.load::<F>(subscriber, waker)
    }

    /// Makes a load due after a gap of all keys, if the connection loads.
    pub(super) fn owe_load<F: Format>(&mut self, subscriber: &mut dyn Served<M>) {
        let watches = subscriber.kind().watches();
        let Some(loads) = subscriber.loads_mut() else { return };
        loads.phase = LoadPhase::Due;
        if watches {
            // The client may drop what it has at the gap, long before it is reset.
            loads.has_unknown_id = true;
            self.write_unknown_id::<F>();
        }
    }

    /// Brings a load on. Returns `None` when messages of the log are next: none is due, or what was loaded is in the
    /// buffer.
    pub(super) fn load<F: Format>(&mut self, subscriber: &mut dyn Served<M>, waker: &Waker) -> Option<FeedItem> {
        loop {
            let loads = subscriber.loads_mut()?;
            // `Done` stays when something panics below. The connection ends then.
            let phase = std::mem::replace(&mut loads.phase, LoadPhase::Done);
            if matches!(phase, LoadPhase::Done) {
                return None;
            }
            (self.fast_path, self.is_at_head) = (false, false);
            let (next, item) = self.load_step::<F>(phase, subscriber, waker);
            subscriber.loads_mut()?.phase = next;
            if item.is_some() {
                return item;
            }
        }
    }

    /// Returns the phase that follows, and what the feed returns if it has to.
    fn load_step<F: Format>(
        &mut self,
        phase: LoadPhase<M>,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> (LoadPhase<M>, Option<FeedItem>) {
        match phase {
            LoadPhase::Done => (LoadPhase::Done, None),
            LoadPhase::Undecided => match self.reader.poll_placement(waker) {
                Placement::AfterId => (LoadPhase::Done, None),
                Placement::WithKeptState => (LoadPhase::Due, None),
                Placement::Ended(end) => (phase, Some(self.flush_or::<F>(FeedItem::Ended(end)))),
                Placement::Waits => (phase, Some(self.flush_or::<F>(FeedItem::Pending))),
            },
            LoadPhase::Writing(mut messages) => match self.write_loaded::<F>(&mut messages, subscriber) {
                Some(item) => (LoadPhase::Writing(messages), Some(item)),
                None => (LoadPhase::Done, None),
            },
            phase => match self.poll_load_ended(waker) {
                Some(end) => (phase, Some(self.flush_or::<F>(FeedItem::Ended(end)))),
                None => self.run_load::<F>(phase, subscriber, waker),
            },
        }
    }

    /// Returns the end of a reader that does not wait for its load. A client whose server stops returns and loads
    /// there. One that is disconnected does not return, and first gets what it is owed.
    pub(super) fn poll_load_ended(&mut self, waker: &Waker) -> Option<EndReason> {
        match self.reader.poll_ended(waker)? {
            EndState::Draining(EndReason::Disconnected) => None,
            EndState::Draining(end) | EndState::Due(end) => Some(end),
        }
    }

    fn run_load<F: Format>(
        &mut self,
        phase: LoadPhase<M>,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> (LoadPhase<M>, Option<FeedItem>) {
        if let LoadPhase::Running = phase {
            if !self.buffer.is_empty() {
                return (phase, Some(self.take_buffer::<F>()));
            }
            return match subscriber.poll_load(waker) {
                Poll::Pending => (phase, Some(FeedItem::Pending)),
                Poll::Ready(Ok(loaded)) => (LoadPhase::Loaded(loaded), None),
                Poll::Ready(Err(failure)) => (phase, Some(FeedItem::NotLoaded(failure.close_reason()))),
            };
        }
        let has_lost = match &phase {
            LoadPhase::Loaded(loaded) => self.reader.has_lost_after(loaded.head_at_start),
            _ => false,
        };
        match self.reader.poll_gap(waker) {
            Poll::Pending => return (phase, Some(self.flush_or::<F>(FeedItem::Pending))),
            // The gap is told. What was loaded has what is missing, unless that is newer.
            Poll::Ready(Some(gap)) if !has_lost => {
                self.write_gap::<F>(gap);
                return (phase, None);
            }
            Poll::Ready(Some(gap)) => self.report_gap::<F>(gap),
            Poll::Ready(None) => {}
        }
        match phase {
            LoadPhase::Loaded(_) if has_lost => {
                metrics::loaded("dropped");
                (LoadPhase::Due, self.ending.map(|end| self.flush_or::<F>(FeedItem::Ended(end))))
            }
            LoadPhase::Loaded(loaded) => {
                let has_unknown_id =
                    subscriber.loads_mut().is_some_and(|loads| std::mem::take(&mut loads.has_unknown_id));
                let has_id = subscriber.loads_mut().is_some_and(Loads::record_reset);
                if has_id && let Some(loads) = subscriber.loads_mut() {
                    // The client drops what it had.
                    self.reader.restart_kept_state(loads.replay);
                }
                self.begin_loaded::<F>(loaded.messages, has_id && !has_unknown_id, subscriber)
            }
            _ => {
                let keys = self.reader.own_keys();
                if subscriber.kind().watches() && keys.as_ref().is_some_and(Vec::is_empty) {
                    return (LoadPhase::Done, None);
                }
                subscriber.start_load(keys.unwrap_or_default());
                (LoadPhase::Running, None)
            }
        }
    }

    fn begin_loaded<F: Format>(
        &mut self,
        messages: Vec<M>,
        has_id: bool,
        subscriber: &dyn Served<M>,
    ) -> (LoadPhase<M>, Option<FeedItem>) {
        let own_keys = if subscriber.kind().watches() { self.reader.own_keys() } else { None };
        if let Err(failure) = self.check_loaded(&messages) {
            return (LoadPhase::Done, Some(FeedItem::NotLoaded(failure.close_reason())));
        }
        metrics::loaded("delivered");
        if has_id && (own_keys.is_some() || self.reader.is_fed_by_backend()) {
            self.write_unknown_id::<F>();
        }
        match own_keys {
            // Of a key that waits the client may have what it goes on after, so the reset is not of all keys.
            Some(keys) => keys.iter().for_each(|key| self.write_reset::<F>(&key_json(subscriber, key))),
            None => F::notice(&mut self.buffer, None, "tornadose:reset", "{}"),
        }
        (LoadPhase::Writing(messages.into_iter()), None)
    }

    /// Writes an id that no log knows. A client that is cut in the middle of what follows must not go on after its own, which
    /// another process may know although this one does not, and which may be known for some of the keys that it watches.
    pub(super) fn write_unknown_id<F: Format>(&mut self) {
        F::position(&mut self.buffer, Id::NOWHERE);
        self.written = None;
    }

    /// Tells the client that the state of a key follows.
    pub(super) fn write_reset<F: Format>(&mut self, key: &str) {
        F::notice(&mut self.buffer, None, "tornadose:reset", &format!("{{\"key\":{key}}}"));
    }

    /// Writes the gaps that are told where the reader is, before the first load. Returns false when that has to wait.
    pub(crate) fn report_gaps<F: Format>(&mut self) -> bool {
        loop {
            match self.reader.poll_gap(Waker::noop()) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(gap)) => self.write_gap::<F>(gap),
            }
        }
    }

    /// Checks that the reader could have read these messages. A failure is logged.
    pub(crate) fn check_loaded(&self, messages: &[M]) -> Result<(), LoadFailure> {
        if self.reader.has_keys_of(messages) {
            return Ok(());
        }
        self.record.log_invalid_message("key");
        Err(LoadFailure::InvalidMessage)
    }

    /// Writes loaded messages, as many as go into one piece. Returns `None` when all are written.
    pub(super) fn write_loaded<F: Format>(
        &mut self,
        messages: &mut vec::IntoIter<M>,
        subscriber: &dyn Served<M>,
    ) -> Option<FeedItem> {
        let mut written = 0;
        let item = loop {
            if self.buffer.len() >= FLUSH_BYTES {
                break Some(self.take_buffer::<F>());
            }
            let Some(message) = messages.next() else { break None };
            if !subscriber.filter(&message) {
                continue;
            }
            let Ok(event) = message.event() else {
                self.record.log_invalid_message("encoding");
                break Some(FeedItem::NotLoaded(LoadFailure::InvalidMessage.close_reason()));
            };
            F::loaded(&mut self.buffer, &event);
            written += 1;
        };
        self.record.count_loaded(written);
        metrics::loaded_messages(written);
        item
    }

    /// Returns the buffer if there is anything in it, else this item.
    pub(super) fn flush_or<F: Format>(&mut self, item: FeedItem) -> FeedItem {
        if self.buffer.is_empty() { item } else { self.take_buffer::<F>() }
    }
}
