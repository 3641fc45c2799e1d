//! What a feed writes of the keys that its client watches: the past of each key, the reader's position, and the
//! confirmation. Nothing else is read until they are written.

use std::task::{Poll, Waker, ready};

use crate::handler::feed::format::Format;
use crate::handler::feed::{FLUSH_BYTES, Feed, FeedItem};
use crate::handler::served::{ConnectionKind, Served};
use crate::handler::watch::watches::{Block, KeyLoad, KeyPast, NamedKey, Request, WatchRequest, Watches};
use crate::id::Id;
use crate::message::Message;
use crate::metrics;
use crate::store::end::EndReason;
use crate::store::gap::{Gap, GapReason};
use crate::store::log::batch::Batch;
use crate::store::log::past::PastStep;
use crate::store::reader::Reader;
use crate::store::reader::watching::Pasts;
use crate::subscriber::options::Lag;

impl<M: Message> Feed<M> {
    /// Makes the feed look at what its client has asked for next.
    pub(crate) fn begin_request(&mut self) {
        self.fast_path = false;
    }

    /// Brings the client's requests on. Returns `None` when messages of the log are next.
    #[cold]
    pub(super) fn watch<F: Format>(&mut self, subscriber: &mut dyn Served<M>, waker: &Waker) -> Option<FeedItem> {
        (self.fast_path, self.is_at_head) = (false, false);
        let has_load = subscriber.kind().loads();
        loop {
            let watches = subscriber.watches_mut()?;
            if let Some(mut block) = watches.take_block() {
                if let Some(item) = self.write_block::<F>(&mut block, subscriber, waker) {
                    subscriber.watches_mut()?.set_block(block);
                    return Some(item);
                }
                continue;
            }
            if let Some(block) = self.next_block(watches, has_load, waker) {
                watches.set_block(block);
                if let Some(loads) = subscriber.loads_mut() {
                    loads.record_request();
                }
                continue;
            }
            match watches.take_request() {
                None => return self.take_unthrottled::<F>(),
                Some(Request::Watch(request)) => watches.waiting.push(request),
                Some(Request::Unwatch(keys)) => match self.unwatch::<F>(subscriber, &keys, waker) {
                    Poll::Ready(None) => {}
                    Poll::Ready(Some(end)) => return Some(end),
                    Poll::Pending => {
                        subscriber.watches_mut()?.set_request(Request::Unwatch(keys));
                        return self.take_unthrottled::<F>();
                    }
                },
            }
            if subscriber.loads_mut().is_some_and(|loads| loads.is_open()) {
                return self.take_unthrottled::<F>();
            }
        }
    }

