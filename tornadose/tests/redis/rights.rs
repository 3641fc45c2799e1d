//! The rights of a user of Redis, as `docs/redis.md` tells an operator to grant them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{GapReason, Received, SubmitError, Subscription};

use crate::common::{Line, Market, apple, line, microsoft, quote, text, until};
use crate::log::CapturedLog;
use crate::server::Server;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/redis.md");

/// Returns the arguments of the page's `redis-cli ACL SETUSER` for this user.
pub(crate) fn acl_line(user: &str) -> Vec<String> {
    let page = fs::read_to_string(PAGE).unwrap();
    let command = format!("redis-cli ACL SETUSER {user} ");
    let after = page.split_once(&command).unwrap_or_else(|| panic!("`{command}` is not in {PAGE}")).1;
    let rules = after.split_once("\n```").unwrap().0.replace("\\\n", " ").replace('\'', "");
    let words = command.split_whitespace().skip(1).chain(rules.split_whitespace());
    words.map(str::to_owned).collect()
}

#[store(queue, channel = "rights")]
#[derive(Debug, Serialize, Deserialize)]
enum Run {
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn without_the_rights_to_finish_nothing_is_appended() {
    for missing in ["-zadd", "-hset", "-xadd"] {
        let server = Server::start();
        let mut line = acl_line("streams");
        line.push(missing.into());
        assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
        let url = format!("redis://streams:secret@127.0.0.1:{}/", server.port);
        let store = Store::<Run>::redis(url).await.unwrap();
        let error = store.submit(Run::Done { run: 1 }).await.unwrap_err();
        assert!(matches!(error, SubmitError::Refused { .. }), "{missing}: {error}");
        assert!(matches!(store.finish(&RunKey { run: 2 }).await, Err(SubmitError::Refused { .. })), "{missing}");
        for key in ["", ":finishes", ":finish-times"] {
            let length = match key {
                "" => server.cli(&["XLEN", "{tornadose:rights}"]),
                ":finishes" => server.cli(&["HLEN", "{tornadose:rights}:finishes"]),
                _ => server.cli(&["ZCARD", "{tornadose:rights}:finish-times"]),
            };
            assert_eq!(length, "0", "{missing}: {key}");
        }
    }
}

/// Returns the next item as text.
async fn next(reader: &mut Subscription<Market>) -> String {
    match timeout(Duration::from_secs(20), reader.next()).await.expect("nothing arrived").expect("the reader ended") {
        Received::Message { message, .. } => format!("{message:?}"),
        Received::Gap { reason, .. } => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is a process of the test below, and does nothing by itself"]
async fn reads_as_a_process() {
    let Ok(url) = std::env::var("TORNADOSE_TEST_RIGHTS") else { return };
    let store = Store::<Market>::redis(url).await.unwrap();
    eprintln!("head {} latest {:?} {:?}", store.head(), store.latest(&apple()), store.latest(&microsoft()));
}

/// Returns what a second process reads.
async fn read_by_another_process(url: &str) -> String {
    let url = url.to_owned();
    let output = tokio::task::spawn_blocking(|| {
        Command::new(std::env::current_exe().unwrap())
            .args(["rights::reads_as_a_process", "--exact", "--ignored", "--nocapture"])
            .env("TORNADOSE_TEST_RIGHTS", url)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    });
    let output = String::from_utf8_lossy(&output.await.unwrap().stderr).into_owned();
    output.lines().find(|line| line.starts_with("head ")).unwrap_or_else(|| panic!("{output}")).to_owned()
}

#[store(queue, channel = "counts", ttl = "1h")]
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Count {
    Added {
        #[key]
        run: u32,
        number: u64,
    },
    #[snapshot(apply = add)]
    Total {
        #[key]
        run: u32,
        number: u64,
    },
}

fn add(total: &mut u64, message: &Count) {
    if let Count::Added { number, .. } = message {
        *total += number;
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn with_the_rights_of_the_page_snapshots_are_kept_and_loaded_and_the_stream_is_trimmed() {
    let server = Server::start();
    server.cli(&["CONFIG", "SET", "stream-node-max-entries", "1"]);
    let line = acl_line("streams");
    assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
    let (log, _guard) = CapturedLog::start();
    let backend = || Redis::streams(format!("redis://streams:secret@127.0.0.1:{}/", server.port)).history(10);
    let store = Store::<Count>::open(backend()).await.unwrap();
    for number in 0..15 {
        store.submit(Count::Added { run: 1, number }).await.unwrap();
    }
    let snapshots = "{tornadose:counts}:snapshots";
    until("the place is kept", || server.cli(&["HEXISTS", snapshots, ""]) == "1").await;
    until("the stream is trimmed", || server.cli(&["XLEN", "{tornadose:counts}"]) == "10").await;
    let late = Store::<Count>::open(backend()).await.unwrap();
    let first = timeout(Duration::from_secs(20), late.subscribe().next()).await.unwrap().unwrap();
    assert!(matches!(first, Received::Message { message, .. } if matches!(*message, Count::Total { number: 105, .. })));
    // What cannot be read makes snapshots unknown, which are looked for then.
    server.cli(&["XADD", "{tornadose:counts}", "*", "data", "{}"]);
    store.remove(&CountKey { run: 1 }).await.unwrap();
    until("the snapshot is dropped", || server.cli(&["HEXISTS", snapshots, r#"{"run":1}"#]) == "0").await;
    late.submit(Count::Added { run: 2, number: 1 }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.cli(&["ACL", "LOG"]), "", "Redis has refused nothing");
    let refused: Vec<_> = log.take().into_iter().filter(|event| event.contains("NOPERM")).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_user_with_the_rights_of_the_page_is_refused_nothing() {
    let server = Server::start();
    for user in ["streams", "pubsub"] {
        let line = acl_line(user);
        assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
    }
    let url = |user: &str, database: u32| format!("redis://{user}:secret@127.0.0.1:{}/{database}", server.port);
    let (log, _guard) = CapturedLog::start();
    let streams = url("streams", 1);
    let store = Store::<Market>::redis(&streams).await.unwrap();
    let mut reader = store.subscribe();

    // A queue message, latest ones, and a key that is forgotten.
    let trade = || Market::Trade { symbol: "AAPL".into(), price: 1 };
    store.submit(trade()).await.unwrap();
    assert_eq!(next(&mut reader).await, format!("{:?}", trade()));
    for quote in [quote("AAPL", 1), quote("MSFT", 2)] {
        store.submit(quote).await.unwrap();
    }
    until("the value is read", || store.latest(&microsoft()).is_some()).await;
    store.forget(&microsoft());
    let in_redis = |arguments: &[&str]| server.cli(&[&["-n", "1"], arguments].concat());
    until("the value is forgotten", || in_redis(&["HLEN", "{tornadose:market}:latest"]) == "1").await;
    // Enough of another program that the stream is trimmed on its behalf.
    let script = r#"for i = 1, 200 do redis.call('XADD', KEYS[1], '*', 'data', '{"quote":{"symbol":"AAPL","bid":' .. i .. '}}') end"#;
    in_redis(&["EVAL", script, "1", "{tornadose:market}"]);
    until("the newest value is kept", || in_redis(&["HVALS", "{tornadose:market}:latest"]).contains(":200}")).await;
    let expected = format!("head {} latest Some({:?}) None", store.head(), quote("AAPL", 200));
    assert_eq!(read_by_another_process(&streams).await, expected);

    // A key that is finished, one that is removed, and finishes that are old.
    let runs = Store::<Run>::redis(&streams).await.unwrap();
    runs.submit(Run::Done { run: 1 }).await.unwrap();
    runs.finish(&RunKey { run: 2 }).await.unwrap();
    runs.remove(&RunKey { run: 2 }).await.unwrap();
    in_redis(&["ZADD", "{tornadose:rights}:finish-times", "1", r#"{"run":1}"#]);
    in_redis(&["XTRIM", "{tornadose:rights}", "MAXLEN", "0"]);
    let late = Store::<Run>::redis(&streams).await.unwrap();
    until("the finish is forgotten", || late.key_state(&RunKey { run: 1 }) != tornadose::KeyState::Finished).await;

    // A new epoch.
    in_redis(&["DEL", "{tornadose:market}"]);
    while next(&mut reader).await != GapReason::Restarted.to_string() {}
    store.submit(trade()).await.unwrap();
    assert_eq!(next(&mut reader).await, format!("{:?}", trade()));
    assert!(read_by_another_process(&streams).await.starts_with(&format!("head {} latest ", store.head())));

    let store = Store::<Line>::open(Redis::pubsub(url("pubsub", 0))).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("published")).await.unwrap();
    assert_eq!(text(&mut reader).await, "published");
    until("the subscription is pinged", || server.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).contains("cmd=ping"))
        .await;
    store.submit(line("still")).await.unwrap();
    assert_eq!(text(&mut reader).await, "still");

    assert_eq!(server.cli(&["ACL", "LOG"]), "", "Redis has refused nothing");
    let refused: Vec<_> = log.take().into_iter().filter(|event| event.contains("NOPERM")).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
