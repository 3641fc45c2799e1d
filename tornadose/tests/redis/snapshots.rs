//! Snapshots over Redis: a process that starts late has the sums of messages that the stream has trimmed.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{Received, Subscription};

use crate::common::until;
use crate::log::CapturedLog;
use crate::server::Server;

#[store(queue, capacity = 100, channel = "answers")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Token {
        #[key]
        run: u32,
        text: String,
    },
    #[snapshot(apply = append)]
    Text {
        #[key]
        run: u32,
        text: String,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

fn append(text: &mut String, message: &Answer) {
    if let Answer::Token { text: piece, .. } = message {
        text.push_str(piece);
    }
}

/// A newer version of the program, whose snapshots are others.
mod newer {
    use tornadose::prelude::*;

    #[store(queue, capacity = 100, channel = "answers")]
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Answer {
        Token {
            #[key]
            run: u32,
            text: String,
        },
        #[snapshot(apply = count, version = 2)]
        Text {
            #[key]
            run: u32,
            length: usize,
        },
        #[finish]
        Done {
            #[key]
            run: u32,
        },
    }

    fn count(length: &mut usize, message: &Answer) {
        if let Answer::Token { text, .. } = message {
            *length += text.len();
        }
    }
}

pub(crate) const STREAM: &str = "{tornadose:answers}";
pub(crate) const SNAPSHOTS: &str = "{tornadose:answers}:snapshots";

pub(crate) fn token(run: u32, text: impl Into<String>) -> Answer {
    Answer::Token { run, text: text.into() }
}

pub(crate) fn key(run: u32) -> AnswerKey {
    AnswerKey { run }
}

pub(crate) fn field(run: u32) -> String {
    format!(r#"{{"run":{run}}}"#)
}

pub(crate) async fn open(server: &Server) -> Store<Answer> {
    Store::redis(server.url()).await.unwrap()
}

pub(crate) async fn submit_tokens(store: &Store<Answer>, run: u32, numbers: std::ops::Range<u32>) -> String {
    let mut whole = String::new();
    for number in numbers {
        let text = format!("{number} ");
        whole.push_str(&text);
        store.submit(token(run, text)).await.unwrap();
    }
    whole
}

/// Returns the next item as text; `None` at the end.
pub(crate) async fn next<M: Message + std::fmt::Debug>(reader: &mut Subscription<M>) -> Option<String> {
    match timeout(Duration::from_secs(20), reader.next()).await.expect("nothing arrived")? {
        Received::Message { message, .. } => Some(format!("{message:?}")),
        Received::Gap { reason, missed } => Some(format!("{reason} {missed:?}")),
        Received::Finished { key, .. } => Some(format!("finished {key}")),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn text(run: u32, text: &str) -> String {
    format!("{:?}", Answer::Text { run, text: text.to_owned() })
}

pub(crate) fn is_kept(server: &Server, run: u32) -> bool {
    server.cli(&["HEXISTS", SNAPSHOTS, &field(run)]) == "1"
}

/// Waits until Redis keeps a snapshot of a key that ends so.
pub(crate) async fn kept(server: &Server, run: u32, end: &str) {
    let end = format!(r#"{end}"}}}}"#);
    until("the snapshot is kept", || server.cli(&["HGET", SNAPSHOTS, &field(run)]).ends_with(&end)).await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_process_that_starts_late_gets_a_trimmed_answer_as_one_event() {
    let server = Server::start();
    let one = Store::open(Redis::streams(server.url()).history(200)).await.unwrap();
    let mut answer = submit_tokens(&one, 1, 0..2000).await;
    kept(&server, 1, " 1999 ").await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "20"]);
    let late = open(&server).await;
    let mut reader = late.subscribe_to(key(1));
    assert_eq!(next(&mut reader).await, Some(text(1, &answer)));
    // It goes on as every other.
    answer += &submit_tokens(&one, 1, 2000..2002).await;
    for number in 2000..2002 {
        assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, format!("{number} ")))));
    }
    let newest = one.submit(token(1, "the end")).await.unwrap();
    answer += "the end";
    until("it is here", || late.head() >= newest).await;
    // One that is encoded already, and the messages after it.
    let mut reader = late.subscribe_to(key(1));
    let mut shown = String::new();
    while shown != answer {
        match timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap() {
            Received::Message { message, .. } => match &*message {
                Answer::Text { text, .. } => shown.clone_from(text),
                message => append(&mut shown, message),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn messages_after_a_kept_snapshot_are_applied_once() {
    let server = Server::start();
    let one = open(&server).await;
    let mut answer = submit_tokens(&one, 1, 0..50).await;
    kept(&server, 1, " 49 ").await;
    drop(one);
    // Another program goes on. Nothing keeps a snapshot of it.
    for number in 50..60 {
        let data = format!(r#"{{"token":{{"run":1,"text":"{number} "}}}}"#);
        server.cli(&["XADD", STREAM, "*", "data", &data]);
        answer.extend([&number.to_string(), " "]);
    }
    // Also where entries that the snapshot contains are still in the stream.
    for length in ["1000", "20", "11"] {
        server.cli(&["XTRIM", STREAM, "MAXLEN", length]);
        let late = open(&server).await;
        assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)), "{length} entries");
    }
    // An entry after it is gone.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "9"]);
    let late = open(&server).await;
    assert_eq!(late.subscribe_to(key(1)).next().now_or_never(), None);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_snapshot_of_a_finished_key_outlives_its_entries() {
    let server = Server::start();
    let one = open(&server).await;
    let answer = submit_tokens(&one, 1, 0..50).await;
    one.submit(Answer::Done { run: 1 }).await.unwrap();
    until("it is finished", || one.key_state(&key(1)) == tornadose::KeyState::Finished).await;
    let finish = server.cli(&["HGET", "{tornadose:answers}:finishes", &field(1)]);
    let finish = finish.split(' ').next().unwrap().to_owned();
    until("the whole answer is kept", || server.cli(&["HGET", SNAPSHOTS, &field(1)]).starts_with(&finish)).await;
    submit_tokens(&one, 2, 0..10).await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "5"]);
    let late = open(&server).await;
    let mut reader = late.subscribe_to(key(1));
    assert_eq!(next(&mut reader).await, Some(text(1, &answer)));
    assert_eq!(next(&mut reader).await, None);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_removed_key_has_no_snapshot() {
    let server = Server::start();
    let (one, other) = (open(&server).await, open(&server).await);
    submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    let stale = server.cli(&["HGET", SNAPSHOTS, &field(1)]);
    one.remove(&key(1)).await.unwrap();
    assert!(!is_kept(&server, 1));
    until("the removal is here", || other.head() >= one.head()).await;
    // A process that had not read the removal writes the snapshot. A process that starts obeys the removal, and drops it.
    server.cli(&["HSET", SNAPSHOTS, &field(1), &stale]);
    let late = open(&server).await;
    assert!(!is_kept(&server, 1));
    let mut readers = [late.subscribe_to(key(1)), other.subscribe_to(key(1))];
    one.submit(token(1, "new")).await.unwrap();
    for reader in &mut readers {
        assert_eq!(next(reader).await, Some(format!("{:?}", token(1, "new"))));
    }
    kept(&server, 1, r#""new"#).await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_snapshot_of_another_version_is_not_known() {
    let server = Server::start();
    let one = open(&server).await;
    submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let newer = Store::<newer::Answer>::redis(server.url()).await.unwrap();
    let mut reader = newer.subscribe_to(newer::AnswerKey { run: 1 });
    assert_eq!(reader.next().now_or_never(), None);
    // Of a new key it has one, which is not known to the older version.
    drop((one, newer, reader));
    let newer = Store::<newer::Answer>::redis(server.url()).await.unwrap();
    newer.submit(newer::Answer::Text { run: 2, length: 7 }).await.unwrap();
    newer.submit(newer::Answer::Token { run: 2, text: "ten bytes!".into() }).await.unwrap();
    until("it is kept", || server.cli(&["HGET", SNAPSHOTS, &field(2)]).contains("\"length\":17")).await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = Store::<newer::Answer>::redis(server.url()).await.unwrap();
    let sum = newer::Answer::Text { run: 2, length: 17 };
    assert_eq!(next(&mut late.subscribe_to(newer::AnswerKey { run: 2 })).await, Some(format!("{sum:?}")));
    let older = open(&server).await;
    assert_eq!(older.subscribe_to(key(2)).next().now_or_never(), None);
}

/// A process that submits tokens until it is killed.
struct Producer(Child);

impl Producer {
    fn start(url: &str) -> Self {
        // The test program itself, which runs only `submits_as_a_process`.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["snapshots::submits_as_a_process", "--exact", "--ignored", "--nocapture"])
            .env("TORNADOSE_TEST_PRODUCER", url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
#[ignore = "is a process of the test below, and does nothing by itself"]
async fn submits_as_a_process() {
    let Ok(url) = std::env::var("TORNADOSE_TEST_PRODUCER") else { return };
    let store = Store::<Answer>::redis(url).await.unwrap();
    for number in 0.. {
        store.submit(token(1, format!("{number} "))).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_snapshot_of_a_killed_process_is_kept_by_another() {
    let server = Server::start();
    let one = open(&server).await;
    let producer = Producer::start(&server.url());
    until("there is a snapshot", || is_kept(&server, 1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(producer);
    let killed_at = Instant::now();
    let newest = server.cli(&["--raw", "XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
    let newest = newest.lines().next().unwrap().to_owned();
    until("it is whole", || server.cli(&["HGET", SNAPSHOTS, &field(1)]).starts_with(&newest)).await;
    assert!(killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    let whole = next(&mut one.subscribe_to(key(1))).await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, whole);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn snapshots_are_kept_after_an_outage_and_those_of_a_lost_stream_are_not_believed() {
    let mut server = Server::start();
    let one = open(&server).await;
    let answer = submit_tokens(&one, 1, 0..10).await;
    server.kill();
    server.restart();
    kept(&server, 1, " 9 ").await;
    let kept_then = server.cli(&["HGET", SNAPSHOTS, &field(1)]);
    server.freeze();
    assert_eq!(next(&mut one.subscribe_to(key(1))).await, Some(text(1, &answer)));
    server.thaw();
    // The stream is lost, and the hash is not.
    server.cli(&["DEL", STREAM]);
    one.submit(token(2, "new")).await.unwrap();
    kept(&server, 2, r#""new"#).await;
    server.cli(&["HSET", SNAPSHOTS, &field(1), &kept_then]);
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = open(&server).await;
    assert_eq!(late.subscribe_to(key(1)).next().now_or_never(), None);
    assert_eq!(next(&mut late.subscribe_to(key(2))).await, Some(text(2, "new")));
    assert!(!is_kept(&server, 1), "it is dropped");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn messages_are_submitted_while_snapshots_are_refused() {
    let server = Server::start();
    let (log, _guard) = CapturedLog::start();
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    server.cli(&["DEL", SNAPSHOTS]);
    let one = open(&server).await;
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    let answer = submit_tokens(&one, 1, 0..10).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let refused = log.take().into_iter().filter(|line| line.contains("snapshots not kept")).count();
    assert_eq!(refused, 1, "it is logged once");
    assert_eq!(next(&mut one.subscribe_to(key(1))).await, Some(text(1, &answer)));
    // It is written again and again until it is taken.
    server.cli(&["DEL", SNAPSHOTS]);
    kept(&server, 1, " 9 ").await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn large_snapshots_are_loaded_in_parts_and_as_many_as_there_is_room_for() {
    let server = Server::start();
    let one = open(&server).await;
    let piece = "x".repeat(100_000);
    for run in 0..4 {
        for _ in 0..40 {
            one.submit(token(run, &piece)).await.unwrap();
        }
    }
    for run in 0..4 {
        kept(&server, run, "xxx").await;
        until("it is whole", || server.cli(&["HSTRLEN", SNAPSHOTS, &field(run)]).parse::<u32>().unwrap() > 4_000_000)
            .await;
    }
    // The newest first.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(3))).await, Some(text(3, &piece.repeat(40))));
    let small = Store::<Answer>::builder().memory(3_000_000).open(Redis::streams(server.url())).await.unwrap();
    assert_eq!(small.subscribe_to(key(3)).next().now_or_never(), None);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_process_that_starts_on_a_trimmed_stream_knows_old_keys_and_new_ones() {
    let server = Server::start();
    let one = open(&server).await;
    let first = submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    let place = || server.cli(&["HGET", SNAPSHOTS, ""]);
    until("the place is kept", || !place().is_empty()).await;
    drop(one);
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let before = place();
    let second = open(&server).await;
    let answer = submit_tokens(&second, 2, 0..10).await;
    kept(&server, 2, " 9 ").await;
    until("the place has moved", || place() != before).await;
    drop(second);
    // Nothing of the first key is in the stream any more.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let third = open(&server).await;
    assert_eq!(next(&mut third.subscribe_to(key(1))).await, Some(text(1, &first)));
    assert_eq!(next(&mut third.subscribe_to(key(2))).await, Some(text(2, &answer)));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn where_entries_after_the_place_are_gone_a_key_without_a_snapshot_is_not_taken_for_new() {
    let server = Server::start();
    let one = open(&server).await;
    submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    drop(one);
    // Another program appends, and trims what no process has read.
    for number in 0..3 {
        let data = format!(r#"{{"token":{{"run":2,"text":"{number}"}}}}"#);
        server.cli(&["XADD", STREAM, "*", "data", &data]);
    }
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = open(&server).await;
    late.submit(token(2, "3")).await.unwrap();
    until("it is here", || late.key_state(&key(2)) == tornadose::KeyState::Open).await;
    for run in [1, 2] {
        assert_eq!(late.subscribe_to(key(run)).next().now_or_never(), None, "{run}");
    }
    // Nothing of it is kept.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!is_kept(&server, 2));
}
