//! Arbitrary input at every door: positions, the bytes of a WebSocket, every source of a field. Each runs for a second or
//! so, over the same cases every time; with `TORNADOSE_LONG` set, for ten minutes.

use std::fmt::Write;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use http_body::Body;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::prop_assert;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use proptest::{collection::vec, sample::select};
use salvo::Service;
use salvo::conn::ConnCtrl;
use salvo::http::ReqBody;
use salvo::http::header::HeaderValue;
use salvo::http::uri::{Scheme, Uri};
use tornadose::prelude::*;
use tornadose_test::Client;

use super::harness::harness;

/// Holds a sentence over so many cases, or over those of ten minutes. The smallest case that breaks it is shown.
fn holds<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> TestCaseResult) {
    let until = std::env::var_os("TORNADOSE_LONG").map(|_| Instant::now() + Duration::from_mins(10));
    for round in 0_u64.. {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&round.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        if let Err(broken) = TestRunner::new_with_rng(config, rng).run(strategy, &check) {
            panic!("round {round}: {broken}");
        }
        if until.is_none_or(|until| Instant::now() >= until) {
            return;
        }
    }
}

/// Answers a request over the whole service, but no connection: so that a header may have any bytes.
async fn answer(service: &Service, uri: &Uri, headers: &[(&'static str, HeaderValue)]) -> (u16, String) {
    let mut request = hyper::Request::new(ReqBody::None);
    *request.uri_mut() = uri.clone();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.clone());
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let handler = service.hyper_handler(address.into(), address.into(), Scheme::HTTP, None, ConnCtrl::new(), None);
    let mut response = handler.handle(Request::from_hyper(request, Scheme::HTTP)).await;
    let status = response.status_code.unwrap().as_u16();
    let mut body = pin!(response.take_body());
    // A stream says at once what there is to say, and then waits.
    let mut text = Vec::new();
    poll_fn(|cx| {
        while let std::task::Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(cx) {
            text.extend(frame.into_data().unwrap());
        }
        std::task::Poll::Ready(())
    })
    .await;
    (status, String::from_utf8(text).unwrap())
}

/// Every byte escaped, so that any can stand in a path, a query or a cookie.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").unwrap();
        text
    })
}

/// Bytes that may stand in a header.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0x20..0x7F_u8, 1 => Just(b'\t'), 2 => 0x80..=0xFF_u8];
    vec(byte, 0..40)
}

#[store(queue, capacity = 8)]
#[derive(Serialize)]
struct Line(u64);

// --- Positions

#[subscriber(sse, store = Line)]
struct Lines;

/// What a client may send for the id that stands at `of`.
#[derive(Clone, Debug)]
enum Position {
    Exact,
    Bytes(Vec<u8>),
    Text(String),
    Offset(i128),
    OtherEpoch(String),
    OtherByte(usize, u8),
    Inserted(usize, String),
    Removed(usize),
}

fn position() -> impl Strategy<Value = Position> {
    let near = prop_oneof![
        -3..4_i128,
        (0..130_u32).prop_map(|power| 1_i128.checked_shl(power).unwrap_or(i128::MAX)),
        any::<i64>().prop_map(i128::from),
    ];
    let inserted = prop_oneof![
        select(vec!["-", "0", "00", "+", " ", "\u{0}", "%", "-0", "1", "99999999999999999999", "٣", "é"])
            .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop_oneof![
        2 => Just(Position::Exact),
        2 => header_bytes().prop_map(Position::Bytes),
        1 => any::<String>().prop_map(Position::Text),
        3 => near.prop_map(Position::Offset),
        1 => "[0-9a-z]{8}".prop_map(Position::OtherEpoch),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(place, byte)| Position::OtherByte(place, byte)),
        3 => (any::<usize>(), inserted).prop_map(|(place, text)| Position::Inserted(place, text)),
        2 => any::<usize>().prop_map(Position::Removed),
    ]
}