    /// Brings the client's requests on once more, where nothing was written of what the reader has read meanwhile: a
    /// request may have waited for that, and nothing else wakes the feed. What comes from here on does.
    #[cold]
    pub(super) fn watch_again<F: Format>(
        &mut self,
        kind: ConnectionKind,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> FeedItem {
        if let Some(item) = self.load_or_watch::<F>(kind, subscriber, waker) {
            return item;
        }
        let step = self.reader.poll_log(waker);
        self.assemble::<F>(Some(step), kind, subscriber, waker)
    }

    /// Takes what is written and does not wait for a throttle.
    fn take_unthrottled<F: Format>(&mut self) -> Option<FeedItem> {
        (self.throttle.is_some() && !self.buffer.is_empty()).then(|| self.take_buffer::<F>())
    }

    /// Returns the pasts of the first request that need not wait. With `has_load` those that begin with kept state are
    /// loaded first.
    fn next_block(&mut self, watches: &mut Watches<M>, has_load: bool, waker: &Waker) -> Option<Block<M>> {
        for (index, WatchRequest { keys, since, .. }) in watches.waiting.iter_mut().enumerate() {
            let begun = if keys.is_empty() {
                None
            } else {
                let keys: Vec<M::Key> = keys.iter().map(|named| named.key.clone()).collect();
                let Some(begun) = self.reader.poll_watch(&keys, since, waker) else { continue };
                Some(begun)
            };
            let WatchRequest { keys, named, .. } = watches.waiting.remove(index);
            let (of_keys, place) = begun.map_or((Vec::new(), None), |Pasts { of_keys, place }| (of_keys, Some(place)));
            let pasts = keys.into_iter().zip(of_keys).map(|(named, past)| {
                let load = if has_load && past.is_kept_state { KeyLoad::Due } else { KeyLoad::Done };
                KeyPast { named, past, load }
            });
            return Some(Block { pasts: pasts.collect(), place, named, is_loading: false });
        }
        None
    }

    /// Writes what is left of the pasts, as much as goes into one piece, and at their end the confirmation. Returns `None`
    /// when all is written.
    fn write_block<F: Format>(
        &mut self,
        block: &mut Block<M>,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> Option<FeedItem> {
        let has_load = subscriber.kind().loads();
        while let Some(front) = block.pasts.front() {
            if self.buffer.len() >= FLUSH_BYTES {
                return Some(self.take_buffer::<F>());
            }
            if !matches!(front.load, KeyLoad::Done) {
                if let Some(item) = self.load_key::<F>(block, subscriber, waker) {
                    return Some(item);
                }
                continue;
            }
            let Some(KeyPast { named: NamedKey { json: key, .. }, past, load }) = block.pasts.front_mut() else {
                break;
            };
            match self.reader.read_past(past) {
                PastStep::Gap(gap) => {
                    if let Some(item) = self.report_gap_of_key::<F>(gap, key) {
                        return Some(item);
                    }
                    if has_load {
                        *load = KeyLoad::Due;
                    }
                }
                PastStep::Batch { batch, with_ids, .. } => self.write_past::<F>(&*subscriber, &batch, with_ids, key),
                PastStep::Snapshot { entry, owed } => {
                    if subscriber.filter(&entry.message) {
                        metrics::snapshot();
                        self.has_expired = true;
                        F::past(&mut self.buffer, &entry, key);
                    } else if let Some(reason) = owed {
                        if let Some(item) = self.report_gap_of_key::<F>(Gap { reason, missed: None }, key) {
                            return Some(item);
                        }
                        if has_load {
                            *load = KeyLoad::Due;
                        }
                    }
                }
                // The reader has made it.
                PastStep::ToSum { .. } => {}
                PastStep::Finished { id, with_id } => {
                    let json = format!("{{\"key\":{key}}}");
                    self.write_past_notice::<F>(id, with_id, key, "tornadose:finished", &json);
                }
                PastStep::Expired { id, with_id, value } => {
                    // The client must not learn of a value that was withheld.
                    if subscriber.filter(&value.entry.message) {
                        self.write_past_notice::<F>(id, with_id, key, "tornadose:expired", &value.json);
                        self.has_expired = true;
                    }
                }
                PastStep::AtEnd { .. } => {
                    block.pasts.pop_front();
                }
                PastStep::Restarted { .. } => {
                    // The reader reports the new epoch for all keys, and none of the pasts is kept.
                    block.pasts.clear();
                    block.place = None;
                }
            }
        }
        if let Some(place) = block.place
            && self.written != Some(place.offset)
        {
            self.write_position::<F>(place);
        }
        F::notice(&mut self.buffer, None, "tornadose:watching", &keys_json(block.named.iter().map(|key| &**key)));
        None
    }

    fn write_past<F: Format>(&mut self, subscriber: &dyn Served<M>, batch: &Batch<M>, with_ids: bool, key: &str) {
        for entry in batch.entries() {
            if !subscriber.filter(&entry.message) {
                self.reader.record_filtered();
                continue;
            }
            self.buffered += 1;
            if with_ids {
                F::past(&mut self.buffer, entry, key);
            } else {
                F::without_id(&mut self.buffer, entry);
            }
        }
    }

    fn write_past_notice<F: Format>(&mut self, id: Id, with_id: bool, key: &str, name: &str, json: &str) {
        if with_id {
            F::past_notice(&mut self.buffer, id, key, name, json);
        } else {
            F::notice(&mut self.buffer, None, name, json);
        }
    }

    /// Writes a gap of one key. Returns the end of a feed that ends by it.
    pub(super) fn report_gap_of_key<F: Format>(&mut self, gap: Gap, key: &str) -> Option<FeedItem> {
        if !Reader::<M>::TELLS_GAPS {
            return None;
        }
        self.tell_gap(gap);
        if gap.reason == GapReason::Lagged && self.lag == Lag::Close {
            self.ending = Some(EndReason::Lagged);
            return Some(self.flush_or::<F>(FeedItem::Ended(EndReason::Lagged)));
        }
        let Gap { reason, missed } = gap;
        let missed = missed.map_or_else(|| "null".to_owned(), |missed| missed.to_string());
        let json = format!(r#"{{"reason":"{reason}","missed":{missed},"key":{key}}}"#);
        F::notice(&mut self.buffer, None, "tornadose:gap", &json);
        None
    }

    /// Ends the delivery of keys, and confirms it. Returns the end of a feed that ends by a gap.
    fn unwatch<F: Format>(
        &mut self,
        subscriber: &mut dyn Served<M>,
        keys: &[NamedKey<M>],
        waker: &Waker,
    ) -> Poll<Option<FeedItem>> {
        for named in keys {
            if subscriber.watches_mut().is_some_and(|watches| watches.withdraw(named)) {
                continue;
            }
            while let Err(gap) = ready!(self.reader.poll_unwatch(&named.key, waker)) {
                self.report_gap::<F>(gap);
                if let Some(end) = self.ending {
                    return Poll::Ready(Some(self.flush_or::<F>(FeedItem::Ended(end))));
                }
                self.owe_load::<F>(subscriber);
            }
        }
        F::notice(&mut self.buffer, None, "tornadose:unwatched", &keys_json(keys.iter().map(|key| &*key.json)));
        Poll::Ready(None)
    }
}

/// Returns the data of a confirmation.
fn keys_json<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = keys.collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}
