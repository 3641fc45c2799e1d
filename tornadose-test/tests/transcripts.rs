//! Transcripts: masks, selected clients, the exact bytes, and recordings for insta's other macros.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod failure;
    pub(crate) mod feed;
    pub(crate) mod ws_endpoint;
}

use std::time::Duration;

use common::failure::failure;
use common::feed::feed;
use common::ws_endpoint::ws_endpoint;
use salvo::prelude::*;
use tornadose_test::{Harness, assert_transcript};

#[handler]
async fn login(res: &mut Response) {
    res.render(Json(serde_json::json!({"token": "x9!", "ttl": 60})));
}

const SECRETS: &str = "id: 1\ndata: {\"token\":\"x9!\",\"of\":{\"token\":7}}\n\nevent: said\ndata: {\"token\":\"q2?\",\"n\":[{\"id\":3}]}\n\n\
                       data: {\"token\":\"x9!\",\"of\":null}\n\n";

#[tornadose_test::test]
async fn masked_values_have_the_same_labels_for_all_clients() {
    let ((_feed, news), (endpoint, talk)) = (feed(SECRETS), ws_endpoint(&[]));
    let router = Router::new().push(Router::with_path("news").get(news)).push(Router::with_path("talk").get(talk));
    let app = Harness::new(router.push(Router::with_path("login").post(login)));
    app.post("/login", "").await;
    app.sse("/news").await;
    let talk = app.ws("/talk").await;
    talk.send_text(r#"{"token":"q2?"}"#).await;
    endpoint.push_text(r#"{"data":{"token":"z"}}"#);
    assert_transcript!(app, mask: [".token", ".of.token", ".**.id"], @r#"
    login > POST /login
    login ~ answer 200 {"token":"[token-1]","ttl":60}
    news > GET /news
    news ~ open 200 text/event-stream
    news < message #1 {"token":"[token-1]","of":{"token":[token-2]}}
    news < said {"token":"[token-3]","n":[{"id":[id-1]}]}
    news < message {"token":"[token-1]","of":null}
    talk > GET /talk upgrade websocket
    talk ~ open 101
    talk > {"token":"[token-3]"}
    talk < message {"token":"[token-4]"}
    "#);
    assert_transcript!(app, mask: [".token", ".n[]"], wire, only(["news", "talk"]), @r#"
    news > GET /news
    news ~ open 200 text/event-stream
    news ~ content-type: text/event-stream; charset=utf-8
    news ~ transfer-encoding: chunked
    news < id: #1\ndata: {"token":"[token-1]","of":{"token":7}}\n\n
    news < event: said\ndata: {"token":"[token-2]","n":[[n-1]]}\n\n
    news < data: {"token":"[token-1]","of":null}\n\n
    talk > GET /talk upgrade websocket
    talk ~ open 101
    talk ~ connection: upgrade
    talk ~ upgrade: websocket
    talk ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    talk > {"token":"[token-2]"}
    talk < text {"data":{"token":"[token-3]"}}
    "#);
    assert_transcript!("masked, in a file", app, mask: [".token", ".of.token"]);
}

#[tornadose_test::test]
async fn a_transcript_marks_the_messages_of_its_clients_as_read() {
    let (feed, handler) = feed("");
    let app = Harness::new(Router::with_path("{**path}").get(handler));
    for name in ["ada", "bob", "eve"] {
        app.client(name).sse("/a").await;
    }
    feed.push("data: 1\n\n");
    assert_transcript!(app, only(["eve", "ada"]), @"
    ada > GET /a
    ada ~ open 200 text/event-stream
    eve > GET /a
    eve ~ open 200 text/event-stream
    ada < message 1
    eve < message 1
    ");
    let recording = app.recording().only(["bob"]);
    assert_eq!(recording.to_string(), "bob > GET /a\nbob ~ open 200 text/event-stream\nbob < message 1\n");
    assert_transcript!(app, only(["bob"]), wire, @r"
    bob > GET /a
    bob ~ open 200 text/event-stream
    bob ~ content-type: text/event-stream; charset=utf-8
    bob ~ transfer-encoding: chunked
    bob < data: 1\n\n
    ");
}

#[tornadose_test::test]
async fn a_serialized_recording_can_be_redacted() {
    let (_feed, handler) = feed(SECRETS);
    let app = Harness::new(Router::with_path("a").get(handler));
    let a = app.client("a").http2().sse("/a").await;
    a.skip(3).await;
    app.advance(Duration::from_millis(2500)).await;
    a.close().await;
    insta::assert_json_snapshot!(app.recording().mask([".of.token"]), {
        ".events[].data.token" => "[token]",
        ".events[2:].at" => "[time]",
    }, @r##"
    {
      "events": [
        {
          "at": "0ms",
          "client": "a",
          "kind": "request",
          "text": "> GET /a http/2"
        },
        {
          "at": "0ms",
          "client": "a",
          "kind": "open",
          "media": "text/event-stream",
          "retry": null,
          "status": 200
        },
        {
          "at": "[time]",
          "client": "a",
          "data": {
            "of": {
              "token": "[token-1]"
            },
            "token": "[token]"
          },
          "event": "message",
          "id": "#1",
          "kind": "event"
        },
        {
          "at": "[time]",
          "client": "a",
          "data": {
            "n": [
              {
                "id": 3
              }
            ],
            "token": "[token]"
          },
          "event": "said",
          "id": null,
          "kind": "event"
        },
        {
          "at": "[time]",
          "client": "a",
          "data": {
            "of": null,
            "token": "[token]"
          },
          "event": "message",
          "id": null,
          "kind": "event"
        },
        {
          "at": "[time]",
          "by": "client",
          "client": "a",
          "code": null,
          "kind": "close",
          "reason": ""
        }
      ]
    }
    "##);
}

#[tornadose_test::test]
async fn a_mask_of_the_harness_applies_to_every_transcript() {
    let (_feed, handler) = feed(SECRETS);
    let app = Harness::new(Router::with_path("a").get(handler));
    app.mask([".token"]);
    let a = app.sse("/a").await;
    assert!(a.recording().to_string().contains(r#"a < said {"token":"[token-2]","n":[{"id":3}]}"#));
    assert!(!app.recording().wire().contains("x9!"));
    a.skip(3).await;
}

#[tornadose_test::test]
async fn streams_and_requests_work_over_http2() {
    let (feed, news) = feed("id: 1\ndata: 1\n\n");
    let router = Router::new().push(Router::with_path("news").get(news));
    let app = Harness::new(router.push(Router::with_path("login").post(login)));
    let ada = app.client("ada").http2().buffer_size(16).sse("/news").await;
    let response = app.client("ada").http2().header("host", "app.example").post("/login", "name=ada").await;
    assert_eq!((response.status(), response.json::<serde_json::Value>()["ttl"].as_u64()), (200, Some(60)));
    assert!(!response.headers().contains_key("date"), "the date would be the wall clock's");
    feed.end();
    ada.reconnected().await;
    ada.cut().await;
    ada.reconnected().await;
    ada.close().await;
    assert_eq!(feed.readers(), 0);
    assert_transcript!(app, @r#"
    ada > GET /news http/2
    ada ~ open 200 text/event-stream
    ada < message #1 1
    ada > POST /login http/2
    ada ~ answer 200 {"token":"x9!","ttl":60}
    ada ~ end
    after 3s
    ada > GET /news http/2 last-event-id #1
    ada ~ open 200 text/event-stream
    ada < message #1 1
    ada ! cut
    after 3s
    ada > GET /news http/2 last-event-id #1
    ada ~ open 200 text/event-stream
    ada < message #1 1
    ada ~ close (client)
    "#);
}

#[test]
fn a_mask_that_matches_nothing_fails_the_test() {
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed(SECRETS);
        let app = Harness::new(Router::with_path("a").get(handler));
        app.client("a").lenient().sse("/a").await;
        assert_transcript!(app, mask: [".token", ".tokn"], @"");
    }), @r#"
    the mask `.tokn` matches nothing: remove it, or correct it
    at tornadose-test/tests/transcripts.rs:LINE

    the transcript so far:
        a > GET /a
        a ~ open 200 text/event-stream
        a < message #1 {"token":"x9!","of":{"token":7}}
        a < said {"token":"q2?","n":[{"id":3}]}
        a < message {"token":"x9!","of":null}
    the clients:
        a: open, 3 unread
    "#);
    insta::assert_snapshot!(failure(|| async {
        let (_feed, handler) = feed("data: {\"n\":1}\n\n");
        let app = Harness::new(Router::with_path("a").get(handler));
        app.mask([".n", ".user.name"]);
        app.sse("/a").await.skip(1).await;
    }), @r#"
    the mask `.user.name` matches nothing: remove it, or correct it

    the transcript so far:
        a > GET /a
        a ~ open 200 text/event-stream
        a < message {"n":[n-1]}
    the clients:
        a: open, 0 unread
    "#);
    insta::assert_snapshot!(failure(|| async {
        let app = Harness::new(Router::new());
        app.get("/").await;
        assert_transcript!(app, mask: ["token"], @"");
    }).lines().next().unwrap(), @"`token` is not a path into JSON: write `.token`, `.user.token`, `.items[].id` or `.**.token`");
}

#[test]
fn an_unknown_client_cannot_be_selected() {
    let message = failure(|| async {
        let app = Harness::new(Router::new());
        app.client("ada").get("/").await;
        app.client("bob").get("/").await;
        let _ = app.recording().only(["eve"]);
    });
    assert_eq!(message, "there is no client `eve`; there are: ada, bob");
}
