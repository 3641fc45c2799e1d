//! Tests of an axum app with SSE and WebSocket by hand.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod axum_board;
    pub(crate) mod failure;
}

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use common::axum_board::{Board, board};
use common::failure::failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tornadose_test::{
    Client, Cut, Ending, Harness, HarnessService, Transport, assert_transcript, resume_at_every_byte, run,
};

fn path(over: Transport) -> &'static str {
    match over {
        Transport::Sse => "/board",
        Transport::Ws => "/talk",
    }
}

/// Two clients over both transports, a keep-alive, a cut inside an event, and a close.
async fn two_clients() -> Harness {
    let board = board();
    let app = Harness::tower(board.router());
    let ada = app.client("ada").sse("/board").await;
    let bob = app.client("bob").ws("/talk").await;
    board.pin("the cellar is dry");
    bob.send_text("is it?").await;
    app.advance(Duration::from_secs(15)).await;
    ada.fault(Cut::inside_event(3)).await;
    board.pin("it was");
    ada.reconnected().await;
    ada.skip(3).await;
    bob.skip(3).await;
    bob.close().await;
    assert_eq!(bob.closed().await, Ending::Close { code: 1000, reason: String::new() });
    app
}

#[tornadose_test::test(leftover_tasks = deny)]
async fn every_client_gets_every_note_over_both_transports() {
    let app = two_clients().await;
    assert_transcript!(app, @r#"
    ada > GET /board
    ada ~ open 200 text/event-stream
    bob > GET /talk upgrade websocket
    bob ~ open 101
    ada < note #1 "the cellar is dry"
    bob < note #1 "the cellar is dry"
    bob > "is it?"
    ada < note #2 "is it?"
    bob < note #2 "is it?"
    after 15s
    ada < :
    ada ! cut inside event #3 (9 of 34 bytes arrived)
    bob < note #3 "it was"
    after 3s
    ada > GET /board last-event-id #2
    ada ~ open 200 text/event-stream
    ada < note #3 "it was"
    bob ~ close 1000 (client)
    "#);
}

#[test]
fn a_hundred_runs_have_the_same_transcript() {
    let transcript = || run(async { two_clients().await.recording().to_string() });
    let first = transcript();
    assert!(first.lines().count() > 15, "{first}");
    for _ in 1..100 {
        assert_eq!(transcript(), first);
    }
}

#[tornadose_test::test(over = [sse, ws])]
async fn a_cut_at_any_byte_loses_and_duplicates_nothing(over: Transport) {
    let new_board = || {
        let board = board();
        (HarnessService::tower(board.router()), board)
    };
    let pin_notes = async |board: Board| {
        (0..3).for_each(|note| board.pin(format!("note {note}")));
        tokio::time::sleep(Duration::from_secs(4)).await;
        board.pin("the last");
    };
    let cuts = resume_at_every_byte(new_board, path(over), pin_notes).over(over).await;
    assert!(cuts > 130, "{cuts}");
}

#[tornadose_test::test(over = [sse, ws])]
async fn nothing_arrives_but_what_was_sent(over: Transport) {
    let board = board();
    let app = Harness::tower(board.router());
    let ada = app.open(over, path(over)).await;
    ada.quiet_for(Duration::from_secs(3600)).await;
    board.pin("one");
    assert_eq!(ada.next_now::<String>().await, "one");
    ada.quiet().await;
}

#[tornadose_test::test]
async fn a_keep_alive_comes_at_its_own_instant() {
    let app = Harness::tower(board().router());
    let ada = app.client("ada").sse("/board").await;
    app.advance(Duration::from_millis(14_999)).await;
    assert_transcript!(ada, @"
    ada > GET /board
    ada ~ open 200 text/event-stream
    ");
    app.advance(Duration::from_millis(1)).await;
    assert_transcript!(ada, @"
    ada > GET /board
    ada ~ open 200 text/event-stream
    after 15s
    ada < :
    ");
}

#[tornadose_test::test]
async fn a_reader_that_stalls_is_behind_and_resumes_from_the_log() {
    let board = board();
    let app = Harness::tower(board.router());
    let ada = app.client("ada").buffer_size(64).sse("/board").await;
    ada.stall().await;
    for note in 1..=100 {
        board.pin(format!("note {note}"));
        app.settle().await;
    }
    ada.resume().await;
    // The broadcast has dropped what the reader was behind, and its stream has ended.
    ada.reconnected().await;
    for note in 1..=100 {
        assert_eq!(ada.next_now::<String>().await, format!("note {note}"));
    }
    ada.quiet().await;
}

#[tornadose_test::test]
async fn a_graceful_stop_ends_idle_connections_and_waits_for_the_others() {
    let board = board();
    let app = Harness::tower(board.router().route("/slow", get(slow)));
    let (mut unused, mut idle) = (app.connect(), app.connect());
    idle.write_all(b"GET /typo HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    app.settle().await;
    let slow = app.client("slow").without_waiting().get("/slow").await;
    let ada = app.client("ada").sse("/board").await;
    let bob = app.client("bob").ws("/talk").await;
    let server = app.server().clone();
    let stopping = tokio::spawn(async move { server.stop_gracefully(Duration::from_secs(5)).await });
    app.settle().await;
    let mut ends = Vec::new();
    idle.read_to_end(&mut ends).await.unwrap();
    assert!(ends.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(unused.read(&mut [0; 8]).await.unwrap(), 0);
    app.get("/board").await;
    board.pin("still here");
    assert_eq!(slow.text(), "");
    stopping.await.unwrap();
    assert_eq!(slow.status(), 200);
    // A WebSocket is its handler's own.
    board.pin("afterwards");
    bob.close().await;
    ada.close().await;
    assert_transcript!(app, @r#"
    slow > GET /slow
    ada > GET /board
    ada ~ open 200 text/event-stream
    bob > GET /talk upgrade websocket
    bob ~ open 101
    server ! stop gracefully, in 5s at most
    board > GET /board
    board ~ refused
    ada < note #1 "still here"
    bob < note #1 "still here"
    after 2s
    slow ~ answer 200 done
    after 3s
    ada ~ abort
    bob < note #2 "afterwards"
    bob ~ close 1000 (client)
    ada ~ close (client)
    "#);
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(2)).await;
    "done"
}

#[tornadose_test::test]
async fn a_stop_breaks_off_and_clients_resume_after_the_next_start() {
    let board = board();
    let app = Harness::tower(board.router());
    let ada = app.client("ada").sse("/board").await;
    board.pin("one");
    app.server().stop().await;
    board.pin("two");
    app.advance(Duration::from_secs(4)).await;
    app.server().start(HarnessService::tower(board.router())).await;
    ada.reconnected().await;
    board.pin("three");
    assert_transcript!(app, @r#"
    ada > GET /board
    ada ~ open 200 text/event-stream
    ada < note #1 "one"
    server ! stop
    ada ~ abort
    after 3s
    ada > GET /board last-event-id #1
    ada ~ refused
    after 1s
    server ! start
    after 2s
    ada > GET /board last-event-id #1
    ada ~ open 200 text/event-stream
    ada < note #2 "two"
    ada < note #3 "three"
    "#);
}

#[tornadose_test::test]
async fn a_start_replaces_the_running_service() {
    let app = Harness::tower(Router::new().route("/version", get(async || "one")));
    assert_eq!(app.get("/version").await.text(), "one");
    app.server().start(HarnessService::tower(Router::new().route("/version", get(async || "two")))).await;
    assert_eq!(app.get("/version").await.text(), "two");
}

#[tornadose_test::test]
async fn answers_that_are_no_streams_are_in_the_transcript() {
    let app = Harness::tower(board().router());
    app.client("ada").sse("/typo").await;
    app.client("bob").cookie("member", "no").ws("/talk").await;
    app.client("cat").without("upgrade").ws("/talk").await;
    app.client("dan").post("/board", "a note").await;
    assert_transcript!(app, @"
    ada > GET /typo
    ada ~ answer 404
    bob > GET /talk upgrade websocket
    bob ~ answer 403 for members
    cat > GET /talk upgrade websocket
    cat ~ answer 400 `Upgrade` header did not include 'websocket'
    dan > POST /board
    dan ~ answer 405
    ");
}

#[tornadose_test::test]
async fn http_2_serves_the_same_stream() {
    let board = board();
    let app = Harness::tower(board.router());
    let ada = app.client("ada").http2().sse("/board").await;
    board.pin("one");
    ada.skip(1).await;
    app.server().stop_gracefully(Duration::from_secs(1)).await;
    assert_transcript!(ada, wire, @r#"
    ada > GET /board http/2
    ada ~ open 200 text/event-stream
    ada ~ content-type: text/event-stream
    ada ~ cache-control: no-cache
    ada < id: #1\nevent: note\ndata: "one"\n\n
    server ! stop gracefully, in 1s at most
    after 1s
    ada ~ abort
    "#);
}

async fn out_of_paper() -> &'static str {
    panic!("out of paper")
}

#[test]
fn a_panic_of_a_handler_fails_the_test_at_its_end() {
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::tower(Router::new().route("/print", get(out_of_paper)));
        app.client("ada").lenient().get("/print").await;
    }), @r#"
    a task panicked: out of paper
        if the panic is expected, write `app.expect_panic("…").await`

    the transcript so far:
        ada > GET /print
        ada ~ abort
        server ! panicked: out of paper
    the clients:
        ada: broken off before an answer, 0 unread
    "#);
}

#[tornadose_test::test]
async fn a_panic_ends_its_connection_alone() {
    let board = board();
    let app = Harness::tower(board.router().route("/print", get(out_of_paper)));
    let ada = app.client("ada").sse("/board").await;
    app.get("/print").await;
    app.expect_panic("out of paper").await;
    board.pin("one");
    assert_transcript!(app, @r#"
    ada > GET /board
    ada ~ open 200 text/event-stream
    print > GET /print
    print ~ abort
    server ! panicked: out of paper
    ada < note #1 "one"
    "#);
    Client::close(&ada).await;
}

#[test]
fn a_handler_that_outlives_its_client_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let hold = async |upgrade: axum::extract::ws::WebSocketUpgrade| {
            upgrade.on_upgrade(async |socket| {
                std::future::pending::<()>().await;
                drop(socket);
            })
        };
        let app = Harness::tower(Router::new().route("/hold", get(hold)));
        let ada = app.client("ada").ws("/hold").await;
        Client::close(&ada).await;
    }), @"
    `ada` has disconnected, and a task of the server still holds the connection: the task has not noticed, or it does not end
        give it the time that it needs, `app.advance(duration).await`, or open the client with `.lenient()`

    the transcript so far:
        ada > GET /hold upgrade websocket
        ada ~ open 101
        ada ~ close (client)
    the clients:
        ada: ended, 0 unread
    ");
}