impl Position {
    fn of(&self, id: &str) -> Vec<u8> {
        let (epoch, offset) = id.split_once('-').unwrap();
        let mut bytes = id.as_bytes().to_vec();
        let place = |place: usize| place % bytes.len();
        match self {
            Self::Exact => {}
            Self::Bytes(other) => bytes.clone_from(other),
            Self::Text(text) => bytes = text.clone().into_bytes(),
            Self::Offset(by) => {
                bytes = format!("{epoch}-{}", offset.parse::<i128>().unwrap().saturating_add(*by)).into_bytes();
            }
            Self::OtherEpoch(epoch) => bytes = format!("{epoch}-{offset}").into_bytes(),
            Self::OtherByte(at, byte) => {
                let at = place(*at);
                bytes[at] = *byte;
            }
            Self::Inserted(at, text) => {
                let at = place(*at);
                bytes.splice(at..at, text.bytes());
            }
            Self::Removed(at) => {
                bytes.remove(place(*at));
            }
        }
        bytes
    }
}

/// The numbers of the events of a stream, and whether it began with a gap.
fn read_stream(text: &str) -> (bool, Vec<u64>) {
    let field = |block: &str, name: &str| {
        let prefix = format!("{name}: ");
        block.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    let events = text.split("\n\n").filter_map(|block| Some((field(block, "event"), field(block, "data")?)));
    let (mut gaps, mut numbers) = (0, Vec::new());
    for (name, data) in events {
        match name.as_deref() {
            Some("tornadose:gap") => {
                assert!(numbers.is_empty() && data.starts_with(r#"{"reason":""#), "{text}");
                gaps += 1;
            }
            None => numbers.push(data.parse().unwrap()),
            other => panic!("{other:?}: {text}"),
        }
    }
    assert!(gaps <= 1, "{text}");
    (gaps == 1, numbers)
}

#[test]
fn a_position_resumes_exactly_or_is_a_gap() {
    let strategy = (0..20_u64, 0..20_u64, position(), any::<bool>());
    holds(3000, &strategy, |(submitted, at, position, in_query)| {
        tornadose_test::run(async {
            let store = Store::new();
            let first = store.head();
            let ids = (1..=submitted).map(|number| store.try_submit(Line(number)).unwrap().unwrap());
            let ids: Vec<String> = std::iter::once(first).chain(ids).map(|id| id.to_string()).collect();
            let sent = position.of(&ids[usize::try_from(at).unwrap() % ids.len()]);

            let service = Service::new(Router::with_path("lines").get(Lines::handler(&store)));
            let (uri, headers) = if in_query {
                (format!("/lines?last_event_id={}", escaped(&sent)), vec![])
            } else {
                let Ok(value) = HeaderValue::from_bytes(&sent) else { return Ok(()) };
                ("/lines".to_owned(), vec![("last-event-id", value)])
            };
            let (status, text) = answer(&service, &uri.parse().unwrap(), &headers).await;
            prop_assert!(status == 200, "{status}");
            let (gap, numbers) = read_stream(&text);
            let oldest = (submitted + 1).saturating_sub(8).max(1);
            let known = ids.iter().position(|id| id.as_bytes() == sent).map(|place| place as u64);
            let expected = match known {
                // A new connection: it is owed what is to come.
                None if sent.is_empty() => (false, submitted + 1),
                Some(seen) if seen + 1 >= oldest => (false, seen + 1),
                // Some is gone. What is kept follows.
                _ => (true, oldest),
            };
            let expected = (expected.0, (expected.1..=submitted).collect::<Vec<_>>());
            prop_assert!((gap, &numbers) == (expected.0, &expected.1), "{sent:?} of {ids:?}: {text}");
            Ok(())
        })
    });
}

// --- The bytes of a WebSocket

#[subscriber(ws, store = Line, receive = Self::received, max_message = "1KiB")]
struct Talker;

impl Talker {
    async fn received(&mut self, text: serde_json::Value, _: &Store<Line>) -> Result<(), String> {
        Err(text.to_string())
    }
}

/// A frame, its length written in as few bytes as may be, or in 2 or 8.
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

/// JSON that is taken, and text that is told what is wrong with it.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<String>().prop_map(|text| serde_json::to_vec(&text).unwrap()),
        2 => any::<String>().prop_map(String::into_bytes),
        1 => vec(Just(b'7'), 900..1030),
    ]
}

/// Frames of one thing that a proper client says: a ping, a pong, a text whole or cut at any byte, a ping in the midst of it.
fn proper() -> impl Strategy<Value = Vec<u8>> {
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

/// A frame that may be wrong in every part.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), select(vec![0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89])];
    let payload = prop_oneof![
        2 => payload(),
        1 => vec(any::<u8>(), 0..130),
        2 => (0..5001_u16, any::<String>()).prop_map(|(code, why)| [&code.to_be_bytes()[..], why.as_bytes()].concat()),
        2 => (1000..1016_u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let mask = prop_oneof![9 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    (first, payload, mask, prop_oneof![8 => Just(0), 1 => Just(2), 1 => Just(8)])
        .prop_map(|(first, payload, mask, length)| frame(first, &payload, mask, length))
}

/// What a client writes: what is proper; then an end that may be odd, or bytes that are no frame; some bytes changed.
fn inbound() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![2 => Just(Vec::new()), 3 => odd(), 1 => vec(any::<u8>(), 1..60)];
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<usize>(), any::<u8>()), 1..3)];
    (vec(proper(), 1..6), end, changes).prop_map(|(proper, end, changes)| {
        let mut bytes = [proper.concat(), end].concat();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes
    })
}

