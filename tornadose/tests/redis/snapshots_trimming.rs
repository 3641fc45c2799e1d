//! How far the stream of a type with snapshots is trimmed.

use std::time::Duration;

use tokio::time::sleep;
use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::common::until;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::snapshots::{Answer, SNAPSHOTS, STREAM, kept, key, next, submit_tokens, text};

/// A type whose messages expire.
mod brief {
    use tornadose::prelude::*;

    #[store(queue, capacity = 100, channel = "answers", ttl = "2s")]
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Count {
        Added(u64),
        #[snapshot(apply = add)]
        Total(u64),
    }

    fn add(total: &mut u64, message: &Count) {
        if let Count::Added(number) = message {
            *total += number;
        }
    }
}

/// A type with `latest` values beside.
#[store(queue, capacity = 100, channel = "answers")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Board {
    Added(u64),
    #[snapshot(apply = add)]
    Total(u64),
    #[latest]
    Shown(u64),
}

fn add(total: &mut u64, message: &Board) {
    if let Board::Added(number) = message {
        *total += number;
    }
}

/// Starts a server that trims to single entries.
fn start() -> Server {
    let server = Server::start();
    server.cli(&["CONFIG", "SET", "stream-node-max-entries", "1"]);
    server
}

async fn open<M: Message + Serialize + for<'de> Deserialize<'de>>(server: &Server) -> Store<M> {
    Store::open(Redis::streams(server.url()).history(10)).await.unwrap()
}

fn length(server: &Server) -> usize {
    server.cli(&["XLEN", STREAM]).parse().unwrap()
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn no_entry_is_trimmed_before_a_snapshot_contains_it() {
    let server = start();
    let one: Store<Answer> = open(&server).await;
    // Snapshots are refused.
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    let answer = submit_tokens(&one, 1, 0..15).await;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(length(&server), 15);
    server.cli(&["DEL", SNAPSHOTS]);
    until("the rest is trimmed", || length(&server) == 10).await;
    drop(one);
    let late: Store<Answer> = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn beyond_twice_the_history_entries_are_trimmed_in_any_case_and_the_loss_is_told() {
    let server = start();
    let one: Store<Answer> = open(&server).await;
    let proxy = Proxy::to(server.port).await;
    let slow: Store<Answer> = Store::open(Redis::streams(proxy.url()).history(10)).await.unwrap();
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    let mut reader = slow.subscribe_to(key(1));
    one.submit(Answer::Token { run: 1, text: "seen".into() }).await.unwrap();
    assert!(next(&mut reader).await.unwrap().contains("seen"));
    proxy.block();
    submit_tokens(&one, 1, 0..35).await;
    assert_eq!(length(&server), 20);
    proxy.unblock();
    // The reply to a read that was waiting may have been on its way.
    let mut item = next(&mut reader).await.unwrap();
    while item.contains("Token") {
        item = next(&mut reader).await.unwrap();
    }
    assert!(item.starts_with("trimmed"), "{item}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn expired_entries_stay_until_a_snapshot_contains_them_for_twice_their_time_at_most() {
    let server = start();
    let one: Store<brief::Count> = open(&server).await;
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    for _ in 0..5 {
        one.submit(brief::Count::Added(1)).await.unwrap();
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(length(&server), 5);
    server.cli(&["DEL", SNAPSHOTS]);
    // That of the place stays.
    until("they are trimmed", || length(&server) <= 1).await;
    drop(one);
    let late: Store<brief::Count> = open(&server).await;
    assert_eq!(next(&mut late.subscribe()).await, Some("Total(5)".into()));
    server.cli(&["SET", SNAPSHOTS, "of another type"]);
    late.submit(brief::Count::Added(1)).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(length(&server) >= 1);
    until("they are trimmed in any case", || length(&server) == 0).await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_stream_to_which_nothing_is_added_that_is_summed_is_trimmed_to_its_history() {
    let server = start();
    let one: Store<Board> = open(&server).await;
    one.submit(Board::Added(7)).await.unwrap();
    until("the snapshot is kept", || server.cli(&["HEXISTS", SNAPSHOTS, ""]) == "1").await;
    for number in 0..18 {
        one.submit(Board::Shown(number)).await.unwrap();
    }
    until("the rest is trimmed", || length(&server) == 10).await;
    drop(one);
    let late: Store<Board> = open(&server).await;
    let mut reader = late.subscribe();
    let mut found = [next(&mut reader).await.unwrap(), next(&mut reader).await.unwrap()];
    found.sort();
    assert_eq!(found, ["Shown(17)", "Total(7)"]);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_long_answer_is_never_a_gap_for_who_comes_late() {
    let server = start();
    let one: Store<Answer> = open(&server).await;
    let mut answer = String::new();
    for part in 0..4 {
        answer += &submit_tokens(&one, 1, part * 15..part * 15 + 15).await;
        kept(&server, 1, &format!(" {} ", part * 15 + 14)).await;
        until("the rest is trimmed", || length(&server) == 10).await;
        let late: Store<Answer> = open(&server).await;
        assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)));
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_message_that_was_sent_again_is_applied_once_where_its_first_copy_is_trimmed() {
    let server = start();
    let one: Store<Answer> = open(&server).await;
    let answer = submit_tokens(&one, 1, 0..15).await;
    let first = server.cli(&["--raw", "XRANGE", STREAM, "-", "+", "COUNT", "1"]);
    let fields: Vec<&str> = first.lines().skip(1).collect();
    until("it is trimmed", || length(&server) == 10).await;
    // Its reply was lost, so the process has sent it again.
    server.cli(&[&["XADD", STREAM, "*"], &fields[..]].concat());
    drop(one);
    let late: Store<Answer> = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_trim_that_redis_has_refused_is_tried_again() {
    let server = start();
    let one: Store<Answer> = open(&server).await;
    server.cli(&["ACL", "SETUSER", "default", "-xtrim"]);
    let answer = submit_tokens(&one, 1, 0..15).await;
    kept(&server, 1, " 14 ").await;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(length(&server), 15);
    // Nothing is submitted any more.
    server.cli(&["ACL", "SETUSER", "default", "+@all"]);
    until("the rest is trimmed", || length(&server) == 10).await;
    let late: Store<Answer> = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)));
}
