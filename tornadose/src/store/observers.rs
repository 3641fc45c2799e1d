//! The observers of a store, which are told the gaps and ends of its readers as they happen. While there is none, a gap
//! or an end costs one atomic load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::store::gap::Gap;
use crate::store::registry::kind::ReaderKind;

/// A reader to whom something has happened.
pub(crate) struct Observation {
    /// Its number in its store, in order of subscription.
    pub(crate) number: u64,
    pub(crate) kind: ReaderKind,
    /// The JSON of some of its keys.
    pub(crate) keys: Vec<String>,
    /// How many keys it has; `None` when it reads all keys.
    pub(crate) key_count: Option<usize>,
    pub(crate) event: ObservedEvent,
}

/// An event of a reader: a gap, or its end.
#[derive(Clone, Copy)]
pub(crate) enum ObservedEvent {
    /// It is told of a gap.
    Gap(Gap),
    /// Its connection is closed, for this reason as it is logged.
    Closed { reason: &'static str, code: Option<u16> },
}

/// Is told of gaps and ends. It is called without a lock held.
pub(crate) trait Observer: Send + Sync {
    fn observe(&self, observation: &Observation);
}

/// The observers of one store.
#[derive(Default)]
pub(crate) struct Observers {
    is_observed: AtomicBool,
    list: Mutex<Vec<Weak<dyn Observer>>>,
}

impl Observers {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Observer>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an observer, until it is dropped.
    pub(crate) fn add(&self, observer: Weak<dyn Observer>) {
        let mut list = self.lock();
        list.retain(|observer| observer.strong_count() > 0);
        list.push(observer);
        self.is_observed.store(true, Ordering::Relaxed);
    }

    /// Returns whether anyone may look.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.is_observed.load(Ordering::Relaxed)
    }

    /// Tells those who look.
    pub(crate) fn notify(&self, observation: &Observation) {
        let observers: Vec<Arc<dyn Observer>> = {
            let mut list = self.lock();
            list.retain(|observer| observer.strong_count() > 0);
            self.is_observed.store(!list.is_empty(), Ordering::Relaxed);
            list.iter().filter_map(Weak::upgrade).collect()
        };
        for observer in observers {
            observer.observe(observation);
        }
    }
}
