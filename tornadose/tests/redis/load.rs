//! State from elsewhere, in several processes: loads while messages come, in an outage, and in another process after a cut.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::common::until;
use crate::page::free_port;
use crate::proxy::Proxy;
use crate::server::Server;

#[store(queue, capacity = 200, channel = "rows")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    version: u64,
}

/// A database that every process reads, and the steps that its loads may take.
#[derive(Clone)]
struct Table {
    rows: Arc<Mutex<BTreeMap<u32, u64>>>,
    steps: Arc<Semaphore>,
}

impl Table {
    fn new(steps: usize) -> Self {
        Self { rows: Arc::default(), steps: Arc::new(Semaphore::new(steps)) }
    }

    fn commit(&self, id: u32, version: u64) {
        self.rows.lock().unwrap().insert(id, version);
    }

    fn rows(&self) -> BTreeMap<u32, u64> {
        self.rows.lock().unwrap().clone()
    }
}

#[handler]
impl Table {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.clone());
    }
}

#[subscriber(sse, store = Row, load = Self::stored, keep_alive = "200ms")]
struct Rows {
    #[depot]
    table: Table,
}

impl Rows {
    async fn stored(&self, _: &Store<Row>) -> Result<Vec<Row>, StatusError> {
        self.table.steps.acquire().await.unwrap().forget();
        Ok(self.table.rows().into_iter().map(|(id, version)| Row { id, version }).collect())
    }
}

async fn serve(store: &Store<Row>, table: &Table) -> (u16, JoinHandle<io::Result<()>>) {
    let port = free_port();
    let acceptor = tornadose::listen(("127.0.0.1", port)).await.unwrap();
    let router = Router::with_path("rows").hoop(table.clone()).get(Rows::handler(store));
    (port, tokio::spawn(tornadose::serve_on(acceptor, router)))
}

/// The rows that a page shows, and the events that it was sent.
struct Page {
    stream: BufReader<TcpStream>,
    rows: BTreeMap<u32, u64>,
    last_id: Option<String>,
    events: Vec<String>,
}

