//! A table of rows in place of a database, and subscribers that load it. The program first commits a row, then submits it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tornadose::prelude::*;
use tornadose::subscriber::Lag;
use tornadose_test::Harness;

use super::harness::harness;

/// A row of a list, whole, or its note.
#[store(queue, capacity = 4)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Row {
        #[key]
        list: u32,
        id: u32,
        version: u64,
    },
    #[latest]
    Note {
        #[key]
        list: u32,
        text: String,
    },
}

/// An event that a client of a list sees.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Seen {
    #[serde(rename = "tornadose:reset")]
    Reset {},
    #[serde(rename = "tornadose:gap")]
    Gap { reason: String, missed: Option<u64> },
    #[serde(rename = "row")]
    Row { list: u32, id: u32, version: u64 },
    #[serde(rename = "note")]
    Note { list: u32, text: String },
}

impl Seen {
    pub(crate) fn is_gap(&self) -> bool {
        matches!(self, Self::Gap { .. })
    }
}

/// The outcome of a load, besides its rows.
#[derive(Clone, Copy, Default)]
pub(crate) enum Load {
    #[default]
    Reads,
    Fails(u16),
    Panics,
    /// Returns a row of another list.
    Strays,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(u32, u32), u64>,
    takes: Duration,
    load: Load,
    calls: Vec<String>,
}

/// A handle of the table, and a middleware that gives it to subscribers.
#[derive(Clone, Default)]
pub(crate) struct Table {
    state: Arc<Mutex<State>>,
    loads: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most_running: Arc<AtomicUsize>,
}

impl Table {
    pub(crate) fn commit(&self, list: u32, id: u32, version: u64) {
        self.state.lock().unwrap().rows.insert((list, id), version);
    }

    /// Sets how long a load takes. It reads the rows at its end.
    pub(crate) fn takes(&self, time: Duration) {
        self.state.lock().unwrap().takes = time;
    }

    pub(crate) fn next_loads(&self, load: Load) {
        self.state.lock().unwrap().load = load;
    }

    pub(crate) fn add_call(&self, call: impl Into<String>) {
        self.state.lock().unwrap().calls.push(call.into());
    }

    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Returns how many loads have started since this was last taken.
    pub(crate) fn take_loads(&self) -> usize {
        self.loads.swap(0, Relaxed)
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Relaxed)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    /// Returns how many loads have run at once.
    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Relaxed)
    }

    async fn read(&self, list: u32) -> Result<Vec<Change>, StatusError> {
        self.read_lists(&[list], Some("loaded")).await
    }

    /// Reads the rows of these lists. The call is recorded when the time that it takes is over.
    async fn read_lists(&self, lists: &[u32], call: Option<&str>) -> Result<Vec<Change>, StatusError> {
        let _running = Running::begin(self);
        let takes = self.state.lock().unwrap().takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if let Some(call) = call {
            self.add_call(call);
        }
        let state = self.state.lock().unwrap();
        let offset = match state.load {
            Load::Reads => 0,
            Load::Fails(code) => {
                let code = salvo::http::StatusCode::from_u16(code).unwrap();
                return Err(StatusError::from_code(code).unwrap().brief("as asked"));
            }
            Load::Panics => {
                drop(state);
                panic!("load");
            }
            Load::Strays => 1,
        };
        let rows = state.rows.iter().filter(|((list, _), _)| lists.iter().any(|wanted| wanted + offset == *list));
        Ok(rows.map(|((list, id), version)| Change::Row { list: *list, id: *id, version: *version }).collect())
    }
}

/// Counts a load while it runs.
struct Running(Table);

impl Running {
    fn begin(table: &Table) -> Self {
        table.loads.fetch_add(1, Relaxed);
        let running = table.running.fetch_add(1, Relaxed) + 1;
        table.most_running.fetch_max(running, Relaxed);
        Self(table.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

#[handler]
impl Table {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.clone());
    }
}

/// `GET /lists/{list}`
#[subscriber(
    sse,
    ws,
    store = Change,
    authorize = Self::may_read,
    filter = Self::is_wanted,
    load = Self::stored,
    receive = Self::received,
    retry = "2s",
)]
pub(crate) struct List {
    #[key]
    list: u32,
    #[depot]
    table: Table,
}

