//! Counts what becomes of the messages that a reader is owed.

use crate::message::Message;
use crate::store::ledger::{Balance, Counts, Ledger};
use crate::store::log::cursor::Cursor;
use crate::store::reader::Reader;
use crate::store::reader::live::{LiveState, MailboxCounts};
use crate::store::shared::State;

impl<M: Message> Reader<M> {
    /// Records that so many messages that were read are delivered.
    pub(crate) fn record_delivered(&mut self, messages: usize) {
        self.live.delivered += messages as u64;
    }

    /// Records that the filter withholds a message that was read.
    pub(crate) fn record_filtered(&mut self) {
        self.ledger.filtered += 1;
    }

    /// Adds the delivered and filtered messages to the metrics.
    pub(crate) fn flush_metrics(&mut self) {
        if cfg!(feature = "metrics") {
            self.settle_counts();
            self.counters.report(self.ledger.delivered, self.ledger.filtered);
        }
    }

    /// Brings what was read from the mailbox into the cursor and the ledger.
    pub(super) fn settle_counts(&mut self) {
        settle(&self.live, &mut self.cursor, &mut self.ledger);
        (self.live.read, self.live.delivered) = (MailboxCounts::default(), 0);
    }

    /// Returns what has become of the messages that the reader was owed.
    pub(crate) fn balance(&self) -> Balance {
        self.balance_locked(&self.shared.lock())
    }

    pub(super) fn balance_locked(&self, state: &State<M>) -> Balance {
        let (mut cursor, mut ledger) = (self.cursor.clone(), self.ledger.clone());
        settle(&self.live, &mut cursor, &mut ledger);
        let mut remaining = state.log.remaining(&self.keys, &cursor);
        remaining.queue += u64::from(self.removed_unread);
        ledger.balance(state.log.appended_total(&self.keys), remaining)
    }
}

/// Brings what was read from the mailbox into a cursor and a ledger.
fn settle<M>(live: &LiveState<M>, cursor: &mut Cursor, ledger: &mut Ledger) {
    let LiveState { head, read, delivered, .. } = live;
    if *read != MailboxCounts::default() {
        cursor.advance(head.offset, read.queue);
        ledger.record_read(Counts { queue: read.queue, latest: read.latest, ephemeral: 0 });
    }
    ledger.delivered += delivered;
}
