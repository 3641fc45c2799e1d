//! The state of watched keys that a hook loads. It is written before the kept state of each key.

use std::collections::HashMap;
use std::mem;
use std::task::{Poll, Waker};

use crate::handler::feed::format::Format;
use crate::handler::feed::{Feed, FeedItem};
use crate::handler::load::failure::LoadFailure;
use crate::handler::served::Served;
use crate::handler::watch::watches::{Block, KeyLoad, KeyPast};
use crate::message::Message;
use crate::metrics;
use crate::store::log::past::PastStep;

impl<M: Message> Feed<M> {
    /// Brings the load of the first key of a block on. Returns `None` when its next phase is due, or what is kept of it.
    ///
    /// Messages that are trimmed while the hook runs are not missing. Those of the past were submitted before the hook was
    /// started, so it loads them; later ones are in the reader's own place, which reports them.
    #[cold]
    pub(super) fn load_key<F: Format>(
        &mut self,
        block: &mut Block<M>,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> Option<FeedItem> {
        let KeyPast { named, past, load } = block.pasts.front_mut()?;
        // A gap that is told where the past begins comes before the reset.
        if past.has_gap()
            && let PastStep::Gap(gap) = self.reader.read_past(past)
            && let Some(item) = self.report_gap_of_key::<F>(gap, &named.json)
        {
            return Some(item);
        }
        // `Done` stays when something panics below. The connection ends then.
        match mem::replace(load, KeyLoad::Done) {
            KeyLoad::Done => None,
            KeyLoad::Due => {
                *load = KeyLoad::Due;
                self.load_due_keys::<F>(block, subscriber, waker)
            }
            KeyLoad::Loaded(messages) => {
                // The client drops what it had of the key.
                self.write_reset::<F>(&named.json);
                *load = KeyLoad::Writing(messages.into_iter());
                None
            }
            KeyLoad::Writing(mut messages) => {
                if let Some(item) = self.write_loaded::<F>(&mut messages, &*subscriber) {
                    *load = KeyLoad::Writing(messages);
                    return Some(item);
                }
                self.reader.restart_past(past, subscriber.loads_mut()?.replay);
                None
            }
        }
    }

    /// Runs the hook for all keys of a block whose load is due. Returns `None` when it has ended.
    fn load_due_keys<F: Format>(
        &mut self,
        block: &mut Block<M>,
        subscriber: &mut dyn Served<M>,
        waker: &Waker,
    ) -> Option<FeedItem> {
        if let Some(end) = self.poll_load_ended(waker) {
            return Some(self.flush_or::<F>(FeedItem::Ended(end)));
        }
        if !block.is_loading {
            let due = block.pasts.iter().filter(|key| matches!(key.load, KeyLoad::Due));
            subscriber.start_load(due.map(|key| key.named.key.clone()).collect());
            block.is_loading = true;
        }
        if !self.buffer.is_empty() {
            return Some(self.take_buffer::<F>());
        }
        let result = match subscriber.poll_load(waker) {
            Poll::Pending => return Some(FeedItem::Pending),
            Poll::Ready(result) => result,
        };
        block.is_loading = false;
        let given = result.and_then(|loaded| self.give_loaded(block, loaded.messages));
        given.err().map(|failure| FeedItem::NotLoaded(failure.close_reason()))
    }

    /// Gives each key that was loaded its messages. A message of another key is logged.
    fn give_loaded(&self, block: &mut Block<M>, messages: Vec<M>) -> Result<(), LoadFailure> {
        let mut by_key: HashMap<M::Key, Vec<M>> = HashMap::new();
        for message in messages {
            by_key.entry(message.key()).or_default().push(message);
        }
        for key in &mut block.pasts {
            if matches!(key.load, KeyLoad::Due) {
                key.load = KeyLoad::Loaded(by_key.remove(&key.named.key).unwrap_or_default());
            }
        }
        if !by_key.is_empty() {
            self.record.log_invalid_message("key");
            return Err(LoadFailure::InvalidMessage);
        }
        metrics::loaded("delivered");
        Ok(())
    }
}
