//! Connections as a WebSocket client sees them.

use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, capacity = 8)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Room {
    Said { user: String, text: String },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Inbound {
    Say { text: String },
    Leave,
    Panic,
    Wait { seconds: u64 },
}

#[subscriber(ws, store = Room, replay = 1, receive = Self::received, protocols = ["v1", "v2"], max_message = "1KiB")]
struct Member {
    #[query]
    user: String,
}

impl Member {
    async fn received(&mut self, inbound: Inbound, store: &Store<Room>) -> Result<(), Close> {
        match inbound {
            Inbound::Say { text } => {
                let message = Room::Said { user: self.user.clone(), text };
                store.submit(message).await.map_err(|_| Close::new(CloseCode::INTERNAL_ERROR, "closed"))?;
            }
            Inbound::Leave => return Err(Close::new(CloseCode::literal::<4000>(), "bye")),
            Inbound::Panic => panic!("as asked"),
            Inbound::Wait { seconds } => tokio::time::sleep(secs(seconds)).await,
        }
        Ok(())
    }
}

fn room() -> (Store<Room>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("room").get(Member::handler(&store)));
    (store, app)
}

#[tornadose_test::test]
async fn a_message_of_one_client_reaches_all() {
    let (_, app) = room();
    let ada = app.client("ada").ws("/room?user=ada").await;
    let bob = app.client("bob").ws("/room?user=bob").await;
    bob.send_text(r#"{"type":"say","text":"hi"}"#).await;
    let eve = app.client("eve").ws("/room?user=eve").await;
    assert_transcript!(app, wire, @r##"
    ada > GET /room?user=ada upgrade websocket
    ada ~ open 101
    ada ~ connection: upgrade
    ada ~ upgrade: websocket
    ada ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    ada < text {"id":"#1"}
    bob > GET /room?user=bob upgrade websocket
    bob ~ open 101
    bob ~ connection: upgrade
    bob ~ upgrade: websocket
    bob ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    bob < text {"id":"#1"}
    bob > {"type":"say","text":"hi"}
    ada < text {"id":"#2","event":"said","data":{"user":"bob","text":"hi"}}
    bob < text {"id":"#2","event":"said","data":{"user":"bob","text":"hi"}}
    eve > GET /room?user=eve upgrade websocket
    eve ~ open 101
    eve ~ connection: upgrade
    eve ~ upgrade: websocket
    eve ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    eve < text {"id":"#2","event":"said","data":{"user":"bob","text":"hi"}}
    "##);
    drop((ada, eve));
}

#[tornadose_test::test]
async fn every_ping_comes_with_a_position_frame() {
    let (store, app) = room();
    let ada = app.client("ada").ws("/room?user=ada").await;
    store.submit(Room::Said { user: "bob".into(), text: "hi".into() }).await.unwrap();
    app.advance(secs(31)).await;
    assert_transcript!(ada, wire, @r##"
    ada > GET /room?user=ada upgrade websocket
    ada ~ open 101
    ada ~ connection: upgrade
    ada ~ upgrade: websocket
    ada ~ sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    ada < text {"id":"#1"}
    ada < text {"id":"#2","event":"said","data":{"user":"bob","text":"hi"}}
    after 15s
    ada < text {"id":"#2"}
    ada < ping
    ada > pong
    after 15s
    ada < text {"id":"#2"}
    ada < ping
    ada > pong
    "##);
}

#[tornadose_test::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let (store, app) = room();
    let ada = app.client("ada").mute().ws("/room?user=ada").await;
    app.advance(secs(29)).await;
    assert_eq!(store.subscribers(), 1);
    app.advance(secs(1)).await;
    assert_eq!(store.subscribers(), 0);
    assert_transcript!(ada, @"
    ada > GET /room?user=ada upgrade websocket
    ada ~ open 101
    after 15s
    ada < ping
    after 15s
    ada ~ abort
    ");
}

#[tornadose_test::test]
async fn a_text_that_cannot_be_received_is_reported_to_its_sender_only() {
    let (store, app) = room();
    let ada = app.client("ada").ws("/room?user=ada").await;
    ada.send_text("hello?").await;
    ada.send_text(r#"{"type":"say"}"#).await;
    ada.send_text(r#"{"type":"leave"}"#).await;
    assert_transcript!(ada, @r#"
    ada > GET /room?user=ada upgrade websocket
    ada ~ open 101
    ada > "hello?"
    ada < tornadose:error {"reason":"expected value at line 1 column 1"}
    ada > {"type":"say"}
    ada < tornadose:error {"reason":"missing field `text`"}
    ada > {"type":"leave"}
    ada ~ close 4000 (server) bye
    "#);
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn violations_are_closed_with_their_code() {
    let (_, app) = room();
    let too_big = app.client("too-big").ws("/room?user=u").await;
    too_big.send_raw([0x81, 0xFE, 0x04, 0x01, 0, 0, 0, 0]).await;
    let binary = app.client("binary").ws("/room?user=u").await;
    binary.send_binary([1, 2, 3]).await;
    let not_utf8 = app.client("not-utf8").ws("/room?user=u").await;
    not_utf8.send_raw([0x81, 0x81, 0, 0, 0, 0, 0xFF]).await;
    let unmasked = app.client("unmasked").ws("/room?user=u").await;
    unmasked.send_raw([0x81, 0x01, b'x']).await;
    let panics = app.client("panics").ws("/room?user=u").await;
    panics.send_text(r#"{"type":"panic"}"#).await;
    app.expect_panic("as asked").await;
    let leaves = app.client("leaves").ws("/room?user=u").await;
    leaves.close_with(4321, "enough").await;
    assert_transcript!(app, @r#"
    too-big > GET /room?user=u upgrade websocket
    too-big ~ open 101
    too-big > raw 81 fe 04 01 00 00 00 00
    too-big ~ close 1009 (server) the message is too big
    binary > GET /room?user=u upgrade websocket
    binary ~ open 101
    binary > binary 01 02 03
    binary ~ close 1003 (server) only text is accepted
    not-utf8 > GET /room?user=u upgrade websocket
    not-utf8 ~ open 101
    not-utf8 > raw 81 81 00 00 00 00 ff
    not-utf8 ~ close 1007 (server) the text is not UTF-8
    unmasked > GET /room?user=u upgrade websocket
    unmasked ~ open 101
    unmasked > raw 81 01 78
    unmasked ~ close 1002 (server) a frame without a mask
    panics > GET /room?user=u upgrade websocket
    panics ~ open 101
    panics > {"type":"panic"}
    panics ~ close 1011 (server) internal error
    server ! panicked: as asked
    leaves > GET /room?user=u upgrade websocket
    leaves ~ open 101
    leaves ~ close 4321 (client) enough
    "#);
}

#[tornadose_test::test]
async fn a_hook_that_waits_delays_no_other_connection() {
    let (store, app) = room();
    let slow = app.client("slow").ws("/room?user=slow").await;
    let quick = app.client("quick").ws("/room?user=quick").await;
    slow.send_text(r#"{"type":"wait","seconds":20}"#).await;
    quick.send_text(r#"{"type":"say","text":"hi"}"#).await;
    quick.skip(1).await;
    slow.quiet().await;
    app.advance(secs(20)).await;
    slow.skip(1).await;
    slow.send_text(r#"{"type":"wait","seconds":20}"#).await;
    slow.vanish().await;
    quick.send_text(r#"{"type":"wait","seconds":1000}"#).await;
    store.close();
    store.closed().await;
    assert_eq!(store.subscribers(), 0);
    quick.closed().await;
}

#[tornadose_test::test]
async fn a_handshake_follows_the_standard() {
    let (_, app) = room();
    let plain = app.client("plain").get("/room?user=u").await;
    assert_eq!((plain.status(), plain.headers()["sec-websocket-version"].as_bytes()), (426, b"13".as_slice()));
    let old = app
        .client("old")
        .without("sec-websocket-version")
        .header("sec-websocket-version", "8")
        .ws("/room?user=u")
        .await;
    assert_eq!((old.status(), old.headers()["sec-websocket-version"].as_bytes()), (426, b"13".as_slice()));
    for key in ["", "abc", "AAAAAAAAAAAAAAAAAAAAAAA="] {
        let odd =
            app.client("odd").without("sec-websocket-key").header("sec-websocket-key", key).ws("/room?user=u").await;
        assert_eq!(odd.status(), 400, "{key:?}");
    }
    let nobody = app.client("nobody").ws("/room").await;
    assert_eq!(nobody.status(), 400);
    let versions = app.client("versions").protocols(["v3", "v2", "v1"]).ws("/room?user=u").await;
    assert_eq!(versions.headers()["sec-websocket-protocol"], "v2");
    let foreign = app.client("foreign").origin("https://evil.example").ws("/room?user=u").await;
    assert_eq!(foreign.status(), 403);
    assert!(foreign.text().contains("the origin `https://evil.example` is not the host"), "{}", foreign.text());
}

#[tornadose_test::test]
async fn a_websocket_resumes_after_its_id() {
    let (store, app) = room();
    let say = |text: &str| store.submit(Room::Said { user: "bob".into(), text: text.into() });
    let ada = app.client("ada").ws("/room?user=ada").await;
    say("one").await.unwrap();
    ada.skip(1).await;
    let id = ada.last_event_id().unwrap();
    ada.close().await;
    say("two").await.unwrap();
    say("three").await.unwrap();
    let back = app.client("back").ws(format!("/room?user=ada&last_event_id={id}")).await;
    let lost = app.client("lost").ws("/room?user=ada&last_event_id=abcdefgh-1").await;
    assert_transcript!(app, @r#"
    ada > GET /room?user=ada upgrade websocket
    ada ~ open 101
    ada < said #1 {"user":"bob","text":"one"}
    ada ~ close 1000 (client)
    back > GET /room?user=ada&last_event_id=#1 upgrade websocket
    back ~ open 101
    back < said #2 {"user":"bob","text":"two"}
    back < said #3 {"user":"bob","text":"three"}
    lost > GET /room?user=ada&last_event_id=abcdefgh-1 upgrade websocket
    lost ~ open 101
    lost < tornadose:gap {"reason":"restarted","missed":null}
    lost < said #1 {"user":"bob","text":"one"}
    lost < said #2 {"user":"bob","text":"two"}
    lost < said #3 {"user":"bob","text":"three"}
    "#);
    drop((back, lost));
}
