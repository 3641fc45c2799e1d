//! The snapshot in the past of a key: what no snapshot contains comes before it, and the messages after it follow.

use crate::message::Message;
use crate::store::gap::{Gap, GapReason};
use crate::store::log::Log;
use crate::store::log::pass::{PassStep, PassTerms};
use crate::store::log::past::{Past, PastPass, PastStep};

impl<M: Message> Log<M> {
    /// Begins a pass in the past of a key, if it gets a snapshot. `needs_gap`: a gap is told beside it.
    pub(crate) fn begin_past_pass(&mut self, past: &mut Past<M>, terms: PassTerms, needs_gap: bool) {
        past.pass = self.begin_pass(&past.key, &mut past.cursor, terms).map(|pass| {
            let accounted_others = self.accounted_others(&past.key, &past.cursor);
            Box::new(PastPass { pass, accounted_others })
        });
        if past.pass.is_some() && !needs_gap {
            past.gap = None;
        }
        past.recount(self);
    }

    /// Reads what is next of a pass in the past of a key; `None` when it has none, or it is over.
    pub(super) fn read_past_pass(&mut self, past: &mut Past<M>) -> Option<PastStep<M>> {
        loop {
            let PastPass { pass, accounted_others } = &mut **past.pass.as_mut()?;
            match self.read_pass(&past.key, &mut past.cursor, *accounted_others, pass) {
                PassStep::Batch { batch, counts } => {
                    *accounted_others += counts.queue;
                    past.recount(self);
                    return Some(PastStep::Batch { batch, with_ids: false, counts });
                }
                PassStep::Expired { offset, value } => {
                    return Some(PastStep::Expired { id: self.id(offset), with_id: false, value });
                }
                PassStep::Lost { missed } => {
                    *accounted_others += missed;
                    past.recount(self);
                    return Some(PastStep::Gap(Gap { reason: GapReason::Lagged, missed: Some(missed) }));
                }
                PassStep::Gap(gap) => return Some(PastStep::Gap(gap)),
                PassStep::Interrupted if past.cursor.generation != self.generation() => {
                    // It is above the place of the reader, which reports it.
                    past.cursor.generation = self.generation();
                }
                PassStep::Interrupted => {
                    past.cursor = self.cursor_before_latest(&past.key, &past.cursor);
                    return Some(PastStep::Gap(Gap { reason: GapReason::Lagged, missed: Some(0) }));
                }
                PassStep::Snapshot => {
                    let owed = pass.terms.reason;
                    if let Some(entry) = pass.ready.take() {
                        pass.unsent.clear();
                        return Some(PastStep::Snapshot { entry, owed });
                    }
                    if let Some(key) = pass.unsent.pop() {
                        return Some(PastStep::ToSum { sum: key.sum, place: pass.place, owed });
                    }
                }
                PassStep::Finished { .. } | PassStep::Over => {
                    past.pass = None;
                    return None;
                }
            }
        }
    }
}
