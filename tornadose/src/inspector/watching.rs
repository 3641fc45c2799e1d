//! The stores of an inspector, and the task that samples them while a page is connected.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::inspector::clock::Clock;
use crate::inspector::inspected::Inspected;
use crate::inspector::report::{ReaderReport, Report, StoreReport, StoreState};
use crate::inspector::sample::sample;
use crate::message::NoKey;
use crate::store::Store;
use crate::store::observers::{Observation, ObservedEvent, Observer};
use crate::task;

/// How long a store is left alone after a look.
const PERIOD: Duration = Duration::from_secs(1);

/// The stores of an inspector, and those who look at them.
pub(super) struct Watched {
    stores: Vec<Arc<dyn Inspected>>,
    /// The reports to the pages.
    reports: Store<Report>,
    clock: Mutex<Option<Clock>>,
    pages: Mutex<Pages>,
}

/// The pages that are connected.
#[derive(Default)]
struct Pages {
    count: usize,
    sampling: Option<Sampling>,
}

/// The task and the observers that run while a page is connected.
struct Sampling {
    task: AbortHandle,
    /// Stores have weak references to these.
    _observers: Vec<Arc<dyn Observer>>,
}

impl Watched {
    pub(super) fn new(stores: Vec<Arc<dyn Inspected>>) -> Self {
        Self { stores, reports: Store::new(), clock: Mutex::default(), pages: Mutex::default() }
    }

    pub(super) fn reports(&self) -> &Store<Report> {
        &self.reports
    }

    pub(super) fn store(&self, index: usize) -> Option<&Arc<dyn Inspected>> {
        self.stores.get(index)
    }

    /// Tells the pages that a key was disconnected.
    pub(super) fn report_disconnect(&self, store: usize, key: String, readers: usize) {
        let at = self.clock().now();
        submit(&self.reports, Report::Disconnected { at, store, key, readers });
    }

    /// Returns the clock of this inspector, which starts when it is first needed: there may be no runtime before.
    fn clock(&self) -> Clock {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Clock::start)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_sampling(self: &Arc<Self>) -> Sampling {
        let observer = |store| {
            let observer = PageObserver { store, reports: self.reports.clone(), clock: self.clock() };
            Arc::new(observer) as Arc<dyn Observer>
        };
        let observers: Vec<_> = (0..self.stores.len()).map(observer).collect();
        for (store, observer) in self.stores.iter().zip(&observers) {
            store.observe(Arc::downgrade(observer));
        }
        let task = task::spawn(Box::pin(run(Arc::downgrade(self)))).abort_handle();
        Sampling { task, _observers: observers }
    }

    /// Looks at each store once. Returns whether one of them is open.
    async fn sample_all(&self, last: &mut LastReports) -> bool {
        let clock = self.clock();
        last.connections.resize_with(self.stores.len(), || None);
        if last.created_at.is_empty() {
            // Once: the age is in tenths of a second, and times that are shown must not waver.
            let created_at = |age_tenths: u32| clock.now().saturating_sub(u64::from(age_tenths) * 100);
            last.created_at = self.stores.iter().map(|store| created_at(store.figures().age_tenths)).collect();
        }
        let mut stores = Vec::with_capacity(self.stores.len());
        for (index, store) in self.stores.iter().enumerate() {
            let seen = sample(index, &**store, clock, last.created_at[index]).await;
            stores.push(seen.store);
            let report = Report::Connections(seen.connections);
            // A report that has not changed is not sent again.
            if last.connections[index].as_ref() != Some(&report) {
                let is_told = submit(&self.reports, report.clone());
                last.connections[index] = Some(report).filter(|_| is_told);
            }
        }
        let is_open = stores.is_empty() || stores.iter().any(|store| store.state != StoreState::Closed);
        if last.stores.as_ref() != Some(&stores) {
            let is_told = submit(&self.reports, Report::Stores { at: clock.now(), stores: stores.clone() });
            last.stores = Some(stores).filter(|_| is_told);
        }
        is_open
    }
}

/// The newest reports that were sent to the pages.
#[derive(Default)]
struct LastReports {
    stores: Option<Vec<StoreReport>>,
    connections: Vec<Option<Report>>,
    /// When each store was created.
    created_at: Vec<u64>,
}

/// Samples the stores until it is aborted, or all of them are closed.
async fn run(watched: Weak<Watched>) {
    let mut last = LastReports::default();
    loop {
        let Some(watched) = watched.upgrade() else { return };
        if !watched.sample_all(&mut last).await {
            // Their program ends, and does not wait for the pages.
            watched.reports.close();
            return;
        }
        drop(watched);
        sleep(PERIOD).await;
    }
}

/// The last page that has one of these ends the sampling.
pub(super) struct Looking(Arc<Watched>);

impl Looking {
    pub(super) fn begin(watched: &Arc<Watched>) -> Self {
        let mut pages = watched.pages();
        pages.count += 1;
        if pages.sampling.is_none() {
            pages.sampling = Some(watched.start_sampling());
        }
        drop(pages);
        Self(Arc::clone(watched))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let mut pages = self.0.pages();
        pages.count -= 1;
        if pages.count > 0 {
            return;
        }
        if let Some(sampling) = pages.sampling.take() {
            sampling.task.abort();
        }
        // The next page must not be shown what was long ago.
        self.0.reports.forget(&NoKey);
    }
}

/// Tells the pages what happens to the readers of a store.
struct PageObserver {
    store: usize,
    reports: Store<Report>,
    clock: Clock,
}

impl Observer for PageObserver {
    fn observe(&self, observation: &Observation) {
        let Observation { number, kind, keys, key_count, event } = observation;
        let reader = ReaderReport {
            store: self.store,
            number: *number,
            transport: kind.name(),
            keys: keys.clone(),
            key_count: *key_count,
        };
        let at = self.clock.now();
        let report = match *event {
            ObservedEvent::Gap(gap) => Report::Gap { at, reader, reason: gap.reason.name(), missed: gap.missed },
            ObservedEvent::Closed { reason, code } => Report::Ended { at, reader, reason, code },
        };
        submit(&self.reports, report);
    }
}

/// Tells the pages. Returns false where there is no room for the report, or the pages' store is closed.
fn submit(reports: &Store<Report>, report: Report) -> bool {
    reports.try_submit(report).is_ok()
}