/// What a client that writes these bytes hears, `pipe` of them at a time; and whether it is still connected.
async fn hear(bytes: &[u8], pipe: usize) -> (Vec<String>, bool) {
    let store: Store<Line> = Store::new();
    let app = harness(Router::with_path("talk").get(Talker::handler(&store)));
    let socket = app.client("page").buffer_size(pipe).lenient().ws("/talk").await;
    socket.send_raw(bytes).await;
    let wire = socket.recording().wire();
    // The id of the first position is chance.
    let heard = wire.lines().filter(|line| line.starts_with("page < ") && !line.contains(r##"{"id":"#"##));
    let heard: Vec<String> = heard.map(str::to_owned).collect();
    // The fake client finds out what breaks the protocol, a close code that may not be sent too.
    assert!(!wire.contains("\npage ! "), "{wire}");
    let open = store.subscribers() == 1;
    let closed = heard.last().is_some_and(|last| last.starts_with("page < close"));
    assert!(open != closed, "{wire}");
    Client::close(&socket).await;
    assert_eq!(store.subscribers(), 0, "{wire}");
    (heard, open)
}

#[test]
fn a_websocket_goes_on_or_ends_with_a_code() {
    holds(400, &(inbound(), 1..80_usize), |(bytes, pipe)| {
        tornadose_test::run(async {
            let (whole, pieces) = (hear(&bytes, 1 << 16).await, hear(&bytes, pipe).await);
            prop_assert!(whole == pieces, "in one piece {whole:?}, by {pipe} {pieces:?}");
            Ok(())
        })
    });
}

// --- Fields

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Buy,
    Sell,
}

#[derive(Deserialize)]
struct UserId(#[allow(dead_code, reason = "only read off the request")] u64);

/// A subscriber with a field of this type from each source; what a text must be to be read as it; one that is.
macro_rules! fields {
    ($($name:ident($type:ty): $fits:expr, $good:literal;)*) => {
        $(
            #[subscriber(sse, store = Line)]
            #[allow(dead_code, reason = "only read off the request")]
            struct $name {
                #[param]
                p: $type,
                #[query]
                q: $type,
                #[query]
                list: Option<Vec<$type>>,
                #[header]
                h: $type,
                #[cookie]
                c: $type,
            }
        )*

        fn fields() -> Vec<Fields> {
            let store = Store::new();
            vec![$(
                Fields {
                    name: stringify!($name),
                    service: Service::new(Router::with_path("{p}").get($name::handler(&store))),
                    fits: $fits,
                    good: $good,
                },
            )*]
        }
    };
}

struct Fields {
    name: &'static str,
    service: Service,
    fits: fn(&str) -> bool,
    good: &'static str,
}

fields! {
    OfU8(u8): |text| text.parse::<u8>().is_ok(), "7";
    OfI64(i64): |text| text.parse::<i64>().is_ok(), "-7";
    OfF64(f64): |text| text.parse::<f64>().is_ok(), "0.5";
    OfBool(bool): |text| matches!(text, "true" | "false"), "true";
    OfChar(char): |text| text.chars().count() == 1, "x";
    OfString(String): |_| true, "text";
    OfOption(Option<u8>): |text| text.parse::<u8>().is_ok(), "7";
    OfSide(Side): |text| matches!(text, "buy" | "sell"), "sell";
    OfUserId(UserId): |text| text.parse::<u64>().is_ok(), "7";
}

const SOURCES: [(&str, &str); 5] =
    [("path parameter", "p"), ("query parameter", "q"), ("query parameter", "list"), ("header", "h"), ("cookie", "c")];

/// A text that one of the types may take, or nearly, or any.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        1 => any::<char>().prop_map(String::from),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (-300..300_i32).prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        2 => "[-+ 0-9._eE]{0,24}",
        1 => select(vec!["true", "false", "True", "1", "", " ", "buy", "sell", "Buy", "buy ", "null", "NaN", "inf", "None", ".", ".."])
            .prop_map(str::to_owned),
        1 => "[0-9]{300,400}",
    ]
}

