//! Ids in several processes, and streams that were rolled back: deleted, flushed, restored, promoted.

use std::time::Duration;

use tornadose::prelude::*;
use tornadose::{GapReason, Subscription};

use crate::common::{Line, Seen, line, next, text, until};
use crate::page::{Page, Shown, serve};
use crate::proxy::Proxy;
use crate::server::Server;

const RESTARTED: Seen = Seen::Gap(GapReason::Restarted, None);

fn shown_restarted() -> Shown {
    Shown::Gap(r#"{"reason":"restarted","missed":null}"#.into())
}

/// Submits these texts, and returns a reader that has read them.
async fn reader_after(store: &Store<Line>, texts: &[&str]) -> Subscription<Line> {
    let mut reader = store.subscribe();
    for message in texts {
        store.submit(line(*message)).await.unwrap();
    }
    for message in texts {
        assert_eq!(text(&mut reader).await, *message);
    }
    reader
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_client_resumes_in_a_process_that_started_later() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let _reader = reader_after(&one, &["a", "b", "c"]).await;
    let (port, _serving) = serve(&one).await;
    let mut page = Page::open(port, None).await.unwrap();
    for expected in ["a", "b"] {
        assert_eq!(page.text().await, expected);
    }
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let (port, _serving) = serve(&other).await;
    let mut moved = Page::open(port, page.last_id).await.unwrap();
    assert_eq!(moved.text().await, "c");
    one.submit(line("d")).await.unwrap();
    assert_eq!(moved.text().await, "d");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_client_that_moves_to_a_process_that_is_late_waits_for_it() {
    let server = Server::start();
    let ahead = Store::<Line>::redis(server.url()).await.unwrap();
    let proxy = Proxy::to(server.port).await;
    let late = Store::<Line>::redis(proxy.url()).await.unwrap();
    let _reader = reader_after(&ahead, &["a"]).await;
    until("both have it", || late.head() == ahead.head()).await;
    proxy.block();
    ahead.submit(line("b")).await.unwrap();
    let last = ahead.submit(line("c")).await.unwrap();
    let (port, _serving) = serve(&late).await;
    let mut page = Page::open(port, Some(last.to_string())).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(500), page.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    proxy.unblock();
    ahead.submit(line("d")).await.unwrap();
    assert_eq!(page.text().await, "d");
}

/// Checks that after `change` the readers of two processes get the gap `restarted`, and then the kept messages.
async fn check_restart(server: &mut Server, kept: &[&str], change: impl FnOnce(&mut Server)) {
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let mut elsewhere = other.subscribe();
    let mut here = reader_after(&one, &["a", "b", "c"]).await;
    for expected in ["a", "b", "c"] {
        assert_eq!(text(&mut elsewhere).await, expected);
    }
    let former = one.head();
    change(server);
    for reader in [&mut here, &mut elsewhere] {
        assert_eq!(next(reader).await, RESTARTED);
        for expected in kept {
            assert_eq!(text(reader).await, *expected);
        }
    }
    until("both have the same epoch", || one.head() == other.head()).await;
    one.submit(line("after")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut elsewhere).await), ("after".into(), "after".into()));
    assert_ne!(one.head().to_string()[..8], former.to_string()[..8]);
    // An id of the former epoch is never mistaken for one of this.
    let (port, _serving) = serve(&other).await;
    let mut page = Page::open(port, Some(former.to_string())).await.unwrap();
    assert_eq!(page.soon().await, shown_restarted());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_the_stream_is_deleted_the_epoch_changes() {
    check_restart(&mut Server::start(), &[], |server| drop(server.cli(&["DEL", "{tornadose:lines}"]))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_the_stream_is_deleted_and_written_at_once_the_epoch_changes() {
    check_restart(&mut Server::start(), &["x", "x", "x", "x"], |server| {
        let script = "redis.call('DEL', KEYS[1]) for i = 1, 4 do redis.call('XADD', KEYS[1], '*', 'data', '{\"text\":\"x\"}') end";
        server.cli(&["EVAL", script, "1", "{tornadose:lines}"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_the_stream_is_deleted_while_no_process_runs_the_epoch_changes() {
    for written_at_once in [false, true] {
        let server = Server::start();
        let store = Store::<Line>::redis(server.url()).await.unwrap();
        // The id of a client that connected before the first message.
        let start = store.head().to_string();
        drop(reader_after(&store, &["gone"]).await);
        store.close();
        drop(store);
        server.cli(&["DEL", "{tornadose:lines}"]);
        if written_at_once {
            server.cli(&["XADD", "{tornadose:lines}", "*", "data", r#"{"text":"new"}"#]);
        }
        let store = Store::<Line>::redis(server.url()).await.unwrap();
        let (port, _serving) = serve(&store).await;
        let mut page = Page::open(port, Some(start.clone())).await.unwrap();
        assert_eq!(page.soon().await, shown_restarted());
        // Opening it once more does not change the epoch.
        let head = store.head();
        assert_eq!(Store::<Line>::redis(server.url()).await.unwrap().head(), head);
        assert_ne!(head.to_string().split('-').next(), start.split('-').next());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_redis_is_flushed_the_epoch_changes() {
    check_restart(&mut Server::start(), &[], |server| drop(server.cli(&["FLUSHALL"]))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_an_older_snapshot_is_restored_the_epoch_changes() {
    let mut server = Server::start_with(&["--dbfilename", "dump.rdb"]);
    // The snapshot contains the first of three messages.
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let _reader = reader_after(&store, &["kept"]).await;
    server.cli(&["SAVE"]);
    drop(store);
    check_restored(&mut server).await;
}

async fn check_restored(server: &mut Server) {
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = reader_after(&store, &["lost", "lost too"]).await;
    let former = store.head();
    server.kill();
    server.restart();
    assert_eq!(next(&mut reader).await, RESTARTED);
    assert_eq!(text(&mut reader).await, "kept");
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
    let (port, _serving) = serve(&store).await;
    let mut page = Page::open(port, Some(former.to_string())).await.unwrap();
    assert_eq!(page.soon().await, shown_restarted());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn when_a_replica_that_missed_a_write_is_promoted_the_epoch_changes() {
    let (master, replica) = (Server::start(), Server::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    until("the replica is connected", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up")).await;
    let proxy = Proxy::to(master.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = reader_after(&store, &["both"]).await;
    until("the replica has it", || replica.cli(&["XLEN", "{tornadose:lines}"]) == "1").await;
    // The replica is disconnected before the master acknowledges one more message.
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    store.submit(line("missed by the replica")).await.unwrap();
    assert_eq!(text(&mut reader).await, "missed by the replica");
    let former = store.head();
    // The replica gets another entry, so the number of entries alone does not reveal it.
    replica.cli(&["XADD", "{tornadose:lines}", "*", "data", r#"{"text":"elsewhere"}"#]);
    proxy.move_to(replica.port);
    assert_eq!(next(&mut reader).await, RESTARTED);
    assert_eq!((text(&mut reader).await, text(&mut reader).await), ("both".into(), "elsewhere".into()));
    let (port, _serving) = serve(&store).await;
    let mut page = Page::open(port, Some(former.to_string())).await.unwrap();
    assert_eq!(page.soon().await, shown_restarted());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn an_id_whose_entry_was_trimmed_before_the_process_started_is_trimmed() {
    let server = Server::start();
    let one = Store::<Line>::redis(server.url()).await.unwrap();
    let _reader = reader_after(&one, &["a"]).await;
    let first = one.head();
    one.submit(line("b")).await.unwrap();
    one.submit(line("c")).await.unwrap();
    server.cli(&["XTRIM", "{tornadose:lines}", "MAXLEN", "=", "1"]);
    let later = Store::<Line>::redis(server.url()).await.unwrap();
    let (port, _serving) = serve(&later).await;
    let mut page = Page::open(port, Some(first.to_string())).await.unwrap();
    assert_eq!(page.soon().await, Shown::Gap(r#"{"reason":"trimmed","missed":null}"#.into()));
    assert_eq!(page.text().await, "c");
    // The process that has read the whole stream still knows the id.
    let (port, _serving) = serve(&one).await;
    let mut page = Page::open(port, Some(first.to_string())).await.unwrap();
    assert_eq!((page.text().await, page.text().await), ("b".into(), "c".into()));
}
