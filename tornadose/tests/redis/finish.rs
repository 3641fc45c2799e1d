//! Finishes and removals over Redis: the stream decides, and every process obeys, also one that starts later.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{Id, KeyState, NoKey, Received, SubmitError, Subscription};

use crate::common::until;
use crate::log::CapturedLog;
use crate::proxy::Proxy;
use crate::server::Server;

#[store(queue, channel = "runs")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Run {
    Line {
        #[key]
        run: u32,
        text: String,
    },
    #[latest]
    Progress {
        #[key]
        run: u32,
        percent: u32,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

const FINISHES: &str = "{tornadose:runs}:finishes";
const TIMES: &str = "{tornadose:runs}:finish-times";

fn line(run: u32, text: &str) -> Run {
    Run::Line { run, text: text.into() }
}

fn key(run: u32) -> RunKey {
    RunKey { run }
}

async fn open(server: &Server) -> Store<Run> {
    Store::redis(server.url()).await.unwrap()
}

/// Returns the next item as text; `None` at the end.
async fn next(reader: &mut Subscription<Run>) -> Option<String> {
    match timeout(Duration::from_secs(20), reader.next()).await.expect("nothing arrived")? {
        Received::Message { message, .. } => Some(format!("{message:?}")),
        Received::Gap { reason, missed } => Some(format!("{reason} {missed:?}")),
        Received::Finished { key, .. } => Some(format!("finished {key}")),
        other => panic!("{other:?}"),
    }
}

async fn finished<M: Message + tornadose::Finish>(store: &Store<M>, key: &M::Key) -> Id {
    timeout(Duration::from_secs(20), store.finished(key)).await.expect("not finished").expect("the store is open")
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_finish_counts_in_every_process() {
    let server = Server::start();
    let (one, other) = (open(&server).await, open(&server).await);
    let mut readers = [one.subscribe_to(key(1)), other.subscribe_to(key(1))];
    let mut all = other.subscribe();
    one.submit(line(1, "hi")).await.unwrap();
    one.submit(Run::Progress { run: 1, percent: 50 }).await.unwrap();
    let done = one.submit(Run::Done { run: 1 }).await.unwrap();
    let finish = finished(&other, &key(1)).await;
    assert!(finish > done, "the finish has an id of its own");
    for late in [line(1, "late"), Run::Progress { run: 1, percent: 51 }, Run::Done { run: 1 }] {
        for store in [&one, &other] {
            assert!(
                matches!(store.submit(late.clone()).await, Err(SubmitError::Finished { message }) if message == late)
            );
        }
    }
    for store in [&one, &other] {
        assert_eq!(store.finish(&key(1)).await.unwrap(), finish);
        assert_eq!(finished(store, &key(1)).await, finish);
        assert_eq!(store.key_state(&key(1)), KeyState::Finished);
    }
    let expected = [line(1, "hi"), Run::Progress { run: 1, percent: 50 }, Run::Done { run: 1 }];
    for message in &expected {
        assert_eq!(next(&mut all).await, Some(format!("{message:?}")));
        for reader in &mut readers {
            assert_eq!(next(reader).await, Some(format!("{message:?}")));
        }
    }
    assert_eq!(next(&mut all).await.unwrap(), "finished 1");
    for reader in &mut readers {
        assert_eq!(next(reader).await, None);
    }
    // A process that starts later.
    let late = open(&server).await;
    assert_eq!(late.finished(&key(1)).await, Some(finish));
    assert!(matches!(late.submit(line(1, "late")).await, Err(SubmitError::Finished { .. })));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn of_two_finishes_one_counts() {
    let server = Server::start();
    let (one, other) = (open(&server).await, open(&server).await);
    for run in 0..50 {
        let (one_key, other_key) = (key(run), key(run));
        let (first, second) = tokio::join!(one.finish(&one_key), other.finish(&other_key));
        let finish = first.unwrap();
        assert_eq!(finish, second.unwrap());
        assert_eq!((finished(&one, &key(run)).await, finished(&other, &key(run)).await), (finish, finish));
    }
    assert_eq!(server.cli(&["XLEN", "{tornadose:runs}"]), "50");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_finish_outlives_its_entries() {
    let server = Server::start();
    let one = open(&server).await;
    one.submit(line(1, "hi")).await.unwrap();
    one.submit(Run::Progress { run: 1, percent: 100 }).await.unwrap();
    let finish = one.finish(&key(1)).await.unwrap();
    one.submit(line(2, "another run")).await.unwrap();
    server.cli(&["XTRIM", "{tornadose:runs}", "MAXLEN", "1"]);
    let other = open(&server).await;
    assert_eq!((other.key_state(&key(1)), other.key_state(&key(2))), (KeyState::Finished, KeyState::Open));
    assert_eq!(other.finished(&key(1)).await, Some(finish));
    let mut reader = other.subscribe_to(key(1));
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", Run::Progress { run: 1, percent: 100 })));
    assert_eq!(next(&mut reader).await, None);
    assert!(matches!(other.submit(line(1, "late")).await, Err(SubmitError::Finished { .. })));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_finish_that_is_old_and_trimmed_is_forgotten_by_all_processes() {
    let server = Server::start();
    let one = open(&server).await;
    one.finish(&key(1)).await.unwrap();
    one.finish(&key(2)).await.unwrap();
    assert_eq!(server.cli(&["ZADD", TIMES, "XX", "1", r#"{"run":1}"#]), "0");
    // It is old, and its entry is kept.
    let other = open(&server).await;
    other.submit(line(3, "a message")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(other.key_state(&key(1)), KeyState::Finished);
    server.cli(&["XTRIM", "{tornadose:runs}", "MAXLEN", "0"]);
    let third = open(&server).await;
    for store in [&one, &other, &third] {
        until("the finish is forgotten", || store.key_state(&key(1)) != KeyState::Finished).await;
        assert_eq!(store.key_state(&key(2)), KeyState::Finished);
    }
    one.submit(line(1, "a new run")).await.unwrap();
    until("the key is open", || third.key_state(&key(1)) == KeyState::Open).await;
    assert_eq!(server.cli(&["HLEN", FINISHES]), "1");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_removal_counts_in_every_process() {
    let server = Server::start();
    let (one, other) = (open(&server).await, open(&server).await);
    let mut reader = other.subscribe_to(key(1));
    for message in [line(1, "a"), line(1, "b"), Run::Progress { run: 1, percent: 7 }, line(2, "kept")] {
        one.submit(message).await.unwrap();
    }
    until("everything is here", || other.latest(&key(1)).is_some() && other.key_state(&key(2)) == KeyState::Open).await;
    let removal = one.remove(&key(1)).await.unwrap();
    until("the removal is here", || other.head() >= removal).await;
    assert_eq!(next(&mut reader).await.unwrap(), "removed Some(2)");
    assert!(other.latest(&key(1)).is_none());
    assert_eq!(server.cli(&["HLEN", "{tornadose:runs}:latest"]), "0");
    // A process that starts later obeys too.
    let late = open(&server).await;
    assert!(late.latest(&key(1)).is_none());
    one.submit(line(1, "open")).await.unwrap();
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", line(1, "open"))));
    // Also of a finished key.
    one.finish(&key(1)).await.unwrap();
    one.remove(&key(1)).await.unwrap();
    other.submit(line(1, "open again")).await.unwrap();
    assert_eq!(server.cli(&["HLEN", FINISHES]), "0");
    assert_eq!(server.cli(&["ZCARD", TIMES]), "0");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_another_program_appends_behind_a_finish_is_dropped_by_every_process() {
    let server = Server::start();
    let (log, _guard) = CapturedLog::start();
    let (one, other) = (open(&server).await, open(&server).await);
    let mut all = [one.subscribe(), other.subscribe()];
    one.finish(&key(1)).await.unwrap();
    for text in ["late", "later"] {
        let data = format!(r#"{{"line":{{"run":1,"text":"{text}"}}}}"#);
        server.cli(&["XADD", "{tornadose:runs}", "*", "data", &data]);
    }
    server.cli(&["XADD", "{tornadose:runs}", "*", "data", r#"{"line":{"run":2,"text":"in time"}}"#]);
    let late = open(&server).await;
    for reader in &mut all {
        assert_eq!(next(reader).await.unwrap(), "finished 1");
        assert_eq!(next(reader).await, Some(format!("{:?}", line(2, "in time"))));
    }
    assert_eq!(late.subscribe_to(key(1)).next().await, None);
    let dropped = log.take().into_iter().filter(|line| line.contains("message after a finish dropped")).count();
    assert_eq!(dropped, 3, "once a minute in each process");
    // A message that nobody waits for is dropped by Redis.
    one.try_submit(line(1, "nobody waits")).unwrap();
    one.submit(line(2, "after it")).await.unwrap();
    assert!(!server.cli(&["XRANGE", "{tornadose:runs}", "-", "+"]).contains("nobody waits"));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_finish_whose_reply_is_lost_is_not_taken_for_another() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Run>::redis(proxy.url()).await.unwrap();
    store.submit(line(1, "hi")).await.unwrap();
    // Redis executes the commands, and the replies do not arrive.
    proxy.lose_replies(true);
    let submits = store.clone();
    let done = tokio::spawn(async move { submits.submit(Run::Done { run: 1 }).await });
    until("it is appended", || server.cli(&["HLEN", FINISHES]) == "1").await;
    proxy.lose_replies(false);
    proxy.move_to(server.port);
    let done = done.await.unwrap().unwrap();
    assert!(finished(&store, &key(1)).await > done);
    assert_eq!(server.cli(&["XLEN", "{tornadose:runs}"]), "3");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_removal_whose_reply_is_lost_drops_nothing_that_follows_it() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let (store, other) = (Store::<Run>::redis(proxy.url()).await.unwrap(), open(&server).await);
    let mut reader = other.subscribe_to(key(1));
    store.submit(line(1, "removed")).await.unwrap();
    until("it is here", || other.head() >= store.head()).await;
    proxy.lose_replies(true);
    let removing = store.clone();
    let removal = tokio::spawn(async move { removing.remove(&key(1)).await });
    until("the removal is appended", || server.cli(&["XLEN", "{tornadose:runs}"]) == "2").await;
    other.submit(line(1, "kept")).await.unwrap();
    proxy.lose_replies(false);
    proxy.move_to(server.port);
    removal.await.unwrap().unwrap();
    // The store that sent it again has read everything behind it.
    let last = store.submit(line(2, "the last")).await.unwrap();
    until("it is here", || other.head() >= last && store.head() >= last).await;
    assert_eq!(next(&mut reader).await.unwrap(), "removed Some(1)");
    assert_eq!(next(&mut reader).await.unwrap(), format!("{:?}", line(1, "kept")));
    assert!(reader.next().now_or_never().is_none());
    // The process that sent it, and one that starts now, keep it too.
    for store in [&store, &open(&server).await] {
        assert_eq!(store.key_state(&key(1)), KeyState::Open);
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_type_without_keys_is_finished_in_every_process() {
    #[store(latest, finish, channel = "progress")]
    #[derive(Debug, Serialize, Deserialize)]
    struct Percent(u32);

    let server = Server::start();
    let (one, other) =
        (Store::<Percent>::redis(server.url()).await.unwrap(), Store::<Percent>::redis(server.url()).await.unwrap());
    one.submit(Percent(1)).await.unwrap();
    let finish = other.finish(&NoKey).await.unwrap();
    assert_eq!((finished(&one, &NoKey).await, finished(&other, &NoKey).await), (finish, finish));
    assert!(matches!(one.submit(Percent(2)).await, Err(SubmitError::Finished { .. })));
    let late = Store::<Percent>::redis(server.url()).await.unwrap();
    assert_eq!((late.key_state(&NoKey), late.latest(&NoKey).unwrap().0), (KeyState::Finished, 1));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn over_pubsub_a_finish_holds_within_its_process() {
    let server = Server::start();
    let store = Store::<Run>::open(Redis::pubsub(server.url())).await.unwrap();
    let (mut one, mut all) = (store.subscribe_to(key(1)), store.subscribe());
    assert!(matches!(store.finish(&key(1)).await, Err(SubmitError::Unsupported { message: () })));
    assert!(matches!(store.remove(&key(1)).await, Err(SubmitError::Unsupported { message: () })));
    store.submit(Run::Done { run: 1 }).await.unwrap();
    assert_eq!(next(&mut one).await, Some(format!("{:?}", Run::Done { run: 1 })));
    assert_eq!(next(&mut one).await, None);
    next(&mut all).await;
    assert_eq!(next(&mut all).await.unwrap(), "finished 1");
    assert!(matches!(store.submit(line(1, "late")).await, Err(SubmitError::Finished { .. })));
    assert_eq!(store.key_state(&key(1)), KeyState::Finished);
}
