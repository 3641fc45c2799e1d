//! Ephemeral messages over Redis: order between processes, outages, and what a new process gets.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use tornadose::prelude::*;
use tornadose::{Received, SubmitError, Subscription};

use crate::common::until;
use crate::proxy::Proxy;
use crate::rights::acl_line;
use crate::server::Server;

#[store(queue, channel = "chat")]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chat {
    Said {
        #[key]
        room: u32,
        text: String,
    },
    #[ephemeral]
    Typing {
        #[key]
        room: u32,
        text: String,
    },
}

/// A type whose keys can be finished.
#[store(queue, channel = "runs", finish)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Run {
    Line {
        #[key]
        run: u32,
        text: String,
    },
    #[ephemeral]
    Progress {
        #[key]
        run: u32,
        percent: u32,
    },
}

const STREAM: &str = "{tornadose:chat}";
const EPHEMERAL: &str = "{tornadose:chat}:ephemeral";

fn said(text: impl Into<String>) -> Chat {
    Chat::Said { room: 1, text: text.into() }
}

fn typing(text: impl Into<String>) -> Chat {
    Chat::Typing { room: 1, text: text.into() }
}

async fn open(url: impl Into<String>) -> Store<Chat> {
    Store::redis(url.into()).await.unwrap()
}

/// Returns the next message: its text, with dots if it is ephemeral.
async fn next(reader: &mut Subscription<Chat>) -> String {
    let received = timeout(Duration::from_secs(60), reader.next()).await.expect("nothing arrived within a minute");
    match received.expect("the reader ended") {
        Received::Message { message, .. } => match &*message {
            Chat::Said { text, .. } => text.clone(),
            Chat::Typing { text, .. } => format!("{text}…"),
        },
        other => panic!("{other:?}"),
    }
}