impl Page {
    async fn open(port: u16, last_id: Option<String>, rows: BTreeMap<u32, u64>) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let header = last_id.as_ref().map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        stream.write_all(format!("GET /rows HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").as_bytes()).await.unwrap();
        Self { stream, rows, last_id, events: Vec::new() }
    }

    /// Reads a block, as a browser does.
    async fn read(&mut self) {
        let (mut event, mut data, mut id) = (None, None, None);
        loop {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(30), self.stream.read_line(&mut line)).await.expect("it is silent");
            assert_ne!(read.unwrap(), 0, "it ends after {:?}", self.events);
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event = Some(name.to_owned()),
                Some(("data", text)) => data = Some(text.to_owned()),
                Some(("id", text)) => id = Some(text.to_owned()),
                _ if line == "\n" => break,
                _ => {}
            }
        }
        self.last_id = id.or(self.last_id.take());
        match (event.as_deref(), data) {
            (Some("tornadose:reset"), _) => self.rows.clear(),
            (Some(_), _) => {}
            (None, Some(data)) => {
                let Row { id, version } = serde_json::from_str(&data).unwrap();
                let shown = self.rows.entry(id).or_default();
                *shown = version.max(*shown);
                event = Some(format!("{id}:{version}"));
            }
            (None, None) => return,
        }
        self.events.extend(event);
    }

    async fn read_until(&mut self, event: &str) {
        while self.events.last().is_none_or(|last| last != event) {
            self.read().await;
        }
    }

    async fn read_until_shown(&mut self, rows: &BTreeMap<u32, u64>) {
        while self.rows != *rows {
            self.read().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn pages_of_a_process_that_starts_while_rows_change_show_the_table() {
    let server = Server::start();
    let table = Table::new(100);
    let store = Store::<Row>::redis(server.url()).await.unwrap();
    let writer = tokio::spawn({
        let (store, table) = (store.clone(), table.clone());
        async move {
            for version in 1..=400 {
                let id = u32::try_from(version % 7).unwrap();
                table.commit(id, version);
                store.submit(Row { id, version }).await.unwrap();
            }
        }
    });
    // Processes that start, and pages that come, in the middle of it.
    let (mut pages, mut serving) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let other = Store::<Row>::redis(server.url()).await.unwrap();
        let (port, task) = serve(&other, &table).await;
        for _ in 0..3 {
            pages.push(Page::open(port, None, BTreeMap::new()).await);
        }
        serving.push((task, other));
        sleep(Duration::from_millis(20)).await;
    }
    writer.await.unwrap();
    for page in &mut pages {
        page.read_until_shown(&table.rows()).await;
        assert_eq!(page.events[0], "tornadose:reset");
        assert!(page.events.iter().all(|event| event != "tornadose:gap"), "{:?}", page.events);
    }
    for (task, _) in &serving {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_outage_during_a_load_loses_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let table = Table::new(0);
    let store = Store::<Row>::redis(server.url()).await.unwrap();
    let away = Store::<Row>::redis(&proxy.url()).await.unwrap();
    let (port, serving) = serve(&away, &table).await;
    let mut page = Page::open(port, None, BTreeMap::new()).await;
    until("it is subscribed", || away.subscribers() == 1).await;
    proxy.block();
    for version in 1..50 {
        table.commit(1, version);
        store.submit(Row { id: 1, version }).await.unwrap();
    }
    // The hook returns while Redis cannot be reached, and the page gets what the log has.
    table.steps.add_permits(1);
    page.read_until("1:49").await;
    assert_eq!(page.events, ["tornadose:reset", "1:49"]);
    table.commit(2, 1);
    store.submit(Row { id: 2, version: 1 }).await.unwrap();
    proxy.unblock();
    page.read_until_shown(&table.rows()).await;
    // Every message of the outage has come, in order.
    let expected: Vec<String> = (1..50).map(|version| format!("1:{version}")).chain(["2:1".into()]).collect();
    assert_eq!(page.events[2..], expected);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_page_that_is_cut_while_it_is_loaded_again_is_loaded_by_another_process_too() {
    let server = Server::start();
    let table = Table::new(100);
    for id in 1..4 {
        table.commit(id, 1);
    }
    let small = Store::<Row>::builder().capacity(2).open(Redis::streams(server.url())).await.unwrap();
    let large = Store::<Row>::redis(server.url()).await.unwrap();
    let ((small_port, small_task), (large_port, large_task)) =
        (serve(&small, &table).await, serve(&large, &table).await);
    let mut page = Page::open(large_port, None, BTreeMap::new()).await;
    page.read_until("3:1").await;
    large.submit(Row { id: 1, version: 1 }).await.unwrap();
    page.read_until("1:1").await;
    let Page { last_id, rows, .. } = page;
    for version in 2..8 {
        table.commit(2, version);
        large.submit(Row { id: 2, version }).await.unwrap();
    }
    until("both have read them", || small.head() == large.head()).await;
    // The process with less memory does not know the id any more. The page is cut when it has cleared its rows.
    let mut page = Page::open(small_port, last_id, rows).await;
    page.read_until("tornadose:reset").await;
    assert_eq!((&*page.events, page.rows.len()), (&["tornadose:gap".into(), "tornadose:reset".into()][..], 0));
    let Page { last_id, rows, .. } = page;
    // The other process has everything after that id, and loads the page all the same.
    let mut page = Page::open(large_port, last_id, rows).await;
    page.read_until_shown(&table.rows()).await;
    assert_eq!(page.events[..2], ["tornadose:gap", "tornadose:reset"]);
    // Then it goes on after ids again.
    page.read_until("2:7").await;
    let Page { last_id, rows, .. } = page;
    table.commit(3, 2);
    large.submit(Row { id: 3, version: 2 }).await.unwrap();
    let mut page = Page::open(large_port, last_id, rows).await;
    page.read_until_shown(&table.rows()).await;
    assert_eq!(page.events, ["3:2"]);
    small_task.abort();
    large_task.abort();
}
