//! Arbitrary input in requests: `last_event_id`, and every source of a field. Each test takes about a
//! second; with `TORNADOSE_LONG` set, three minutes. `connections/fuzz_websocket.rs` has the bytes of a
//! WebSocket.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/cases.rs"]
mod cases;

use std::fmt::Write;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;

use http_body::Body;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection::vec, prop_assert, sample::select};
use salvo::Service;
use salvo::conn::ConnCtrl;
use salvo::http::ReqBody;
use salvo::http::header::HeaderValue;
use salvo::http::uri::{Scheme, Uri};
use tornadose::prelude::*;

use self::cases::check_cases;

/// Sends a request to the service without a connection, so that a header may have any bytes. Returns
/// the status and the body.
async fn send_request(service: &Service, uri: &Uri, headers: &[(&'static str, HeaderValue)]) -> (u16, String) {
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
    // A stream yields at once what it has, and then waits.
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

/// Returns the bytes percent-encoded, for a path, a query or a cookie.
fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").unwrap();
        text
    })
}

/// Generates bytes that a header may have.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0x20..0x7F_u8, 1 => Just(b'\t'), 2 => 0x80..=0xFF_u8];
    vec(byte, 0..40)
}

#[store(queue, capacity = 8)]
#[derive(Serialize)]
struct Line(u64);

#[subscriber(sse, store = Line)]
struct Lines;

/// What a client may send in place of an id.
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
    fn apply(&self, id: &str) -> Vec<u8> {
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

/// Returns whether the stream begins with a gap, and the numbers of its events.
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
fn a_last_event_id_resumes_exactly_or_is_reported_as_a_gap() {
    let strategy = (0..20_u64, 0..20_u64, position(), any::<bool>());
    check_cases(3000, &strategy, |(submitted, at, position, in_query)| {
        tornadose_test::run(async {
            let store = Store::new();
            let first = store.head();
            let ids = (1..=submitted).map(|number| store.try_submit(Line(number)).unwrap().unwrap());
            let ids: Vec<String> = std::iter::once(first).chain(ids).map(|id| id.to_string()).collect();
            let sent = position.apply(&ids[usize::try_from(at).unwrap() % ids.len()]);

            let service = Service::new(Router::with_path("lines").get(Lines::handler(&store)));
            let (uri, headers) = if in_query {
                (format!("/lines?last_event_id={}", percent_encoded(&sent)), vec![])
            } else {
                let Ok(value) = HeaderValue::from_bytes(&sent) else { return Ok(()) };
                ("/lines".to_owned(), vec![("last-event-id", value)])
            };
            let (status, text) = send_request(&service, &uri.parse().unwrap(), &headers).await;
            prop_assert!(status == 200, "{status}");
            let (gap, numbers) = read_stream(&text);
            let oldest = (submitted + 1).saturating_sub(8).max(1);
            let known = ids.iter().position(|id| id.as_bytes() == sent).map(|place| place as u64);
            let expected = match known {
                // A new connection gets what is submitted later.
                None if sent.is_empty() => (false, submitted + 1),
                Some(seen) if seen + 1 >= oldest => (false, seen + 1),
                // Messages are lost. What is kept follows.
                _ => (true, oldest),
            };
            let expected = (expected.0, (expected.1..=submitted).collect::<Vec<_>>());
            prop_assert!((gap, &numbers) == (expected.0, &expected.1), "{sent:?} of {ids:?}: {text}");
            Ok(())
        })
    });
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Buy,
    Sell,
}

#[derive(Deserialize)]
struct UserId(#[allow(dead_code, reason = "only read from the request")] u64);

/// Defines a subscriber with a field of this type from each source, with a predicate for valid texts
/// and a valid text.
macro_rules! fields {
    ($($name:ident($type:ty): $is_valid:expr, $valid:literal;)*) => {
        $(
            #[subscriber(sse, store = Line)]
            #[allow(dead_code, reason = "only read from the request")]
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
                    is_valid: $is_valid,
                    valid: $valid,
                },
            )*]
        }
    };
}

struct Fields {
    name: &'static str,
    service: Service,
    is_valid: fn(&str) -> bool,
    valid: &'static str,
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

/// Generates texts that are valid, nearly valid or arbitrary for one of the types.
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

/// Returns a request in which one source has these bytes, and the others a valid value.
fn request(fields: &Fields, source: usize, bytes: &[u8]) -> Option<(Uri, Vec<(&'static str, HeaderValue)>)> {
    let one = |place: usize| if place == source { bytes } else { fields.valid.as_bytes() };
    let uri = [b"/", one(0), b"?q=", one(1), b"&list=", fields.valid.as_bytes(), b"&list=", one(2)].concat();
    let uri = Uri::try_from(uri).ok()?;
    let headers = [("h", one(3).to_vec()), ("cookie", [b"c=", one(4)].concat())];
    let value = |bytes: Vec<u8>| HeaderValue::try_from(bytes).ok();
    Some((uri, headers.into_iter().map(|(name, bytes)| Some((name, value(bytes)?))).collect::<Option<_>>()?))
}

#[test]
fn a_field_of_any_text_is_read_or_named_in_the_error() {
    let fields = fields();
    let strategy = (select((0..fields.len()).collect::<Vec<_>>()), 0..SOURCES.len(), text());
    check_cases(6000, &strategy, |(type_index, source, text)| {
        let fields = &fields[type_index];
        let (kind, name) = SOURCES[source];
        // Only a header is not percent-decoded.
        let bytes =
            if kind == "header" { text.clone().into_bytes() } else { percent_encoded(text.as_bytes()).into_bytes() };
        let Some((uri, headers)) = request(fields, source, &bytes) else { return Ok(()) };
        let (status, answer) = tornadose_test::run(send_request(&fields.service, &uri, &headers));
        let no_route = kind == "path parameter" && text.is_empty();
        let expected = if no_route {
            404
        } else if (fields.is_valid)(&text) {
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
fn a_field_of_any_bytes_is_read_or_refused() {
    let fields = fields();
    let bytes =
        prop_oneof![header_bytes(), vec(any::<u8>(), 0..20), vec(select(b"%25fF&=;,+/?#\" \\\xFF".to_vec()), 0..12)];
    let strategy = (select((0..fields.len()).collect::<Vec<_>>()), 0..SOURCES.len(), bytes, any::<bool>());
    check_cases(6000, &strategy, |(type_index, source, bytes, escape)| {
        let fields = &fields[type_index];
        let (kind, _) = SOURCES[source];
        let bytes = if escape { percent_encoded(&bytes).into_bytes() } else { bytes };
        let Some((uri, headers)) = request(fields, source, &bytes) else { return Ok(()) };
        let (status, answer) = tornadose_test::run(send_request(&fields.service, &uri, &headers));
        // Bytes in a path may make another path.
        let other_path = kind == "path parameter" && status == 404;
        prop_assert!(matches!(status, 200 | 400) || other_path, "{} {kind}: {status}: {answer}", fields.name);
        if status == 400 {
            // A `&` or a `#` may end the query field, and a `;` the cookie, so that another field is invalid.
            let named = SOURCES.iter().any(|(kind, name)| answer.contains(&format!("{kind} `{name}`: ")));
            prop_assert!(named, "{}: {answer}", fields.name);
        }
        Ok(())
    });
}
