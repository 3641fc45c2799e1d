//! WebSocket clients of a hand-written endpoint.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod ws_endpoint;
}

use std::panic::catch_unwind;

use common::ws_endpoint::ws_endpoint;
use salvo::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tornadose_test::{Ending, Harness, assert_transcript, run};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chat {
    Said { text: String },
    Left,
}

#[tornadose_test::test]
async fn a_transcript_reads_as_over_sse() {
    let (endpoint, handler) = ws_endpoint(&[("sec-websocket-protocol", "v1")]);
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let bob = app.client("bob").protocols(["v1", "v2"]).origin("https://app.example").ws("/rooms/1").await;
    assert_eq!((bob.status(), &bob.headers()["upgrade"]), (101, &"websocket".parse().unwrap()));
    bob.send(&json!({"type": "say", "text": "hi"})).await;
    assert_eq!(endpoint.take_frames(), [b"\x81{\"text\":\"hi\",\"type\":\"say\"}"]);
    endpoint.push_text(r#"{"id":"k3v9x0aq-1","event":"said","data":{"text":"hi"}}"#);
    endpoint.push_text(r#"{"event":"left","data":null}"#);
    endpoint.push_text(r#"{"id":"k3v9x0aq-2"}"#);
    endpoint.push(b"\x89\x02ok");
    assert_eq!(bob.next::<Chat>().await, Chat::Said { text: "hi".into() });
    assert_eq!(bob.next::<Chat>().await, Chat::Left);
    bob.quiet().await;
    assert_eq!(endpoint.take_frames(), [b"\x8aok"]);
    assert_eq!(bob.last_event_id().as_deref(), Some("k3v9x0aq-2"));
    endpoint.push(b"\x88\x0a\x03\xe9shutdown");
    assert_eq!(bob.closed().await, Ending::Close { code: 1001, reason: "shutdown".into() });
    assert_eq!(endpoint.take_frames(), [b"\x88\x03\xe9"]);
    assert_transcript!(bob, @r#"
    bob > GET /rooms/1 upgrade websocket
    bob ~ open 101, protocol v1
    bob > {"text":"hi","type":"say"}
    bob < said #1 {"text":"hi"}
    bob < left null
    bob < ping
    bob ~ close 1001 (server) shutdown
    "#);
    assert_transcript!(bob, wire, @r##"
    bob > GET /rooms/1 upgrade websocket
    bob ~ open 101, protocol v1
    bob ~ connection: upgrade
    bob ~ upgrade: websocket
    bob ~ sec-websocket-protocol: v1
    bob ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    bob > {"text":"hi","type":"say"}
    bob < text {"id":"#1","event":"said","data":{"text":"hi"}}
    bob < text {"event":"left","data":null}
    bob < text {"id":"#2"}
    bob < ping ok
    bob > pong ok
    bob < close 1001 shutdown
    bob ~ close 1001 (server) shutdown
    bob > close 1001
    "##);
}

#[tornadose_test::test]
async fn a_close_by_the_client_is_one_line() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::new().get(handler));
    let client = app.ws("/").await;
    client.close().await;
    client.quiet().await;
    assert_eq!(endpoint.take_frames(), [b"\x88\x03\xe8"]);
    endpoint.push(b"\x88\x02\x03\xe8");
    assert_eq!(client.closed().await, Ending::Close { code: 1000, reason: String::new() });
    endpoint.hang_up();
    assert_transcript!(client, @"
    client > GET / upgrade websocket
    client ~ open 101
    client ~ close 1000 (client)
    ");
}

#[tornadose_test::test]
async fn every_kind_of_message_has_its_line() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.client("a").mute().ws("/a").await;
    a.send_text("plain").await;
    a.send_text("[1,2]").await;
    a.send_binary([1, 2, 255]).await;
    a.ping("are you there").await;
    endpoint.push(b"\x8a\x0dare you there");
    endpoint.push(b"\x89\x00");
    endpoint.push_text("hello");
    endpoint.push(b"\x02\x01\x01\x80\x01\x02");
    assert_eq!(a.next::<String>().await, "hello");
    a.skip(1).await;
    endpoint.push(b"\x88\x00");
    assert_eq!(a.closed().await, Ending::Close { code: 1005, reason: String::new() });
    let kinds: Vec<u8> = endpoint.take_frames().iter().map(|frame| frame[0]).collect();
    assert_eq!(kinds, [0x81, 0x81, 0x82, 0x89], "a mute client replies neither to the ping nor to the close");
    a.send_raw([0x81, 0x00]).await;
    assert_transcript!(a, @r#"
    a > GET /a upgrade websocket
    a ~ open 101
    a > "plain"
    a > [1,2]
    a > binary 01 02 ff
    a > ping
    a < ping
    a < "hello"
    a < binary 01 02
    a ~ close (server)
    a > raw 81 00
    "#);
    assert_transcript!(a, wire, @r#"
    a > GET /a upgrade websocket
    a ~ open 101
    a ~ connection: upgrade
    a ~ upgrade: websocket
    a ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    a > "plain"
    a > [1,2]
    a > binary 01 02 ff
    a > ping are you there
    a < pong are you there
    a < ping
    a < text hello
    a < binary (more to come) 01
    a < continuation \u{2}
    a < close
    a ~ close (server)
    a > raw 81 00
    "#);
}

#[tornadose_test::test]
async fn a_connection_that_ends_without_a_close_is_an_abort() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.ws("/a").await;
    endpoint.hang_up();
    assert_eq!(a.closed().await, Ending::Abort);
}

#[test]
fn a_violation_by_the_server_fails_the_test() {
    let panic = catch_unwind(|| {
        run(async {
            let (endpoint, handler) = ws_endpoint(&[]);
            let app = Harness::new(Router::with_path("a").get(handler));
            app.ws("/a").await;
            endpoint.push(b"\x81\x7e\x00\x01a");
        });
    });
    insta::assert_snapshot!(panic.unwrap_err().downcast_ref::<String>().unwrap(), @"
    the server violated the protocol towards `a`: a frame of 1 bytes does not write its length in the shortest form

    the transcript so far:
        a > GET /a upgrade websocket
        a ~ open 101
        a ! a frame of 1 bytes does not write its length in the shortest form
    the clients:
        a: broken off, 0 unread
    ");
}

#[test]
fn an_invalid_handshake_fails_the_test() {
    for (headers, violation) in [
        (&[("sec-websocket-accept", "x")], "`sec-websocket-accept` is `x`, not `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`"),
        (&[("upgrade", "h2c")], "the 101 has no `upgrade: websocket`"),
        (&[("connection", "close")], "the 101 has no `connection: upgrade`"),
        (&[("sec-websocket-extensions", "x")], "the server chose the extension `x`, which was not offered"),
        (&[("sec-websocket-protocol", "v1")], "the server chose the protocol `v1`, which was not offered"),
    ] {
        let panic = catch_unwind(|| {
            run(async {
                let app = Harness::new(Router::with_path("a").get(ws_endpoint(headers).1));
                app.ws("/a").await;
            });
        });
        let message = panic.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains(violation), "{message}");
    }
}

#[test]
fn a_violation_towards_a_lenient_client_is_allowed() {
    run(async {
        let (endpoint, handler) = ws_endpoint(&[]);
        let app = Harness::new(Router::with_path("a").get(handler));
        let a = app.client("a").lenient().ws("/a").await;
        endpoint.push(b"\x83\x00");
        assert_eq!(a.closed().await, Ending::Abort);
    });
}

#[tornadose_test::test]
async fn an_ask_reads_its_own_answer_and_leaves_the_messages() {
    let (endpoint, handler) = ws_endpoint(&[]);
    let app = Harness::new(Router::with_path("rooms/1").get(handler));
    let bob = app.client("bob").ws("/rooms/1").await;
    let (first, second) = (bob.send_ask(&json!({"a": 1})).await, bob.send_ask("b").await);
    let sent: [&[u8]; 2] =
        [b"\x81{\"tornadose:ask\":1,\"data\":{\"a\":1}}", b"\x81{\"tornadose:ask\":2,\"data\":\"b\"}"];
    assert_eq!(endpoint.take_frames(), sent);
    endpoint.push_text(r#"{"event":"tornadose:reply","ask":1,"data":7}"#);
    endpoint.push_text(r#"{"event":"left","data":null}"#);
    endpoint.push_text(r#"{"event":"tornadose:error","ask":2,"data":{"reason":"no b"}}"#);
    endpoint.push_text(r#"{"event":"tornadose:reply","ask":9,"data":null}"#);
    assert_eq!(bob.next::<Chat>().await, Chat::Left);
    let unasked = bob.next_event().await;
    assert_eq!((unasked.name.as_str(), unasked.ask), ("tornadose:reply", Some(9)));
    assert_transcript!(bob, @r#"
    bob > GET /rooms/1 upgrade websocket
    bob ~ open 101
    bob > ask 1 {"a":1}
    bob > ask 2 "b"
    bob < tornadose:reply 1 7
    bob < left null
    bob < tornadose:error 2 {"reason":"no b"}
    bob < tornadose:reply 9 null
    "#);
    assert_eq!(second.error().await, "no b");
    assert_eq!(first.reply::<u32>().await, 7);
    bob.quiet().await;
}

#[test]
fn an_ask_fails_with_what_arrived_instead() {
    let failure = |answer: &'static str| {
        let failed = catch_unwind(|| {
            run(async {
                let (endpoint, handler) = ws_endpoint(&[]);
                let app = Harness::new(Router::with_path("rooms/1").get(handler));
                let bob = app.client("bob").ws("/rooms/1").await;
                let ask = bob.send_ask("a").await;
                if !answer.is_empty() {
                    endpoint.push_text(answer);
                }
                ask.reply::<u32>().await;
            });
        });
        failed.unwrap_err().downcast_ref::<String>().unwrap().clone()
    };
    for (answer, problem) in [
        ("", "expected a `u32` as the reply to ask 1, and no answer arrived for 60s"),
        (
            r#"{"event":"tornadose:error","ask":1,"data":{"reason":"no"}}"#,
            r#"expected a `u32` as the reply to ask 1, got the error {"reason":"no"}"#,
        ),
        (r#"{"event":"tornadose:reply","ask":1,"data":"x"}"#, r#"expected a `u32` as the reply to ask 1, got "x": "#),
    ] {
        let failure = failure(answer);
        assert!(failure.contains(problem), "{failure}");
    }
}

#[test]
fn an_answer_that_nobody_reads_fails_the_test() {
    let failed = catch_unwind(|| {
        run(async {
            let (endpoint, handler) = ws_endpoint(&[]);
            let app = Harness::new(Router::with_path("rooms/1").get(handler));
            let bob = app.client("bob").ws("/rooms/1").await;
            let _ask = bob.send_ask("a").await;
            endpoint.push_text(r#"{"event":"tornadose:reply","ask":1,"data":7}"#);
            bob.close().await;
        });
    });
    let failure = failed.unwrap_err().downcast_ref::<String>().unwrap().clone();
    assert!(failure.contains("bob < tornadose:reply 1 7"), "{failure}");
}
