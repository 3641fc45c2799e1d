//! Handlers that wait for blocking tasks: files, `spawn_blocking`. Nothing is proved quiet while one is running.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
}

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::Duration;

use common::failure::failure;
use common::feed::{Feed, feed};
use rusqlite::Connection;
use salvo::prelude::*;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tornadose_test::{Harness, assert_transcript, run, run_in_real_time};

/// Longer than the window of `settle` in real time.
const SLOW: Duration = Duration::from_millis(60);

#[handler]
async fn read_file(res: &mut Response) {
    let text = tokio::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await.unwrap();
    res.render(text.lines().next().unwrap().to_owned());
}

#[handler]
async fn wait_on_a_thread(res: &mut Response) {
    spawn_blocking(|| sleep(SLOW)).await.unwrap();
    res.render("done");
}

/// Pushes an event from a blocking task, after its answer has been sent.
struct PushLater(Feed);

#[async_trait]
impl Handler for PushLater {
    async fn handle(&self, _: &mut Request, _: &mut Depot, _: &mut salvo::Response, _: &mut FlowCtrl) {
        let feed = self.0.clone();
        tokio::spawn(async move {
            for n in 0..3 {
                spawn_blocking(|| sleep(Duration::from_millis(20))).await.unwrap();
                feed.push(&format!("data: {n}\n\n"));
            }
        });
    }
}

fn router() -> Router {
    let (feed, serve) = feed("");
    Router::new()
        .push(Router::with_path("file").get(read_file))
        .push(Router::with_path("thread").get(wait_on_a_thread))
        .push(Router::with_path("feed").get(serve))
        .push(Router::with_path("push").post(PushLater(feed)))
}

async fn get_both_answers() {
    let app = Harness::new(router());
    assert_eq!(app.get("/file").await.text(), "[package]");
    assert_eq!(app.get("/thread").await.text(), "done");
}

#[tornadose_test::test]
async fn an_answer_waits_for_blocking_tasks() {
    let start = Instant::now();
    get_both_answers().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tornadose_test::test(clock = real)]
async fn an_answer_waits_for_blocking_tasks_in_real_time() {
    get_both_answers().await;
}

async fn read_what_blocking_tasks_push() {
    let app = Harness::new(router());
    let feed = app.sse("/feed").await;
    assert_eq!(app.post("/push", "").await.status(), 200);
    for n in 0..3 {
        assert_eq!(feed.next_now::<u32>().await, n);
    }
    feed.quiet().await;
}

#[tornadose_test::test]
async fn settle_waits_for_blocking_tasks() {
    let start = Instant::now();
    tokio::spawn(tokio::time::sleep(Duration::from_secs(1)));
    read_what_blocking_tasks_push().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tornadose_test::test(clock = real)]
async fn settle_waits_for_blocking_tasks_in_real_time() {
    read_what_blocking_tasks_push().await;
}

#[tornadose_test::test]
async fn an_answer_that_needs_time_gets_it() {
    let app = Harness::new(Router::with_path("later").get(answer_later));
    assert_eq!(app.get("/later").await.text(), "done");
    assert_transcript!(app, @r"
    later > GET /later
    after 100ms
    later ~ answer 200 done
    ");
}

#[handler]
async fn answer_later(res: &mut Response) {
    tokio::time::sleep(Duration::from_millis(100)).await;
    res.render("done");
}

#[test]
fn nothing_is_quiet_while_the_clock_is_held() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(router());
        let feed = app.sse("/feed").await;
        let _held = app.hold_clock();
        feed.quiet().await;
    }), @"
    `feed`: expected no messages, and their absence proves nothing: the clock is held for work outside the runtime
        drop the guard that `hold_clock()` returned when that work is done
    at tornadose-test/tests/blocking.rs:LINE

    the transcript so far:
        feed > GET /feed
        feed ~ open 200 text/event-stream
    the clients:
        feed: open, 0 unread
    ");
}

#[tornadose_test::test(timeout = "2s")]
#[should_panic(expected = "1 blocking tasks are still running")]
async fn nothing_is_quiet_while_a_blocking_task_is_running() {
    let app = Harness::new(router());
    let feed = app.sse("/feed").await;
    let (_end, ended) = std::sync::mpsc::channel::<()>();
    spawn_blocking(move || ended.recv());
    feed.quiet().await;
}

