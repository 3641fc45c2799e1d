//! Entries that Redis has acknowledged, and loses before their process has read them. Every reader gets a gap.

use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{GapReason, Subscription};

use crate::common::{Line, Seen, line, next, text, until};
use crate::page::{Page, Shown, serve};
use crate::proxy::Proxy;
use crate::server::Server;

const RESTARTED: Seen = Seen::Gap(GapReason::Restarted, None);

const STREAM: &str = "{tornadose:lines}";

/// Starts a server that returns with its last snapshot after `kill -9`.
fn server_with_snapshots() -> Server {
    Server::start_with(&["--dbfilename", "dump.rdb"])
}

fn append(server: &Server, text: &str) {
    server.cli(&["XADD", STREAM, "*", "data", &format!(r#"{{"text":"{text}"}}"#)]);
}

fn epoch(store: &Store<Line>) -> String {
    store.head().to_string()[..8].to_owned()
}

async fn expect_texts(reader: &mut Subscription<Line>, texts: &[String]) {
    for expected in texts {
        assert_eq!(text(reader).await, *expected);
    }
}

/// Revokes these commands, and waits until no reader waits for an entry.
async fn stop_readers(server: &Server) {
    assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-xread", "-eval_ro", "-evalsha_ro"]), "OK");
    until("no reader waits", || server.cli(&["INFO", "clients"]).contains("blocked_clients:0")).await;
}

fn permit_everything(server: &Server) {
    assert_eq!(server.cli(&["ACL", "SETUSER", "default", "+@all"]), "OK");
}

/// Kills the server, which returns with its snapshot, and appends entries before any process connects.
fn restore(server: &mut Server, proxy: &Proxy, refilled: &[String]) {
    proxy.block();
    server.kill();
    server.restart();
    for text in refilled {
        append(server, text);
    }
    proxy.unblock();
}

/// Loses three acknowledged entries that no process has read, while another program appends so many.
async fn check_lost_unread(refilled: usize) {
    let mut server = server_with_snapshots();
    let proxy = Proxy::to(server.port).await;
    let one = Store::<Line>::redis(proxy.url()).await.unwrap();
    let other = Store::<Line>::redis(proxy.url()).await.unwrap();
    let (mut here, mut elsewhere) = (one.subscribe(), other.subscribe());
    one.submit(line("kept")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut elsewhere).await), ("kept".into(), "kept".into()));
    server.cli(&["SAVE"]);
    let former = epoch(&one);

    stop_readers(&server).await;
    for lost in ["lost 1", "lost 2", "lost 3"] {
        one.submit(line(lost)).await.unwrap();
    }
    let refilled: Vec<String> = (1..=refilled).map(|number| format!("new {number}")).collect();
    restore(&mut server, &proxy, &refilled);

    assert_eq!(next(&mut here).await, RESTARTED);
    // The other process does not know of the loss, and may go on until the epoch is replaced.
    while next(&mut elsewhere).await != RESTARTED {}
    let kept: Vec<String> = std::iter::once("kept".to_owned()).chain(refilled).collect();
    one.submit(line("after")).await.unwrap();
    for reader in [&mut here, &mut elsewhere] {
        expect_texts(reader, &kept).await;
        assert_eq!(text(reader).await, "after");
    }
    assert_eq!(epoch(&one), epoch(&other));
    assert_ne!(epoch(&one), former);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn acknowledged_entries_that_were_lost_unread_are_a_gap() {
    check_lost_unread(0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn acknowledged_entries_that_were_lost_are_a_gap_too_when_another_program_has_appended_fewer_as_many_or_more() {
    for refilled in [2, 3, 8] {
        check_lost_unread(refilled).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_entry_that_had_arrived_and_was_lost_before_its_poll_is_a_gap() {
    let mut server = server_with_snapshots();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("kept")).await.unwrap();
    assert_eq!(text(&mut reader).await, "kept");
    server.cli(&["SAVE"]);
    until("the reader waits", || server.cli(&["INFO", "clients"]).contains("blocked_clients:1")).await;
    // The blocking read still returns the entry. The poll after it is refused.
    assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-eval_ro", "-evalsha_ro"]), "OK");
    store.submit(line("lost")).await.unwrap();
    until("the read has returned", || server.cli(&["INFO", "clients"]).contains("blocked_clients:0")).await;
    restore(&mut server, &proxy, &["new".to_owned()]);
    assert_eq!(next(&mut reader).await, RESTARTED);
    expect_texts(&mut reader, &["kept".to_owned(), "new".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn acknowledged_entries_that_were_trimmed_or_deleted_unread_are_counted_and_the_epoch_stays() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    let former = epoch(&store);

    stop_readers(&server).await;
    for message in ["1", "2", "3"] {
        store.submit(line(message)).await.unwrap();
    }
    assert_eq!(server.cli(&["XTRIM", STREAM, "MAXLEN", "=", "1"]), "3");
    permit_everything(&server);
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Trimmed, Some(2)));
    assert_eq!(text(&mut reader).await, "3");

    stop_readers(&server).await;
    let deleted = store.submit(line("4")).await.unwrap().to_string();
    store.submit(line("5")).await.unwrap();
    assert_eq!(server.cli(&["XDEL", STREAM, &deleted[9..].replace('.', "-")]), "1");
    permit_everything(&server);
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Trimmed, Some(1)));
    assert_eq!(text(&mut reader).await, "5");

    // What is left is read in several pages. That entries are missing is known from the first.
    stop_readers(&server).await;
    for _ in 0..300 {
        store.submit(line("x".repeat(2000))).await.unwrap();
    }
    server.cli(&["XTRIM", STREAM, "MAXLEN", "=", "200"]);
    permit_everything(&server);
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Trimmed, Some(100)));
    expect_texts(&mut reader, &vec!["x".repeat(2000); 200]).await;
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
    assert_eq!(epoch(&store), former);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_entry_that_a_former_server_acknowledges_after_the_reader_has_left_it_is_a_gap() {
    let (old, new) = (Server::start(), Server::start());
    new.cli(&["REPLICAOF", "127.0.0.1", &old.port.to_string()]);
    until("the replica is connected", || new.cli(&["INFO", "replication"]).contains("master_link_status:up")).await;
    let proxy = Proxy::to(old.port).await;
    let redis = Redis::streams(proxy.url()).ack_timeout(std::time::Duration::from_secs(30));
    let store = Store::<Line>::open(redis).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("both")).await.unwrap();
    until("the replica has it", || new.cli(&["XLEN", STREAM]) == "1").await;
    new.cli(&["REPLICAOF", "NO", "ONE"]);
    store.submit(line("old only")).await.unwrap();
    assert_eq!((text(&mut reader).await, text(&mut reader).await), ("both".into(), "old only".into()));

    // One submit waits in the old server while the reader moves to the new one.
    assert_eq!(old.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]), "OK");
    let submitting = tokio::spawn({
        let store = store.clone();
        async move { store.submit(line("acknowledged by the old one")).await.map(drop) }
    });
    let client = |name: &str| {
        let clients = old.cli(&["CLIENT", "LIST"]);
        clients.lines().find(|client| client.contains(name)).unwrap_or_default().to_owned()
    };
    until("the submit waits", || {
        client("tornadose-writer").split(' ').any(|field| field.starts_with("flags=") && field.contains('b'))
    })
    .await;
    proxy.redirect(new.port);
    let reading = client("tornadose-reader");
    let id = reading.split(' ').next().unwrap().trim_start_matches("id=");
    assert_eq!(old.cli(&["CLIENT", "KILL", "ID", id]), "1");
    assert_eq!(next(&mut reader).await, RESTARTED);
    assert_eq!(text(&mut reader).await, "both");

    assert_eq!(old.cli(&["CLIENT", "UNPAUSE"]), "OK");
    submitting.await.unwrap().unwrap();
    append(&new, "new only");
    assert_eq!(next(&mut reader).await, RESTARTED);
    assert_eq!((text(&mut reader).await, text(&mut reader).await), ("both".into(), "new only".into()));
    // The writer has left the old server too.
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
    assert_eq!(new.cli(&["XLEN", STREAM]), "3");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_former_epoch_that_returns_is_replaced() {
    let mut server = server_with_snapshots();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("kept")).await.unwrap();
    assert_eq!(text(&mut reader).await, "kept");
    server.cli(&["SAVE"]);
    store.submit(line("lost")).await.unwrap();
    assert_eq!(text(&mut reader).await, "lost");
    let former = store.head();
    let mut epochs = vec![epoch(&store)];
    // The same snapshot is restored twice.
    for refilled in ["new", "newer"] {
        restore(&mut server, &proxy, &[refilled.to_owned()]);
        assert_eq!(next(&mut reader).await, RESTARTED);
        expect_texts(&mut reader, &["kept".to_owned(), refilled.to_owned()]).await;
        assert!(!epochs.contains(&epoch(&store)), "{epochs:?}, then {}", epoch(&store));
        epochs.push(epoch(&store));
        // A client whose last id is of the first epoch has seen what was lost.
        let (port, _serving) = serve(&store).await;
        let mut page = Page::open(port, Some(former.to_string())).await.unwrap();
        assert_eq!(page.soon().await, Shown::Gap(r#"{"reason":"restarted","missed":null}"#.into()));
    }
}
