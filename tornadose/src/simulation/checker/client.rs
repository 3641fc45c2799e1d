//! A client of a store that records what it receives, as a page's connection does.

use std::task::{Poll, Waker};

use crate::id::Id;
use crate::message::{Keys, Message};
use crate::simulation::checker::record::{SharedRecord, describe};
use crate::store::Store;
use crate::store::reader::resume::Resume;
use crate::store::reader::{ReadStep, Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;

pub(crate) struct Client<M: Message> {
    record: SharedRecord,
    index: usize,
    keys: Keys<M::Key>,
    reader: Option<Reader<M>>,
    position: Option<Id>,
}

/// Whether a client may receive more at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    More,
    Waiting,
    Ended,
}

impl<M: Message> Client<M> {
    pub(crate) fn open(
        record: &SharedRecord,
        name: String,
        store: &Store<M>,
        keys: Keys<M::Key>,
        replay: usize,
    ) -> Self {
        let text = |key: &M::Key| format!("{key:?}");
        let key_texts = match &keys {
            Keys::All => None,
            Keys::One(key) => Some(vec![text(key)]),
            Keys::Set(keys) => Some(keys.iter().map(text).collect()),
        };
        let index = record.lock().open(name, key_texts);
        let options = ReaderOptions { replay, kind: ReaderKind::Subscription, gets_snapshots: true };
        let reader = Some(Reader::open(store.shared(), keys.clone(), Resume::New, options));
        Self { record: record.clone(), index, keys, reader, position: None }
    }

    /// Receives the next item, if there is one.
    pub(crate) fn read(&mut self, waker: &Waker) -> Reading {
        let Some(reader) = &mut self.reader else { return Reading::Ended };
        match reader.poll(waker) {
            ReadStep::Gap(gap) => self.record.lock().gap(self.index, gap.reason),
            ReadStep::Batch { position, batch, with_ids } => {
                let mut record = self.record.lock();
                if let Some(id) = position {
                    record.position(self.index, id);
                    self.position = Some(id);
                }
                for entry in batch.entries() {
                    let has_id = with_ids && !entry.is_ephemeral();
                    record.receive(self.index, describe(&*entry.message), entry.id, has_id);
                    if has_id {
                        self.position = Some(entry.id);
                    }
                }
                reader.record_delivered(batch.entries().len());
            }
            ReadStep::AtHead { head, is_first } => {
                if is_first && self.position != Some(head) {
                    self.position = Some(head);
                    self.record.lock().position(self.index, head);
                }
                return Reading::Waiting;
            }
            ReadStep::Finished { position, id, with_id, key } => {
                let mut record = self.record.lock();
                if let Some(id) = position {
                    record.position(self.index, id);
                }
                record.finished(self.index, key.as_deref(), id, with_id);
                drop(record);
                self.position = Some(id).filter(|_| with_id).or(position).or(self.position);
                if key.is_none() {
                    self.reader = None;
                    return Reading::Ended;
                }
            }
            ReadStep::Expired { position, id, with_id, value } => {
                let mut record = self.record.lock();
                if let Some(id) = position {
                    record.position(self.index, id);
                }
                record.expired(self.index, describe(&*value.entry.message), (value.entry.id, id), with_id);
                drop(record);
                self.position = Some(id).filter(|_| with_id).or(position).or(self.position);
            }
            ReadStep::Snapshot { entry, with_id, .. } => {
                if with_id {
                    self.record.lock().position(self.index, entry.id);
                    self.position = Some(entry.id);
                }
            }
            ReadStep::Pending => return Reading::Waiting,
            ReadStep::Ended(_) => {
                self.detach();
                return Reading::Ended;
            }
        }
        Reading::More
    }

    /// Receives what there is, until the store is closed.
    pub(super) fn poll_to_end(&mut self, waker: &Waker) -> Poll<()> {
        loop {
            match self.read(waker) {
                Reading::More => {}
                Reading::Waiting => return Poll::Pending,
                Reading::Ended => return Poll::Ready(()),
            }
        }
    }

    /// Cuts the client off.
    pub(crate) fn detach(&mut self) {
        if self.reader.take().is_some() {
            self.record.lock().end(self.index);
        }
    }

    /// Resumes from its position, at this store. Without one it is a new reader.
    pub(crate) fn resume(&mut self, store: &Store<M>, replay: usize) {
        if self.position.is_some_and(|position| store.has_seen_all(&self.keys, position)) {
            return;
        }
        let resume = self.position.map_or(Resume::New, Resume::After);
        if self.position.is_some() {
            self.record.lock().resume(self.index);
        } else {
            self.index = self.record.lock().reopen(self.index);
        }
        let options = ReaderOptions { replay, kind: ReaderKind::Subscription, gets_snapshots: true };
        self.reader = Some(Reader::open(store.shared(), self.keys.clone(), resume, options));
    }
}

#[cfg(test)]
impl<M: Message> Client<M> {
    pub(crate) fn is_attached(&self) -> bool {
        self.reader.is_some()
    }
}