/// Asserts that nothing more comes.
async fn assert_quiet(reader: &mut Subscription<Chat>) {
    let more = timeout(Duration::from_millis(500), reader.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn two_processes_deliver_it_after_the_entry_that_it_follows() {
    let server = Server::start();
    let (one, two) = (open(server.url()).await, open(server.url()).await);
    let (mut here, mut there) = (one.subscribe(), two.subscribe());
    // It is acknowledged with the id of the entry that it follows, and the log does not move.
    let first = one.submit(said("first")).await.unwrap();
    assert_eq!(one.submit(typing("one")).await.unwrap(), first);
    assert_eq!(two.submit(typing("two")).await.unwrap(), first);
    for reader in [&mut here, &mut there] {
        assert_eq!([next(reader).await, next(reader).await, next(reader).await], ["first", "one…", "two…"]);
    }
    // Bursts from both, in which each follows its own message.
    for round in 0..50 {
        for (name, store) in [("a", &one), ("b", &two)] {
            store.try_submit(said(format!("{name}{round}"))).unwrap();
            store.try_submit(typing(format!("{name}{round}"))).unwrap();
        }
        if round % 10 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    for reader in [&mut here, &mut there] {
        let mut received = Vec::new();
        while received.len() < 200 {
            received.push(next(reader).await);
        }
        for name in ["a", "b"] {
            let of = |is_ephemeral: bool| {
                let texts = received.iter().filter(move |text| text.ends_with('…') == is_ephemeral);
                texts.filter(|text| text.starts_with(name)).map(|text| text.trim_end_matches('…').to_owned())
            };
            let expected: Vec<String> = (0..50).map(|round| format!("{name}{round}")).collect();
            assert_eq!(of(false).collect::<Vec<_>>(), expected);
            assert_eq!(of(true).collect::<Vec<_>>(), expected);
            for text in &expected {
                let at = |text: &str| received.iter().position(|received| received == text).unwrap();
                assert!(at(text) < at(&format!("{text}…")), "{text}");
            }
        }
    }
    assert_eq!(one.head(), two.head());
    assert!(server.cli(&["XLEN", STREAM]) == "101", "ephemeral messages are not in the stream");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_new_process_and_a_client_that_returns_do_not_get_it() {
    let server = Server::start();
    let one = open(server.url()).await;
    let id = one.submit(said("kept")).await.unwrap();
    one.submit(typing("old")).await.unwrap();
    let two = open(server.url()).await;
    let mut reader = two.subscribe();
    assert_eq!(two.head(), id);
    assert_quiet(&mut reader).await;
    one.submit(typing("new")).await.unwrap();
    assert_eq!(next(&mut reader).await, "new…");
    // The stream is bounded.
    for number in 0..3000 {
        one.try_submit(typing(number.to_string())).unwrap();
    }
    one.submit(typing("last")).await.unwrap();
    let length: u32 = server.cli(&["XLEN", EPHEMERAL]).parse().unwrap();
    assert!((1000..1300).contains(&length), "{length}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_is_older_than_5_s_after_an_outage_is_delivered_to_nobody() {
    let server = Server::start();
    let (proxy, one) = (Proxy::to(server.port).await, open(server.url()).await);
    let cut_off = open(proxy.url()).await;
    let (mut reader, mut other) = (cut_off.subscribe(), one.subscribe());
    one.submit(said("before")).await.unwrap();
    assert_eq!(next(&mut reader).await, "before");
    proxy.block();
    one.submit(typing("old")).await.unwrap();
    one.submit(said("kept")).await.unwrap();
    sleep(Duration::from_millis(5200)).await;
    one.submit(typing("fresh")).await.unwrap();
    proxy.unblock();
    for expected in ["before", "kept", "fresh…"] {
        assert_eq!(next(&mut other).await, expected, "its reader has not read for so long");
    }
    // The reply to a read that was waiting may have been on its way, with what was young then.
    let mut received = vec![next(&mut reader).await];
    if received[0] == "old…" {
        received = vec![next(&mut reader).await];
    }
    received.push(next(&mut reader).await);
    assert_eq!(received, ["kept", "fresh…"]);
    assert_quiet(&mut reader).await;
    assert_quiet(&mut other).await;
    // It goes on in both directions.
    cut_off.submit(typing("again")).await.unwrap();
    assert_eq!((next(&mut reader).await, next(&mut other).await), ("again…".into(), "again…".into()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_waits_for_5_s_while_redis_is_down_is_not_sent() {
    let mut server = Server::start();
    let store = open(server.url()).await;
    let mut reader = store.subscribe();
    store.submit(said("before")).await.unwrap();
    server.kill();
    store.try_submit(said("kept")).unwrap();
    store.try_submit(typing("old")).unwrap();
    sleep(Duration::from_secs(4)).await;
    store.try_submit(typing("young")).unwrap();
    sleep(Duration::from_millis(1200)).await;
    server.restart();
    assert_eq!(
        [next(&mut reader).await, next(&mut reader).await, next(&mut reader).await],
        ["before", "kept", "young…"]
    );
    assert_quiet(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn it_is_read_also_where_blocking_reads_are_not_permitted() {
    let server = Server::start();
    let mut line = acl_line("streams");
    assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
    let url = format!("redis://streams:secret@127.0.0.1:{}/", server.port);
    let store = open(url).await;
    let mut reader = store.subscribe();
    store.submit(typing("one")).await.unwrap();
    assert_eq!(next(&mut reader).await, "one…");
    line.push("-xread".into());
    server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>());
    for text in ["two", "three", "four"] {
        store.submit(said(text)).await.unwrap();
        store.submit(typing(text)).await.unwrap();
        let received = [next(&mut reader).await, next(&mut reader).await];
        assert_eq!(received, [text.to_owned(), format!("{text}…")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn redis_loses_everything_and_it_is_delivered_in_the_next_epoch() {
    let server = Server::start();
    let (one, two) = (open(server.url()).await, open(server.url()).await);
    one.submit(said("gone")).await.unwrap();
    one.submit(typing("gone")).await.unwrap();
    let mut reader = two.subscribe();
    server.cli(&["FLUSHALL"]);
    one.submit(said("new")).await.unwrap();
    let mut restarted = false;
    loop {
        match timeout(Duration::from_secs(60), reader.next()).await.unwrap().unwrap() {
            Received::Message { message, .. } if matches!(&*message, Chat::Said { text, .. } if text == "new") => break,
            Received::Message { .. } => {}
            Received::Gap { reason, .. } => restarted |= reason == tornadose::GapReason::Restarted,
            other => panic!("{other:?}"),
        }
    }
    assert!(restarted);
    one.submit(typing("new")).await.unwrap();
    assert_eq!(next(&mut reader).await, "new…");
    // Alone, without an entry that it follows, and without its stream.
    server.cli(&["DEL", EPHEMERAL]);
    one.submit(typing("newer")).await.unwrap();
    assert_eq!(next(&mut reader).await, "newer…");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn another_program_can_append_one_and_what_is_none_is_skipped() {
    let server = Server::start();
    let store = open(server.url()).await;
    let mut reader = store.subscribe();
    let append = |payload: &str| server.cli(&["XADD", EPHEMERAL, "*", "data", payload]);
    append(r#"{"typing":{"room":1,"text":"foreign"}}"#);
    assert_eq!(next(&mut reader).await, "foreign…");
    append(r#"{"said":{"room":1,"text":"not ephemeral"}}"#);
    append("no JSON");
    server.cli(&["XADD", EPHEMERAL, "*", "other", "field"]);
    // One that names an entry which never comes is dropped after 5 s, and what is behind it waits as long.
    server.cli(&[
        "XADD",
        EPHEMERAL,
        "*",
        "data",
        r#"{"typing":{"room":1,"text":"lost"}}"#,
        "follows",
        "9999999999999-0",
    ]);
    append(r#"{"typing":{"room":1,"text":"late"}}"#);
    assert_quiet(&mut reader).await;
    sleep(Duration::from_secs(6)).await;
    append(r#"{"typing":{"room":1,"text":"last"}}"#);
    assert_eq!(next(&mut reader).await, "last…");
    // In the main stream it has an offset of its own.
    server.cli(&["XADD", STREAM, "*", "data", r#"{"typing":{"room":1,"text":"in the stream"}}"#]);
    assert_eq!(next(&mut reader).await, "in the stream…");
    // Their stream is trimmed on their behalf.
    for _ in 0..30 {
        let payload = r#"{"typing":{"room":2,"text":"x"}}"#;
        server.cli(&[
            "EVAL",
            "for i = 1, 100 do redis.call('XADD', KEYS[1], '*', 'data', ARGV[1]) end",
            "1",
            EPHEMERAL,
            payload,
        ]);
    }
    until("it is trimmed", || server.cli(&["XLEN", EPHEMERAL]).parse::<u32>().unwrap() < 1300).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_finished_key_refuses_it_in_every_process() {
    let server = Server::start();
    let one = Store::<Run>::redis(server.url()).await.unwrap();
    let two = Store::<Run>::redis(server.url()).await.unwrap();
    let mut reader = two.subscribe();
    let progress = |run, percent| Run::Progress { run, percent };
    let line = one.submit(Run::Line { run: 7, text: "begin".into() }).await.unwrap();
    assert_eq!(one.submit(progress(7, 50)).await.unwrap(), line);
    one.finish(&RunKey { run: 7 }).await.unwrap();
    let late = two.submit(progress(7, 99)).await;
    assert!(matches!(late, Err(SubmitError::Finished { .. })), "{late:?}");
    two.submit(progress(8, 1)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match timeout(Duration::from_secs(60), reader.next()).await.unwrap().unwrap() {
            Received::Message { message, .. } => format!("{message:?}"),
            Received::Finished { key, .. } => format!("finished {key}"),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            r#"Line { run: 7, text: "begin" }"#,
            "Progress { run: 7, percent: 50 }",
            "finished 7",
            "Progress { run: 8, percent: 1 }",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn over_pubsub_it_is_a_message_that_is_ephemeral_in_each_process() {
    let server = Server::start();
    let one = Store::<Chat>::open(tornadose::backend::Redis::pubsub(server.url())).await.unwrap();
    let two = Store::<Chat>::open(tornadose::backend::Redis::pubsub(server.url())).await.unwrap();
    let mut reader = two.subscribe();
    one.submit(typing("one")).await.unwrap();
    one.submit(said("two")).await.unwrap();
    assert_eq!([next(&mut reader).await, next(&mut reader).await], ["one…", "two"]);
    assert_quiet(&mut two.subscribe()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn large_messages_and_large_ephemeral_ones_come_each_in_order() {
    let server = Server::start();
    let (one, two) = (open(server.url()).await, open(server.url()).await);
    let mut reader = two.subscribe();
    let large = "x".repeat(300_000);
    for round in 0..5 {
        one.submit(said(format!("{round}{large}"))).await.unwrap();
        one.submit(typing(format!("{round}{large}"))).await.unwrap();
        one.submit(typing(round.to_string())).await.unwrap();
    }
    let mut received = Vec::new();
    while received.len() < 15 {
        received.push(next(&mut reader).await);
    }
    let at = |text: String| received.iter().position(|received| *received == text).unwrap();
    for round in 0..5 {
        // They are read one by one, so that a later message may come before an ephemeral one.
        let places = [format!("{round}{large}"), format!("{round}{large}…"), format!("{round}…")].map(at);
        assert!(places.is_sorted(), "{places:?}");
    }
    let ephemerals = (0..5).flat_map(|round| [format!("{round}{large}…"), format!("{round}…")]).map(at);
    assert!(ephemerals.is_sorted());
    assert!((0..5).map(|round| format!("{round}{large}")).map(at).is_sorted());
    // Small ones are read together again.
    for number in 0..500 {
        one.submit(typing(number.to_string())).await.unwrap();
        assert_eq!(next(&mut reader).await, format!("{number}…"));
    }
}
