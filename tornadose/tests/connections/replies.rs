//! Asks: texts of a WebSocket client that wait for what `receive` returns.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose_test::{Ending, Harness, assert_transcript};

use super::harness::{harness, secs};
use super::log::CapturedLog;
use super::talker::{ReceivedCount, TEXT, frame};

/// Bound of the replies that wait in the server.
const WAITING_BYTES_MAX: usize = 16 << 10;

const PIPE_BYTES: usize = 2048;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Echo(Value),
    Say(String),
    Bytes(usize),
    Wait(u64),
    Refuse(String),
    Unencodable,
    Panic,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Value(Value),
    Unencodable(HashMap<(u8, u8), u8>),
}

#[subscriber(ws, store = Line, receive = Self::received, keep_alive = "15s")]
struct Desk {
    #[depot]
    count: Arc<AtomicUsize>,
}

impl Desk {
    async fn received(&mut self, order: Order, store: &Store<Line>) -> Result<Answer, String> {
        self.count.fetch_add(1, SeqCst);
        match order {
            Order::Echo(value) => Ok(Answer::Value(value)),
            Order::Say(text) => Ok(Answer::Value(json!(store.submit(Line(text)).await.unwrap()))),
            Order::Bytes(count) => Ok(Answer::Value("x".repeat(count).into())),
            Order::Wait(seconds) => {
                tokio::time::sleep(secs(seconds)).await;
                Ok(Answer::Value(seconds.into()))
            }
            Order::Refuse(reason) => Err(reason),
            Order::Unencodable => Ok(Answer::Unencodable(HashMap::from([((1, 2), 3)]))),
            Order::Panic => panic!("as asked"),
        }
    }
}

/// A subscriber whose hook returns nothing or ends the connection.
#[subscriber(ws, store = Line, receive = Self::received)]
struct Door;

impl Door {
    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn received(&mut self, open: bool, _: &Store<Line>) -> Result<(), Close> {
        if open { Ok(()) } else { Err(Close::new(CloseCode::literal::<4000>(), "shut")) }
    }
}

/// A subscriber without a `receive` hook.
#[subscriber(ws, store = Line)]
struct Silent;

fn desk() -> (Store<Line>, ReceivedCount, Harness) {
    let (store, count) = (Store::new(), ReceivedCount::default());
    let router = Router::new()
        .push(Router::with_path("desk").hoop(count.clone()).get(Desk::handler(&store)))
        .push(Router::with_path("door").get(Door::handler(&store)))
        .push(Router::with_path("silent").get(Silent::handler(&store)));
    (store, count, harness(router))
}

