//! What befalls a log that is filled from elsewhere: its life begins anew, places hold nothing, messages never come. What a reader
//! makes of it is `place`'s affair.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::{Epoch, Id, Offset};
use crate::message::Message;
use crate::store::entry::Entry;
use crate::store::log::Log;
use crate::store::log::cursor::Place;
use crate::store::log::gaps::{BREACHES, Breach, Cause, SEEN};

impl<M: Message> Log<M> {
    /// Begins a life, with nothing in it: what the log held is not of it. Readers will hear that it began anew. Messages at or below
    /// `floor` may have been there. Answers what was dropped.
    pub(crate) fn begin(&mut self, epoch: Epoch, floor: Offset) -> Vec<Arc<Entry<M>>> {
        let mut dropped: Vec<Arc<Entry<M>>> = std::mem::take(&mut self.queue).into_values().collect();
        dropped.extend(std::mem::take(&mut self.latest).into_values());
        self.discarded.extend(self.recent.drain(..));
        (self.epoch, self.head, self.trimmed, self.floor) = (epoch, Offset::START, Offset::START, Offset::START);
        (self.kept, self.kept_latest) = (0, 0);
        self.remembered.clear();
        self.version += 1;
        let version = self.version;
        // What readers hold stays, with what it has counted: their sums are made from it.
        self.topics.retain(|_, topic| {
            topic.clear(version);
            topic.readers > 0
        });
        let topics = &self.topics;
        self.index.retain(|_, topic| topics.contains(*topic));
        self.turns.now += 1;
        self.turns.life = self.turns.now;
        self.turns.breaches.clear();
        self.turns.lost = floor;
        self.turns.seen = Some(VecDeque::new());
        dropped
    }

    /// Notes that the log has come as far as this place, whatever stands there. False when it has been there before.
    pub(crate) fn reach(&mut self, offset: Offset) -> bool {
        if offset <= self.head {
            return false;
        }
        self.head = offset;
        if let Some(seen) = &mut self.turns.seen {
            if seen.len() == SEEN {
                seen.pop_front();
            }
            seen.push_back(offset);
        }
        true
    }

    /// Notes that messages which would have stood behind the head will never come.
    pub(crate) fn breach(&mut self, cause: Cause, missed: Option<u64>) {
        let turns = &mut self.turns;
        turns.now += 1;
        // What comes next stands above this place, wherever that is.
        turns.lost = self.head.next();
        turns.breaches.push_back(Breach { turn: turns.now, after: self.head, cause, missed });
        if turns.breaches.len() > BREACHES
            && let Some(first) = turns.breaches.pop_front()
            && let Some(second) = turns.breaches.front_mut()
        {
            second.after = first.after;
            second.missed = second.missed.zip(first.missed).map(|(second, first)| second + first);
        }
    }

    /// Whether an id stands so far ahead that it may be that of a message which is still on its way here.
    pub(crate) fn may_come_to(&self, id: Id) -> bool {
        self.turns.seen.is_some() && id.epoch == self.epoch && id.offset > self.head
    }

    /// Whether exactly this place was seen: all that stands after it is known then.
    pub(super) fn knows(&self, offset: Offset) -> bool {
        let Some(seen) = &self.turns.seen else { return true };
        offset == Offset::START
            || seen.binary_search(&offset).is_ok()
            || self.queue.contains_key(&offset)
            || self.latest.contains_key(&offset)
    }

    /// The next breach that a reader at this place has not heard of.
    pub(super) fn next_breach(&self, place: &Place) -> Option<&Breach> {
        if place.turn == self.turns.now {
            return None;
        }
        self.turns.breaches.iter().find(|breach| breach.turn > place.turn)
    }
}