impl List {
    async fn may_read(&self) -> Result<(), StatusError> {
        self.table.add_call("authorized");
        Ok(())
    }

    /// Rows with odd numbers above 100 are withheld. The row 66 panics.
    fn is_wanted(&self, change: &Change) -> bool {
        assert!(!matches!(change, Change::Row { list, id: 66, .. } if *list == self.list), "filter");
        !matches!(change, Change::Row { id, .. } if *id > 100 && id % 2 == 1)
    }

    async fn stored(&self, _: &Store<Change>) -> Result<Vec<Change>, StatusError> {
        self.table.read(self.list).await
    }

    async fn received(&mut self, text: String, _: &Store<Change>) -> String {
        self.table.add_call(format!("received {text}"));
        text
    }
}

/// The same with the other hooks, and an end for clients that are too slow.
#[subscriber(
    sse,
    ws,
    store = Change,
    authorize = public,
    load = Self::stored,
    opened = Self::opened,
    closed = Self::closed,
    lag = close,
    replay = 2,
    retry = "2s",
)]
pub(crate) struct Hooked {
    #[key]
    list: u32,
    #[depot]
    table: Table,
}

impl Hooked {
    async fn stored(&self, _: &Store<Change>) -> Result<Vec<Change>, StatusError> {
        self.table.read(self.list).await
    }

    async fn opened(&mut self, store: &Store<Change>) -> Result<(), Close> {
        self.table.add_call("opened");
        store.submit(Change::Note { list: self.list, text: "opened".into() }).await.unwrap();
        Ok(())
    }

    async fn closed(self, _: &Store<Change>) {
        self.table.add_call("closed");
    }
}

/// `GET /watched?list=1`, whose client can watch further lists
#[subscriber(
    sse,
    ws,
    store = Change,
    authorize = public,
    watch = Self::may_watch,
    load = Self::stored,
    filter = Self::is_wanted,
    receive = Self::received,
    max_keys = 4,
)]
pub(crate) struct Watched {
    #[keys(list)]
    #[query("list")]
    lists: Vec<u32>,
    #[depot]
    table: Table,
}

impl Watched {
    async fn may_watch(&mut self, key: &ChangeKey, _: &Store<Change>) -> Result<(), String> {
        if key.list < 100 { Ok(()) } else { Err(format!("no list {}", key.list)) }
    }

    async fn stored(&self, keys: &[ChangeKey], _: &Store<Change>) -> Result<Vec<Change>, StatusError> {
        let lists: Vec<u32> = keys.iter().map(|key| key.list).collect();
        self.table.add_call(format!("loads {lists:?}"));
        self.table.read_lists(&lists, None).await
    }

    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    fn is_wanted(&self, change: &Change) -> bool {
        !matches!(change, Change::Row { id, .. } if *id > 100 && id % 2 == 1)
    }

    async fn received(&mut self, text: String, _: &Store<Change>) -> String {
        self.table.add_call(format!("received {text}"));
        text
    }
}

/// Commits a row, and submits it afterwards.
pub(crate) async fn change(store: &Store<Change>, table: &Table, id: u32, version: u64) {
    change_in(store, table, 1, id, version).await;
}

/// Commits a row of a list, and submits it afterwards.
pub(crate) async fn change_in(store: &Store<Change>, table: &Table, list: u32, id: u32, version: u64) {
    table.commit(list, id, version);
    store.submit(Change::Row { list, id, version }).await.unwrap();
}

pub(crate) fn router(store: &Store<Change>, table: &Table) -> Router {
    Router::new()
        .hoop(table.clone())
        .push(Router::with_path("lists/{list}").get(List::handler(store)))
        .push(Router::with_path("single/{list}").get(List::handler(store).max_loads(1)))
        .push(Router::with_path("quick/{list}").get(List::handler(store).keep_alive(Duration::from_secs(1))))
        .push(Router::with_path("hooked/{list}").get(Hooked::handler(store)))
        .push(Router::with_path("watched").get(Watched::handler(store)))
        .push(Router::with_path("strict").get(Watched::handler(store).lag(Lag::Close)))
}

pub(crate) fn lists() -> (Store<Change>, Table, Harness) {
    let (store, table) = (Store::new(), Table::default());
    let app = harness(router(&store, &table));
    (store, table, app)
}
