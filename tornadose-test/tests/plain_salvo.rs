//! Tests of a router on Salvo's own SSE and WebSocket support, without tornadose.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod board;
    pub(crate) mod feed;
}

use std::panic::catch_unwind;
use std::time::Duration;

use common::board::{Board, board};
use common::feed::feed;
use salvo::Router;
use tornadose_test::{
    Client, Cut, Ending, Harness, Transport, assert_transcript, resume_at_every_byte, run, run_in_real_time,
};

fn path(over: Transport) -> &'static str {
    match over {
        Transport::Sse => "/board",
        Transport::Ws => "/talk",
    }
}

async fn reader(app: &Harness, name: &str, over: Transport) -> Client {
    app.client(name).reconnects().open(over, path(over)).await
}

#[tornadose_test::test]
async fn every_client_gets_every_note_over_both_transports() {
    let board = board(0);
    let app = Harness::new(board.router());
    let ada = app.client("ada").sse("/board").await;
    let bob = app.client("bob").ws("/talk").await;
    board.pin("the cellar is dry");
    bob.send_text("is it?").await;
    app.advance(Duration::from_secs(15)).await;
    ada.fault(Cut::inside_event(3)).await;
    board.pin("it was");
    ada.reconnected().await;
    bob.close().await;
    assert_eq!(bob.closed().await, Ending::Close { code: 1000, reason: String::new() });
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

#[tornadose_test::test(over = [sse, ws])]
async fn a_client_that_reconnects_misses_no_message(over: Transport) {
    let board = board(0);
    let app = Harness::new(board.router());
    let ada = reader(&app, "ada", over).await;
    let bob = reader(&app, "bob", over).await;
    board.pin("one");
    ada.fault(Cut::inside_event(2)).await;
    board.pin("two");
    app.settle().await;
    board.pin("three");
    ada.reconnected().await;
    bob.close().await;
    app.advance(Duration::from_secs(5)).await;
    board.pin("four");
    assert_transcript!(app);
    assert_transcript!("bob", app, only(["bob"]));
}

/// Makes boards with their routers, as a proof needs them.
fn new_board(skew: isize) -> impl Fn() -> (Router, Board) {
    move || {
        let board = board(skew);
        (board.router(), board)
    }
}

async fn pin_notes(board: Board) {
    for note in 0..6 {
        board.pin(format!("note {note}: {}", "x".repeat(50)));
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    board.pin("the last");
}

#[tornadose_test::test(over = [sse, ws])]
async fn a_cut_at_any_byte_loses_and_duplicates_nothing(over: Transport) {
    let cuts = resume_at_every_byte(new_board(0), path(over), pin_notes).over(over).await;
    assert!(cuts > 450, "{cuts}");
}

#[tornadose_test::test]
async fn the_proof_waits_for_a_long_retry() {
    let (event, greeting) = ("id: 1\ndata: 1\n\n", "retry: 90000\n\n");
    let new_feed = move || {
        let (feed, handler) = feed(greeting);
        (Router::with_path("news").get(handler), feed)
    };
    // This feed keeps no history. A client that is cut before its first id loses the event, which is not an error.
    let cuts = resume_at_every_byte(new_feed, "/news", async |feed| feed.push(event)).await;
    assert_eq!(cuts, greeting.len() + event.len() + 1);
}

#[test]
fn an_off_by_one_error_in_resuming_is_found() {
    let failure = |skew: isize, over: Transport| {
        let brief = async |board: Board| (1..=3).for_each(|note| board.pin(format!("note {note}")));
        let body =
            move || run(async move { resume_at_every_byte(new_board(skew), path(over), brief).over(over).await });
        *catch_unwind(body).unwrap_err().downcast::<String>().unwrap()
    };
    for over in [Transport::Sse, Transport::Ws] {
        let (repeated, lost) = (failure(-1, over), failure(1, over));
        assert!(repeated.contains("\n    duplicated: note \"note 1\"\n"), "{repeated}");
        assert!(lost.contains("\n    lost: note \"note 2\"\n"), "{lost}");
    }
    let message = failure(-1, Transport::Sse);
    let lines: Vec<&str> = message.lines().filter(|line| !line.starts_with("at ")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    the stream at `/board` over sse does not resume: 69 of 103 cuts fail. The first, at byte 34:
        duplicated: note "note 1"
    its transcript:
        uncut > GET /board
        uncut ~ open 200 text/event-stream
        cut > GET /board
        cut ~ open 200 text/event-stream
        uncut < note #1 "note 1"
        uncut < note #2 "note 2"
        uncut < note #3 "note 3"
        cut < note #1 "note 1"
        cut ! cut at byte 34
        after 3s
        cut > GET /board last-event-id #1
        cut ~ open 200 text/event-stream
        cut < note #1 "note 1"
        cut < note #2 "note 2"
        cut < note #3 "note 3"
    "#);
}

#[test]
fn a_stream_that_cannot_resume_fails_the_proof() {
    let failure = |path: &'static str| {
        let body = move || run(async move { resume_at_every_byte(new_board(0), path, async |_| {}).await });
        catch_unwind(body).unwrap_err().downcast::<String>().unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(failure("/board"), "the stream at `/board` over sse cannot be resumed: no message carries an id");
    assert_eq!(failure("/nowhere"), "the stream at `/nowhere` over sse does not open:");
}

#[test]
fn a_test_in_real_time_is_written_the_same() {
    let transcript = run_in_real_time(async {
        let board = board(0);
        let app = Harness::new(board.router());
        let ada = app.client("ada").sse("/board").await;
        ada.quiet().await;
        let later = board.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            later.pin("from outside");
        });
        assert_eq!(ada.next::<String>().await, "from outside");
        app.advance(Duration::from_millis(10)).await;
        board.pin("from inside");
        assert_eq!(ada.next_now::<String>().await, "from inside");
        app.recording().to_string()
    });
    insta::assert_snapshot!(transcript, @r#"
    ada > GET /board
    ada ~ open 200 text/event-stream
    ada < note #1 "from outside"
    ada < note #2 "from inside"
    "#);
}

#[tornadose_test::test(clock = real)]
async fn the_clock_may_be_real() {
    let (wall, clock) = (std::time::Instant::now(), tokio::time::Instant::now());
    Harness::new(board(0).router()).advance(Duration::from_millis(30)).await;
    assert!(wall.elapsed() >= Duration::from_millis(30) && clock.elapsed() >= Duration::from_millis(30));
}

#[tornadose_test::test(over = [sse, ws])]
async fn an_equal_transcript_over_both_transports_may_be_inline(over: Transport) {
    let board = board(0);
    let app = Harness::new(board.router());
    let ada = reader(&app, "ada", over).await;
    board.pin("one");
    ada.skip(1).await;
    app.server().stop().await;
    app.client("operator").lenient().get("/health").await;
    ada.close().await;
    assert_transcript!(app, only(["operator"]), @"
    server ! stop
    operator > GET /health
    operator ~ refused
    ");
}
