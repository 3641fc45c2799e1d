//! The end of messages by their age: what a store does when it reads, appends, or is swept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::id::Offset;
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::expired::{Age, Expired, StartSweeper, ValueExpiry, ends_by_age};
use crate::store::kept_as::KeptAs;
use crate::store::shared::State;

impl<M: Message> State<M> {
    /// Trims the queue messages that have expired, and drops the ephemeral messages and `latest` values that have, also in the
    /// mailboxes of their readers. Call it before the log is read or appended to, and drop the result after unlocking.
    #[inline]
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Expired<M>> {
        let mut messages = M::QUEUE_TTL.and_then(|_| self.expire_messages(now));
        if M::HAS_EPHEMERAL {
            let ephemerals = self.log.expire_ephemerals(now);
            if !ephemerals.is_empty() {
                messages.get_or_insert_default().extend(ephemerals);
            }
        }
        let values = if M::HAS_LATEST_TTL { self.expire_values(now) } else { None };
        match (messages, values) {
            (Some(entries), Some(values)) => {
                let mut expired = values;
                expired.entries.extend(entries);
                Some(expired)
            }
            (Some(entries), None) => Some(Expired { entries, readers: Vec::new(), values: 0 }),
            (None, values) => values,
        }
    }

    /// As [`expire`](Self::expire), now. Types whose messages do not expire read no clock.
    #[inline]
    pub(crate) fn expire_now(&mut self) -> Option<Expired<M>> {
        if ends_by_age::<M>() { self.expire(Instant::now()) } else { None }
    }

    fn expire_messages(&mut self, now: Instant) -> Option<Vec<Arc<Entry<M>>>> {
        let expired = self.log.expire_messages(now)?;
        for &key_index in &expired.key_indexes {
            self.readers.retract(key_index);
        }
        Some(expired.entries)
    }

    /// Drops the `latest` values that have expired, unless the engine says when.
    fn expire_values(&mut self, now: Instant) -> Option<Expired<M>> {
        let is_due = self.log.next_deadline().is_some_and(|at| at <= now);
        if !is_due || self.closed || self.loading || self.value_expiry == ValueExpiry::ByEngine {
            return None;
        }
        let mut expired = Expired { entries: Vec::new(), readers: Vec::new(), values: 0 };
        let mut told: BTreeSet<usize> = BTreeSet::new();
        while let Some(value) = self.log.pop_expired_value(now) {
            if let Some(places) = &mut self.expired_places {
                places.extend(self.log.place_of(value));
            }
            if self.value_expiry == ValueExpiry::Untold {
                let dropped = self.drop_value(value);
                expired.entries.extend(dropped);
            } else {
                let offset = self.log.next();
                told.extend(self.log.expire_value(value, offset));
            }
            expired.values += 1;
        }
        // Once for each key, because thousands of its values may expire together.
        expired.readers.extend(told.into_iter().flat_map(|key_index| self.wake_expired(key_index)));
        expired.entries.extend(self.log.take_discarded_values());
        Some(expired)
    }

    /// Obeys the engine, which has expired the value at an offset. Its readers are told at another, if their type says that
    /// values expire.
    pub(crate) fn expire_by_engine(&mut self, value: Offset, offset: Offset) -> Option<Expired<M>> {
        if !M::HAS_LATEST_TTL {
            // Another version of the program says so.
            let entries = vec![self.drop_value(value)?];
            return Some(Expired { entries, readers: Vec::new(), values: 1 });
        }
        let key_index = self.log.expire_value(value, offset)?;
        Some(self.tell_expired(key_index))
    }

    /// Tells the readers of a key that the log has a notice for them.
    pub(crate) fn tell_expired(&mut self, key_index: usize) -> Expired<M> {
        let readers = self.wake_expired(key_index);
        Expired { entries: self.log.take_discarded_values(), readers, values: 1 }
    }

    /// Drops a value whose readers are not told.
    fn drop_value(&mut self, value: Offset) -> Option<Arc<Entry<M>>> {
        let dropped = self.log.drop_value(value)?;
        self.readers.retract(dropped.key_index());
        Some(dropped)
    }

    /// Makes the readers of a key read the log. Returns those that wait.
    fn wake_expired(&mut self, key_index: usize) -> Vec<Waker> {
        self.readers.retract(key_index);
        let mut readers = self.readers.wake_to_reread(key_index);
        readers.extend(self.readers.take_arrived(self.log.head().offset));
        readers
    }

    /// Records when a message that was just appended was submitted. If it returns an order, carry it out after unlocking.
    #[inline]
    pub(crate) fn record_age(&mut self, offset: Offset, age: Option<Age>, kept_as: &KeptAs) -> Option<StartSweeper> {
        let age = age?;
        if M::QUEUE_TTL.is_some() && *kept_as != KeptAs::Ephemeral {
            self.log.record_submit_time(offset, age.submitted_at());
        }
        if M::HAS_LATEST_TTL
            && let Some(ttl) = kept_as.latest_ttl()
        {
            self.log.set_deadline(offset, age.now, age.age, ttl);
        }
        self.sweep_by(age.now)
    }
}