#[tornadose_test::test]
async fn a_reply_comes_after_what_was_delivered_and_before_what_the_hook_submitted() {
    let (store, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let eve = app.client("eve").ws("/desk").await;
    store.submit(Line("before".into())).await.unwrap();
    let _: Value = ada.ask(&json!({"say": "hi"})).await;
    let _wait = ada.send_ask(&json!({"wait": 5})).await;
    store.submit(Line("meanwhile".into())).await.unwrap();
    app.advance(secs(5)).await;
    let _refuse = ada.send_ask(&json!({"refuse": "no"})).await;
    assert_transcript!(app, @r##"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    eve > GET /desk upgrade websocket
    eve ~ open 101
    ada < message #1 "before"
    eve < message #1 "before"
    ada > ask 1 {"say":"hi"}
    ada < tornadose:reply 1 "#2"
    ada < message #2 "hi"
    eve < message #2 "hi"
    ada > ask 2 {"wait":5}
    eve < message #3 "meanwhile"
    after 5s
    ada < tornadose:reply 2 5
    ada < message #3 "meanwhile"
    ada > ask 3 {"refuse":"no"}
    ada < tornadose:error 3 {"reason":"no"}
    "##);
    drop(eve);
}

#[tornadose_test::test]
async fn a_reply_has_no_id_and_moves_no_position() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let _: Value = ada.ask(&json!({"echo": [null, "é"]})).await;
    assert_transcript!(ada, wire, @r##"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    ada ~ connection: upgrade
    ada ~ upgrade: websocket
    ada ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    ada < text {"id":"#1"}
    ada > {"tornadose:ask":1,"data":{"echo":[null,"é"]}}
    ada < text {"event":"tornadose:reply","ask":1,"data":[null,"é"]}
    "##);
}

#[tornadose_test::test]
async fn twenty_asks_in_one_segment_are_answered_in_order() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let ask = |n: u32| frame(TEXT, format!(r#"{{"tornadose:ask":{n},"data":{{"say":"{n}"}}}}"#).as_bytes());
    ada.send_raw((0..20).flat_map(ask).collect::<Vec<u8>>()).await;
    let mut received = Vec::new();
    for _ in 0..40 {
        let event = ada.next_event().await;
        received.push((event.ask, event.id.unwrap_or(event.data)));
    }
    let replies: Vec<_> = received.iter().filter(|(ask, _)| ask.is_some()).collect();
    assert_eq!(replies.iter().map(|(ask, _)| ask.unwrap()).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for (_, id) in replies {
        let place = |wanted: &dyn Fn(&str) -> bool| received.iter().position(|(_, id)| wanted(id)).unwrap();
        assert!(place(&|other| other == id) < place(&|other| format!("\"{other}\"") == *id), "{id}");
    }
}

#[tornadose_test::test]
async fn asks_of_a_slow_reader_wait_for_at_most_16_kib_of_replies() {
    let (store, count, app) = desk();
    let ada = app.client("ada").buffer_size(PIPE_BYTES).ws("/desk").await;
    ada.stall().await;
    let mut asks = Vec::new();
    for _ in 0..40 {
        asks.push(ada.send_ask(&json!({"bytes": 1000})).await);
    }
    let received = count.get();
    assert!(received > 1 && received * 1000 <= PIPE_BYTES + WAITING_BYTES_MAX + 2000, "{received} asks were received");
    store.submit(Line("last".into())).await.unwrap();
    app.settle().await;
    ada.resume().await;
    for ask in asks {
        assert_eq!(ask.reply::<String>().await.len(), 1000);
    }
    assert_eq!((count.get(), ada.next::<String>().await.as_str()), (40, "last"));
}

#[tornadose_test::test]
async fn no_text_is_taken_while_a_large_reply_waits() {
    let (_, count, app) = desk();
    let ada = app.client("ada").buffer_size(PIPE_BYTES).ws("/desk").await;
    ada.stall().await;
    let large = ada.send_ask(&json!({"bytes": 1_000_000})).await;
    let next = ada.send_ask(&json!({"echo": 1})).await;
    assert_eq!(count.get(), 1);
    ada.resume().await;
    assert_eq!(large.reply::<String>().await.len(), 1_000_000);
    assert_eq!((next.reply::<u8>().await, count.get()), (1, 2));
}

#[tornadose_test::test]
async fn an_ask_that_nothing_replies_to_is_an_error() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/silent").await;
    assert_eq!(ada.send_ask(&1).await.error().await, "the server does not reply to this");
    ada.send_text("1").await;
    ada.quiet().await;
}

#[tornadose_test::test]
async fn a_hook_without_a_value_replies_null() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/door").await;
    assert_eq!(ada.ask::<Option<u8>>(&true).await, None);
    assert_eq!(
        ada.send_ask("?").await.error().await,
        "invalid type: string \"?\", expected a boolean at line 1 column 3"
    );
}

#[tornadose_test::test]
async fn an_ask_whose_hook_closes_gets_the_close_alone() {
    let (store, _, app) = desk();
    let ada = app.client("ada").ws("/door").await;
    let _ask = ada.send_ask(&false).await;
    assert_eq!(ada.closed().await, Ending::Close { code: 4000, reason: "shut".into() });
    assert_transcript!(ada, @r"
    ada > GET /door upgrade websocket
    ada ~ open 101
    ada > ask 1 false
    ada ~ close 4000 (server) shut
    ");
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn a_panic_of_the_hook_ends_the_connection_and_answers_nothing() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let _ask = ada.send_ask("panic").await;
    app.expect_panic("as asked").await;
    assert_transcript!(ada, @r#"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    ada > ask 1 "panic"
    ada ~ close 1011 (server) internal error
    server ! panicked: as asked
    "#);
}

#[tornadose_test::test]
async fn the_value_for_a_text_that_is_no_ask_is_dropped_and_its_error_is_sent() {
    let (_, count, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    for order in [json!({"echo": 1}), json!("unencodable"), json!({"refuse": "no"})] {
        ada.send(&order).await;
    }
    assert_eq!(count.get(), 3);
    assert_transcript!(ada, @r#"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    ada > {"echo":1}
    ada > "unencodable"
    ada > {"refuse":"no"}
    ada < tornadose:error {"reason":"no"}
    "#);
}

#[tornadose_test::test]
async fn a_reply_that_cannot_be_encoded_is_an_error_and_logged() {
    let (_, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let (log, _guard) = CapturedLog::start();
    assert_eq!(ada.send_ask("unencodable").await.error().await, "the reply cannot be written as JSON");
    let line = log.take().into_iter().find(|line| line.contains("reply not encoded")).unwrap();
    assert!(
        line.starts_with("WARN reply not encoded: transport=\"ws\" number=1 type_name=") && line.contains("Answer")
    );
    // The log is written once, however often the client asks.
    assert_eq!(ada.send_ask("unencodable").await.error().await, "the reply cannot be written as JSON");
    assert!(!log.take().iter().any(|line| line.contains("reply not encoded")));
    assert_eq!(ada.ask::<u8>(&json!({"echo": 1})).await, 1);
}

#[tornadose_test::test]
async fn control_texts_never_reach_the_hook_and_other_texts_do() {
    let (_, count, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    for text in [
        r#"{"data":{"echo":1},"tornadose:ask":4}"#,
        r#"{"tornadose:ask":4,"data":{"echo":2}}"#,
        r#"{"tornadose:ask":1.5,"data":{"echo":1}}"#,
        r#"{"tornadose:ask":9007199254740992,"data":{"echo":1}}"#,
        r#"{"tornadose:ask":5}"#,
        r#"{"tornadose:ask":6,"data":{"echo":1},"tornadose:more":1}"#,
        r#"{"tornadose:unknown":{}}"#,
    ] {
        ada.send_text(text).await;
    }
    assert_eq!(count.get(), 2);
    // These are texts of the application, and the hook cannot read two of them.
    for text in
        [r#"{"echo":"tornadose:"}"#, r#"{"tornadose\u003aask":7,"data":{"echo":1}}"#, r#"{"tornadose:ask":7,"data":"#]
    {
        ada.send_text(text).await;
    }
    assert_eq!(count.get(), 3);
    assert_transcript!(ada, @r#"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    ada > {"data":{"echo":1},"tornadose:ask":4}
    ada < tornadose:reply 4 1
    ada > {"tornadose:ask":4,"data":{"echo":2}}
    ada < tornadose:reply 4 2
    ada > {"tornadose:ask":1.5,"data":{"echo":1}}
    ada < tornadose:error {"reason":"`tornadose:ask` must be a whole number below 2^53"}
    ada > {"tornadose:ask":9007199254740992,"data":{"echo":1}}
    ada < tornadose:error {"reason":"`tornadose:ask` must be a whole number below 2^53"}
    ada > {"tornadose:ask":5}
    ada < tornadose:error 5 {"reason":"`tornadose:ask` needs the member `data`"}
    ada > {"tornadose:ask":6,"data":{"echo":1},"tornadose:more":1}
    ada < tornadose:error 6 {"reason":"the server does not know this control text"}
    ada > {"tornadose:unknown":{}}
    ada < tornadose:error {"reason":"the server does not know this control text"}
    ada > {"echo":"tornadose:"}
    ada > {"tornadose\u003aask":7,"data":{"echo":1}}
    ada < tornadose:error {"reason":"unknown variant `tornadose:ask`, expected one of `echo`, `say`, `bytes`, `wait`, `refuse`, `unencodable`, `panic` at line 1 column 21"}
    ada > "{\"tornadose:ask\":7,\"data\":"
    ada < tornadose:error {"reason":"unknown variant `tornadose:ask`, expected one of `echo`, `say`, `bytes`, `wait`, `refuse`, `unencodable`, `panic` at line 1 column 16"}
    "#);
}

#[tornadose_test::test]
async fn an_ask_that_waits_when_its_store_closes_gets_no_answer() {
    let (store, _, app) = desk();
    let ada = app.client("ada").ws("/desk").await;
    let _ask = ada.send_ask(&json!({"wait": 1000})).await;
    store.close();
    store.closed().await;
    assert_transcript!(ada, @r#"
    ada > GET /desk upgrade websocket
    ada ~ open 101
    ada > ask 1 {"wait":1000}
    ada ~ close 1001 (server)
    "#);
}
