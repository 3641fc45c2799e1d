//! Arbitrary bytes of a WebSocket client. A connection goes on, or ends with a close code.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection::vec, prop_assert, sample::select};
use tornadose::prelude::*;
use tornadose_test::Client;

use super::cases::check_cases;
use super::harness::harness;

#[store(queue, capacity = 8)]
#[derive(Serialize)]
struct Line(u64);

#[subscriber(ws, store = Line, receive = Self::receive_value, max_message = "1KiB")]
struct Talker;

impl Talker {
    async fn receive_value(&mut self, text: serde_json::Value, _: &Store<Line>) -> Result<(), String> {
        Err(text.to_string())
    }
}

/// Returns a frame. Its length takes as few bytes as possible, or 2 or 8.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>, length: usize) -> Vec<u8> {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    let bytes = u64::try_from(payload.len()).unwrap().to_be_bytes();
    match length.max(if payload.len() < 126 { 0 } else { 2 }) {
        0 => frame.push(mask_bit | bytes[7]),
        2 => {
            frame.push(mask_bit | 0x7E);
            frame.extend(&bytes[6..]);
        }
        _ => {
            frame.push(mask_bit | 0x7F);
            frame.extend(bytes);
        }
    }
    let mask = mask.unwrap_or_default();
    if mask_bit != 0 {
        frame.extend(mask);
    }
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Generates JSON, which is received, and other text, which is reported as invalid.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<String>().prop_map(|text| serde_json::to_vec(&text).unwrap()),
        2 => any::<String>().prop_map(String::into_bytes),
        1 => vec(Just(b'7'), 900..1030),
    ]
}

/// Generates what a conforming client sends: a ping, a pong, or a text, whole or in fragments with a
/// ping between them.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let control = (select(vec![0x89, 0x8A]), vec(any::<u8>(), 0..126), any::<[u8; 4]>())
        .prop_map(|(first, payload, mask)| frame(first, &payload, Some(mask), 0));
    let text = (payload(), any::<[u8; 4]>()).prop_map(|(text, mask)| frame(0x81, &text, Some(mask), 0));
    let cut =
        (payload(), vec((any::<usize>(), any::<bool>()), 1..4), any::<[u8; 4]>()).prop_map(|(text, cuts, mask)| {
            let mut cuts: Vec<_> = cuts.into_iter().map(|(at, ping)| (at % (text.len() + 1), ping)).collect();
            cuts.sort_unstable();
            let (mut frames, mut from) = (Vec::new(), 0);
            for (to, ping) in cuts {
                let first = u8::from(frames.is_empty());
                frames.extend(frame(first, &text[from..to], Some(mask), 0));
                if ping {
                    frames.extend(frame(0x89, b"between", Some(mask), 0));
                }
                from = to;
            }
            frames.extend(frame(0x80, &text[from..], Some(mask), 0));
            frames
        });
    prop_oneof![control, text, cut]
}

/// Generates a frame that may be invalid in every part.
fn maybe_invalid() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), select(vec![0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89])];
    let payload = prop_oneof![
        2 => payload(),
        1 => vec(any::<u8>(), 0..130),
        2 => (0..5001_u16, any::<String>()).prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        2 => (1000..1016_u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let mask = prop_oneof![9 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    (first, payload, mask, prop_oneof![8 => Just(0), 1 => Just(2), 1 => Just(8)])
        .prop_map(|(first, payload, mask, length)| frame(first, &payload, mask, length))
}

/// Generates what a client writes: valid frames, then perhaps an invalid frame or other bytes. Some
/// bytes may be changed.
fn inbound() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![2 => Just(Vec::new()), 3 => maybe_invalid(), 1 => vec(any::<u8>(), 1..60)];
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<usize>(), any::<u8>()), 1..3)];
    (vec(valid(), 1..6), end, changes).prop_map(|(frames, end, changes)| {
        let mut bytes = [frames.concat(), end].concat();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes
    })
}

/// Writes these bytes, `pipe` of them at a time. Returns what the client received, and whether it is
/// still connected.
async fn exchange(bytes: &[u8], pipe: usize) -> (Vec<String>, bool) {
    let store: Store<Line> = Store::new();
    let app = harness(Router::with_path("talk").get(Talker::handler(&store)));
    let socket = app.client("page").buffer_size(pipe).lenient().ws("/talk").await;
    socket.send_raw(bytes).await;
    let wire = socket.recording().wire();
    // The id of the first position frame is random.
    let received = wire.lines().filter(|line| line.starts_with("page < ") && !line.contains(r##"{"id":"#"##));
    let received: Vec<String> = received.map(str::to_owned).collect();
    // The fake client checks that the server keeps to the protocol, also that the close code may be sent.
    assert!(!wire.contains("\npage ! "), "{wire}");
    let open = store.subscribers() == 1;
    let closed = received.last().is_some_and(|last| last.starts_with("page < close"));
    assert!(open != closed, "{wire}");
    Client::close(&socket).await;
    assert_eq!(store.subscribers(), 0, "{wire}");
    (received, open)
}

#[test]
fn any_bytes_are_answered_the_same_in_one_piece_and_in_many() {
    check_cases(400, &(inbound(), 1..80_usize), |(bytes, pipe)| {
        tornadose_test::run(async {
            let (whole, pieces) = (exchange(&bytes, 1 << 16).await, exchange(&bytes, pipe).await);
            prop_assert!(whole == pieces, "in one piece {whole:?}, by {pipe} bytes {pieces:?}");
            Ok(())
        })
    });
}