/// Notes in a database and in a file, each on blocking threads. What was stored is sent to every reader.
#[derive(Clone)]
struct Notes {
    database: Arc<Mutex<Connection>>,
    file: PathBuf,
    feed: Feed,
}

struct Add(Notes);

struct List(Notes);

impl Notes {
    fn new(feed: Feed) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let database = Connection::open_in_memory().unwrap();
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)", ()).unwrap();
        let file = format!("notes-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
        Self { database: Arc::new(Mutex::new(database)), file, feed }
    }

    async fn insert(&self, text: String) -> u32 {
        let database = self.database.clone();
        let insert = move || {
            let database = database.lock().unwrap();
            database.execute("INSERT INTO notes (text) VALUES (?1)", (text,)).unwrap();
            database.query_row("SELECT count(*) FROM notes", (), |row| row.get::<_, u32>(0)).unwrap()
        };
        spawn_blocking(insert).await.unwrap()
    }
}

#[async_trait]
impl Handler for Add {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut salvo::Response, _: &mut FlowCtrl) {
        let text = String::from_utf8(req.payload().await.unwrap().to_vec()).unwrap();
        let count = self.0.insert(text.clone()).await;
        tokio::fs::write(&self.0.file, &text).await.unwrap();
        self.0.feed.push(&format!("id: {count}\nevent: added\ndata: {text}\n\n"));
        let notes = self.0.clone();
        // The answer does not wait for this.
        tokio::spawn(async move {
            let stored = tokio::fs::read_to_string(&notes.file).await.unwrap();
            spawn_blocking(|| sleep(Duration::from_millis(2))).await.unwrap();
            notes.feed.push(&format!("event: stored\ndata: {stored}\n\n"));
        });
        res.render(Json(count));
    }
}

#[async_trait]
impl Handler for List {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut salvo::Response, _: &mut FlowCtrl) {
        let database = self.0.database.clone();
        let select = move || {
            let database = database.lock().unwrap();
            let mut select = database.prepare("SELECT text FROM notes ORDER BY id").unwrap();
            select.query_map((), |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap()
        };
        res.render(Json(spawn_blocking(select).await.unwrap()));
    }
}

async fn keep_notes() -> String {
    let (feed, serve) = feed("");
    let notes = Notes::new(feed);
    let file = notes.file.clone();
    let router = Router::with_path("notes").get(List(notes.clone())).post(Add(notes));
    let app = Harness::new(Router::new().push(router).push(Router::with_path("feed").get(serve)));
    let ada = app.client("ada").sse("/feed").await;
    let bob = app.client("bob").sse("/feed").await;
    for text in ["1", "2", "3"] {
        assert_eq!(app.client("eve").post("/notes", text).await.status(), 200);
        ada.skip(2).await;
        ada.quiet().await;
    }
    assert_eq!(app.client("eve").get("/notes").await.json::<Vec<String>>(), ["1", "2", "3"]);
    assert_eq!(bob.drain::<u8>().await, [1, 1, 2, 2, 3, 3]);
    tokio::fs::remove_file(file).await.unwrap();
    app.recording().to_string()
}

/// Runs on several threads at once, a thousand times under `./test --long`.
#[test]
fn parallel_runs_are_all_the_same_on_both_clocks() {
    let runs = if std::env::var_os("TORNADOSE_LONG").is_some() { 1000 } else { 16 };
    let expected = run(keep_notes());
    insta::assert_snapshot!(expected, @r#"
    ada > GET /feed
    ada ~ open 200 text/event-stream
    bob > GET /feed
    bob ~ open 200 text/event-stream
    eve > POST /notes
    ada < added #1 1
    ada < stored 1
    bob < added #1 1
    bob < stored 1
    eve ~ answer 200 1
    eve > POST /notes
    ada < added #2 2
    ada < stored 2
    bob < added #2 2
    bob < stored 2
    eve ~ answer 200 2
    eve > POST /notes
    ada < added #3 3
    ada < stored 3
    bob < added #3 3
    bob < stored 3
    eve ~ answer 200 3
    eve > GET /notes
    eve ~ answer 200 ["1","2","3"]
    "#);
    let next = AtomicUsize::new(0);
    scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < runs {
                    assert_eq!(run(keep_notes()), expected, "with a virtual clock");
                    assert_eq!(run_in_real_time(keep_notes()), expected, "with a real clock");
                }
            });
        }
    });
}
