//! The place up to which all snapshots are kept: what it tells of a stream that was trimmed, or went back.

use futures_util::{FutureExt, StreamExt};

use tornadose::prelude::*;

use crate::common::until;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::snapshots::{Answer, SNAPSHOTS, STREAM, kept, key, next, open, submit_tokens, text};

/// Returns the place, once it is kept and contains this.
pub(crate) async fn place(server: &Server, part: &str) -> String {
    let place = || server.cli(&["HGET", SNAPSHOTS, ""]);
    until("the place is kept", || place().contains(part)).await;
    place()
}

/// Returns the id of the newest entry.
pub(crate) fn newest(server: &Server) -> String {
    let newest = server.cli(&["--raw", "XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
    newest.lines().next().unwrap().to_owned()
}

fn append_foreign(server: &Server, run: u32, text: &str) {
    let data = format!(r#"{{"token":{{"run":{run},"text":"{text}"}}}}"#);
    server.cli(&["XADD", STREAM, "*", "data", &data]);
}

fn epoch(server: &Server) -> String {
    server.cli(&["GET", "{tornadose:answers}:epoch"])
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn beside_the_place_stands_how_many_entries_had_been_added() {
    let server = Server::start();
    let one = open(&server).await;
    submit_tokens(&one, 1, 0..10).await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "3"]);
    let found = place(&server, &newest(&server)).await;
    assert_eq!(found, format!("{} {} 1 10", newest(&server), epoch(&server)));
    // A process that has read a part alone counts the same.
    drop(one);
    let late = open(&server).await;
    submit_tokens(&late, 1, 10..15).await;
    assert!(place(&server, &newest(&server)).await.ends_with(" 1 15"));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_stream_that_went_back_while_no_process_ran_is_a_new_epoch_also_when_it_was_refilled() {
    for kept_entries in ["1000", "15", "2"] {
        let server = Server::start();
        let one = open(&server).await;
        submit_tokens(&one, 1, 0..5).await;
        server.cli(&["COPY", STREAM, "{tornadose:answers}:copy"]);
        submit_tokens(&one, 1, 5..30).await;
        place(&server, &newest(&server)).await;
        let before = epoch(&server);
        drop(one);
        server.cli(&["COPY", "{tornadose:answers}:copy", STREAM, "REPLACE"]);
        for number in 0..20 {
            append_foreign(&server, 2, &format!("{number} "));
        }
        server.cli(&["XTRIM", STREAM, "MAXLEN", kept_entries]);
        let late = open(&server).await;
        assert_ne!(epoch(&server), before, "{kept_entries} entries");
        let first = next(&mut late.subscribe_to(key(1))).now_or_never().flatten();
        assert!(!first.as_ref().is_some_and(|first| first.contains(" 29 ")), "{kept_entries} entries: {first:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_reader_of_all_keys_gets_the_snapshots_of_a_stream_that_is_trimmed_to_nothing() {
    let server = Server::start();
    let one = open(&server).await;
    let answer = submit_tokens(&one, 1, 0..10).await;
    let head = one.head();
    kept(&server, 1, " 9 ").await;
    place(&server, &newest(&server)).await;
    drop(one);
    server.cli(&["XTRIM", STREAM, "MAXLEN", "0"]);
    let late = open(&server).await;
    assert_eq!(late.head(), head);
    assert_eq!(next(&mut late.subscribe()).await, Some(text(1, &answer)));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn where_the_stream_is_trimmed_up_to_the_place_every_key_is_known() {
    let server = Server::start();
    let one = open(&server).await;
    let first = submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    place(&server, &newest(&server)).await;
    drop(one);
    for text in ["a", "b", "c"] {
        append_foreign(&server, 2, text);
    }
    // The entry of the place is gone, and none after it.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "3"]);
    let late = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &first)));
    assert_eq!(next(&mut late.subscribe_to(key(2))).await, Some(text(2, "abc")));
    drop(late);
    // One more, which no snapshot contains.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "2"]);
    let late = open(&server).await;
    assert_eq!(late.subscribe_to(key(2)).next().now_or_never(), None);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_snapshot_that_a_failover_has_lost_is_kept_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let one = Store::<Answer>::redis(proxy.url()).await.unwrap();
    let answer = submit_tokens(&one, 1, 0..10).await;
    kept(&server, 1, " 9 ").await;
    place(&server, &newest(&server)).await;
    // The replica has every entry. The snapshot and the place were written after those.
    server.cli(&["DEL", SNAPSHOTS]);
    proxy.move_to(server.port);
    submit_tokens(&one, 2, 0..1).await;
    let found = place(&server, &newest(&server)).await;
    assert!(found.ends_with(" 1 11"), "{found}");
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]);
    let late = open(&server).await;
    assert_eq!(next(&mut late.subscribe_to(key(1))).await, Some(text(1, &answer)));
}
