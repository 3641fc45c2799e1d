//! The option `max_message`.

use tornadose_test::Ending;

use super::talker::{FIRST_FRAGMENT, LAST_FRAGMENT, NEXT_FRAGMENT, PING, TEXT, frame, talk};

/// Returns a JSON string of this many bytes.
fn json_of(bytes: usize) -> Vec<u8> {
    format!("\"{}\"", "ü".repeat((bytes - 2) / 2) + &"x".repeat(bytes % 2)).into_bytes()
}

#[tornadose_test::test]
async fn a_message_may_have_max_message_bytes_and_no_more() {
    let (store, count, app) = talk();
    let split = |bytes: usize, at: usize| {
        let text = json_of(bytes);
        [frame(FIRST_FRAGMENT, &text[..at]), frame(PING, b"between"), frame(LAST_FRAGMENT, &text[at..])].concat()
    };
    let single_bytes = |bytes: usize| {
        let fragments = json_of(bytes).into_iter().flat_map(|byte| frame(NEXT_FRAGMENT, &[byte]));
        [frame(FIRST_FRAGMENT, b""), fragments.collect(), frame(LAST_FRAGMENT, b"")].concat()
    };
    for (name, bytes, fits) in [
        ("whole", frame(TEXT, &json_of(1024)), true),
        ("whole-and-one", frame(TEXT, &json_of(1025)), false),
        ("split", split(1024, 601), true),
        ("split-and-one", split(1025, 601), false),
        ("split-at-the-end", split(1024, 1024), true),
        ("split-after-the-limit", split(1025, 1024), false),
        ("single-bytes", single_bytes(1024), true),
        ("single-bytes-and-one", single_bytes(1025), false),
        // The limit is per message.
        ("twice", [frame(TEXT, &json_of(1024)), split(1024, 3)].concat(), true),
    ] {
        let before = count.get();
        let socket = app.client(name).lenient().ws("/talk").await;
        socket.send_raw(bytes).await;
        let transcript = socket.recording().to_string();
        if fits {
            assert!(count.get() > before && !transcript.contains("close"), "{transcript}");
            socket.close().await;
        } else {
            let too_big = Ending::Close { code: 1009, reason: "the message is too big".into() };
            assert_eq!((socket.closed().await, count.get()), (too_big, before), "{transcript}");
        }
        assert_eq!(store.subscribers(), 0, "{transcript}");
    }
}

#[tornadose_test::test]
async fn a_message_that_is_too_big_is_refused_at_its_header() {
    let (_, _, app) = talk();
    for (name, header) in [
        ("bigger", &[0x81, 0xFE, 0x04, 0x01][..]),
        ("huge", &[0x81, 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("largest", &[0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ] {
        let socket = app.client(name).ws("/talk").await;
        socket.send_raw([header, &[0; 4]].concat()).await;
        assert!(matches!(socket.closed().await, Ending::Close { code: 1009, .. }), "{name}");
    }
}