/// A request where one source has this value, as it stands on the wire, and the others what fits.
fn request(fields: &Fields, source: usize, bytes: &[u8]) -> Option<(Uri, Vec<(&'static str, HeaderValue)>)> {
    let one = |place: usize| if place == source { bytes } else { fields.good.as_bytes() };
    let uri = [b"/", one(0), b"?q=", one(1), b"&list=", fields.good.as_bytes(), b"&list=", one(2)].concat();
    let uri = Uri::try_from(uri).ok()?;
    let headers = [("h", one(3).to_vec()), ("cookie", [b"c=", one(4)].concat())];
    let value = |bytes: Vec<u8>| HeaderValue::try_from(bytes).ok();
    Some((uri, headers.into_iter().map(|(name, bytes)| Some((name, value(bytes)?))).collect::<Option<_>>()?))
}

#[test]
fn a_field_is_read_or_named_whatever_the_text() {
    let fields = fields();
    let strategy = (select((0..fields.len()).collect::<Vec<_>>()), 0..SOURCES.len(), text());
    holds(6000, &strategy, |(of, source, text)| {
        let fields = &fields[of];
        let (kind, name) = SOURCES[source];
        // Only a header is not percent-decoded.
        let bytes = if kind == "header" { text.clone().into_bytes() } else { escaped(text.as_bytes()).into_bytes() };
        let Some((uri, headers)) = request(fields, source, &bytes) else { return Ok(()) };
        let (status, answer) = tornadose_test::run(answer(&fields.service, &uri, &headers));
        let no_route = kind == "path parameter" && text.is_empty();
        let expected = if no_route {
            404
        } else if (fields.fits)(&text) {
            200
        } else {
            400
        };
        prop_assert!(status == expected, "{} {kind}: {status} instead of {expected}: {answer}", fields.name);
        if expected == 400 {
            prop_assert!(answer.contains(&format!("{kind} `{name}`: expected ")), "{}: {answer}", fields.name);
        }
        Ok(())
    });
}

#[test]
fn a_field_is_read_or_refused_whatever_the_bytes() {
    let fields = fields();
    let bytes =
        prop_oneof![header_bytes(), vec(any::<u8>(), 0..20), vec(select(b"%25fF&=;,+/?#\" \\\xFF".to_vec()), 0..12)];
    let strategy = (select((0..fields.len()).collect::<Vec<_>>()), 0..SOURCES.len(), bytes, any::<bool>());
    holds(6000, &strategy, |(of, source, bytes, escape)| {
        let fields = &fields[of];
        let (kind, _) = SOURCES[source];
        let bytes = if escape { escaped(&bytes).into_bytes() } else { bytes };
        let Some((uri, headers)) = request(fields, source, &bytes) else { return Ok(()) };
        let (status, answer) = tornadose_test::run(answer(&fields.service, &uri, &headers));
        // Bytes in a path may be those of another path.
        let other_path = kind == "path parameter" && status == 404;
        prop_assert!(matches!(status, 200 | 400) || other_path, "{} {kind}: {status}: {answer}", fields.name);
        if status == 400 {
            // A `&` or a `#` may hide the other fields of the query, a `;` a cookie; each is named.
            let named = SOURCES.iter().any(|(kind, name)| answer.contains(&format!("{kind} `{name}`: ")));
            prop_assert!(named, "{}: {answer}", fields.name);
        }
        Ok(())
    });
}
