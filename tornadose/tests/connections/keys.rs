//! Keys that clients choose: those that are longer than the store allows get the status 400, and leave nothing.

use tornadose::prelude::*;

use super::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

#[subscriber(sse, ws, store = Line, authorize = public)]
struct ByPath {
    #[param]
    #[key]
    room: String,
}

#[subscriber(sse, ws, store = Line, authorize = public)]
struct ByQuery {
    #[query]
    #[key]
    room: String,
}

#[subscriber(sse, ws, store = Line, authorize = public)]
struct ByHeader {
    #[header("x-room")]
    #[key]
    room: String,
}

/// `GET /set?rooms=a,b`
struct BySet(Vec<LineKey>);

impl Subscriber for BySet {
    type Message = Line;

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let rooms: String = request.query("rooms").ok_or_else(StatusError::bad_request)?;
        Ok(Self(rooms.split(',').map(|room| LineKey { room: room.into() }).collect()))
    }
    fn keys(&self) -> Keys<LineKey> {
        Keys::Set(self.0.clone())
    }
}

/// A name that makes the JSON of its key so many bytes long.
fn room(bytes: usize) -> String {
    "r".repeat(bytes - r#"{"room":""}"#.len())
}

#[tornadose_test::test]
async fn a_connection_with_a_key_that_is_too_long_is_answered_400() {
    let store = Store::builder().max_key(200).build();
    let router = Router::new()
        .push(Router::with_path("path/{room}").get(ByPath::handler(&store)))
        .push(Router::with_path("query").get(ByQuery::handler(&store)))
        .push(Router::with_path("header").get(ByHeader::handler(&store)))
        .push(Router::with_path("set").get(StreamHandler::<BySet>::new(&store)));
    let app = harness(router);
    for (bytes, allowed) in [(200, true), (201, false), (60_000, false)] {
        let name = room(bytes);
        for (path, header) in [
            (format!("/path/{name}"), ""),
            (format!("/query?room={name}"), ""),
            ("/header".into(), name.as_str()),
            (format!("/set?rooms=lobby,{name}"), ""),
        ] {
            for ws in [false, true] {
                let client = app.client("client").lenient().header("x-room", header);
                let (status, text) = if ws {
                    let socket = client.ws(&path).await;
                    (socket.status(), if allowed { String::new() } else { socket.text() })
                } else {
                    let page = client.sse(&path).await;
                    (page.status(), if allowed { String::new() } else { page.text() })
                };
                let expected = match (allowed, ws) {
                    (false, _) => 400,
                    (true, false) => 200,
                    (true, true) => 101,
                };
                let kind = path.split(['?', 'r']).next();
                assert_eq!(status, expected, "{kind:?} of {bytes} bytes: {text}");
                if !allowed {
                    let says = format!("the key takes {bytes} bytes of JSON: shorten it, at most 200 are allowed");
                    assert!(text.contains(&says), "{text}");
                    assert_eq!(store.subscribers_of(&LineKey { room: name.clone() }), 0);
                }
            }
        }
    }
}

#[tornadose_test::test]
async fn a_name_counts_as_json_writes_it() {
    let store = Store::builder().max_key(16).build();
    let app = harness(Router::with_path("query").get(ByQuery::handler(&store)));
    for (room, status) in [("abcde", 200), ("abcdef", 400), ("%22%22x", 200), ("%22%22xx", 400), ("%01", 400)] {
        assert_eq!(app.client(room).lenient().sse(format!("/query?room={room}")).await.status(), status, "{room}");
    }
}
