//! A list in a database, joined with its changes: by `load`, and by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tornadose::prelude::*;
use tornadose_test::{Client, Harness, assert_transcript};

use crate::connections::harness::harness;

type Database = Arc<Mutex<Connection>>;

/// A whole row, so that it may come twice.
#[store(queue, capacity = 4)]
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    id: i64,
    title: String,
}

fn database() -> Database {
    let database = Connection::open_in_memory().unwrap();
    database.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT)", ()).unwrap();
    Arc::new(Mutex::new(database))
}

fn tasks(database: &Connection) -> Result<Vec<Task>, rusqlite::Error> {
    let mut select = database.prepare("SELECT id, title FROM tasks ORDER BY id")?;
    select.query_map((), |row| Ok(Task { id: row.get(0)?, title: row.get(1)? }))?.collect()
}

/// Commits a task, and submits it afterwards.
async fn save(database: &Database, store: &Store<Task>, id: i64, title: &str) {
    let (committed, task) = (Arc::clone(database), Task { id, title: title.into() });
    let row = (id, title.to_owned());
    let commit = move || committed.lock().unwrap().execute("INSERT OR REPLACE INTO tasks VALUES (?1, ?2)", row);
    spawn_blocking(commit).await.unwrap().unwrap();
    store.submit(task).await.unwrap();
}

/// A middleware that gives subscribers the database.
struct Uses(Database);

#[handler]
impl Uses {
    fn handle(&self, depot: &mut Depot) {
        depot.insert("database", Arc::clone(&self.0));
    }
}

// [with load
#[subscriber(sse, ws, store = Task, load = Self::stored)]
struct Tasks {
    #[depot("database")]
    database: Database,
}

impl Tasks {
    async fn stored(&self, _: &Store<Task>) -> Result<Vec<Task>, StatusError> {
        let database = Arc::clone(&self.database);
        let tasks = spawn_blocking(move || tasks(&database.lock().unwrap())).await;
        tasks.ok().and_then(Result::ok).ok_or_else(StatusError::internal_server_error)
    }
}

/// Does what a page does with an event.
fn show(page: &mut BTreeMap<i64, String>, event: &tornadose_test::Event) {
    match &*event.name {
        "tornadose:reset" => page.clear(),
        "message" => {
            let Task { id, title } = serde_json::from_str(&event.data).unwrap();
            page.insert(id, title);
        }
        _ => {}
    }
}
// with load]

// [by hand
#[subscriber(sse, ws, store = Task)]
struct Changes;

/// `GET /tasks`: the rows, and the id after which their changes follow. The id is taken before the rows are read.
struct List {
    database: Database,
    store: Store<Task>,
}

#[handler]
impl List {
    async fn handle(&self) -> Result<salvo::writing::Json<Value>, StatusError> {
        let (database, head) = (Arc::clone(&self.database), self.store.head());
        let tasks = spawn_blocking(move || tasks(&database.lock().unwrap())).await;
        let tasks = tasks.ok().and_then(Result::ok).ok_or_else(StatusError::internal_server_error)?;
        Ok(salvo::writing::Json(json!({ "head": head, "tasks": tasks })))
    }
}

/// Does what a page does when it opens, and after each gap: it leaves the stream, and begins again.
async fn open(app: &Harness, page: &mut BTreeMap<i64, String>) -> Client {
    let list: Value = serde_json::from_str(&app.get("/tasks").await.text()).unwrap();
    page.clear();
    for task in list["tasks"].as_array().unwrap() {
        let Task { id, title } = Task::deserialize(task).unwrap();
        page.insert(id, title);
    }
    app.client("page").sse(format!("/changes?last_event_id={}", list["head"].as_str().unwrap())).await
}

/// Does what a page does with an event. Returns whether it has to begin again.
fn show_change(page: &mut BTreeMap<i64, String>, event: &tornadose_test::Event) -> bool {
    match &*event.name {
        "tornadose:gap" => return true,
        "message" => {
            let Task { id, title } = serde_json::from_str(&event.data).unwrap();
            page.insert(id, title);
        }
        _ => {}
    }
    false
}
// by hand]

fn shown(page: &BTreeMap<i64, String>) -> Vec<&str> {
    page.values().map(String::as_str).collect()
}

#[tornadose_test::test]
async fn a_page_shows_a_list_and_its_changes() {
    let (store, database) = (Store::new(), database());
    let app = harness(Router::with_path("tasks").hoop(Uses(Arc::clone(&database))).get(Tasks::handler(&store)));
    save(&database, &store, 1, "write").await;
    let client = app.client("page").once().sse("/tasks").await;
    save(&database, &store, 2, "read").await;
    save(&database, &store, 1, "write more").await;
    let mut page = BTreeMap::new();
    for _ in 0..4 {
        show(&mut page, &client.next_event().await);
    }
    assert_eq!(shown(&page), ["write more", "read"]);
    client.close().await;
    // While the page is away, more changes than the store keeps.
    for id in 3..9 {
        save(&database, &store, id, "later").await;
    }
    let client = app.client("again").last_event_id(client.last_event_id().unwrap()).sse("/tasks").await;
    for _ in 0..14 {
        show(&mut page, &client.next_event().await);
    }
    assert_eq!(shown(&page)[..3], ["write more", "read", "later"]);
    assert_eq!(page.len(), 8);
    assert_transcript!(client, @r#"
    again > GET /tasks last-event-id #1
    again ~ open 200 text/event-stream
    again < tornadose:gap {"reason":"trimmed","missed":null}
    again < tornadose:reset {}
    again < message {"id":1,"title":"write more"}
    again < message {"id":2,"title":"read"}
    again < message {"id":3,"title":"later"}
    again < message {"id":4,"title":"later"}
    again < message {"id":5,"title":"later"}
    again < message {"id":6,"title":"later"}
    again < message {"id":7,"title":"later"}
    again < message {"id":8,"title":"later"}
    again < message #2 {"id":5,"title":"later"}
    again < message #3 {"id":6,"title":"later"}
    again < message #4 {"id":7,"title":"later"}
    again < message #5 {"id":8,"title":"later"}
    "#);
}

#[tornadose_test::test]
async fn by_hand_a_page_asks_for_the_list_at_each_gap() {
    let (store, database) = (Store::new(), database());
    let list = List { database: Arc::clone(&database), store: store.clone() };
    let app = harness(
        Router::new()
            .push(Router::with_path("tasks").get(list))
            .push(Router::with_path("changes").get(Changes::handler(&store))),
    );
    save(&database, &store, 1, "write").await;
    let mut page = BTreeMap::new();
    let client = open(&app, &mut page).await;
    save(&database, &store, 2, "read").await;
    assert!(!show_change(&mut page, &client.next_event().await));
    store.remove(&tornadose::NoKey).await.unwrap();
    assert!(show_change(&mut page, &client.next_event().await));
    client.close().await;
    let client = open(&app, &mut page).await;
    save(&database, &store, 3, "rest").await;
    assert!(!show_change(&mut page, &client.next_event().await));
    assert_eq!(shown(&page), ["write", "read", "rest"]);
}

/// Counts the lines of a part of this file.
fn lines(part: &str) -> usize {
    let (begin, end) = (format!("// [{part}\n"), format!("// {part}]\n"));
    let source = include_str!("programs.rs");
    let lines = source.split(&begin).nth(1).unwrap().split(&end).next().unwrap().lines();
    lines.filter(|line| !line.trim().is_empty() && !line.trim().starts_with("///")).count()
}

#[test]
fn a_program_with_load_is_shorter_than_one_by_hand() {
    assert_eq!((lines("with load"), lines("by hand")), (22, 35));
}
