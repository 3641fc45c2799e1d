//! Requests of unusual size, and invalid values of `last_event_id`.

use tornadose::prelude::*;

use super::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line, authorize = Self::report)]
struct Wide {
    #[query("tag")]
    tags: Option<Vec<String>>,
    #[query]
    text: Option<String>,
    #[header]
    x_long: Option<String>,
}

impl Wide {
    async fn report(&self) -> Result<(), StatusError> {
        let tags = self.tags.as_ref().map_or(0, Vec::len);
        let long = self.text.iter().chain(&self.x_long).map(String::len).sum::<usize>();
        Err(StatusError::conflict().brief(format!("{tags} tags, {long} bytes")))
    }
}

#[tornadose_test::test]
async fn long_queries_and_headers_are_read() {
    let store = Store::new();
    let app = harness(Router::with_path("wide").get(Wide::handler(&store)));
    let tags = (0..1000).map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let unknown = (0..1000).map(|name| format!("name{name}={name}")).collect::<Vec<_>>().join("&");
    let long = "x".repeat(60 << 10);
    for (name, query, header, expected) in [
        ("tags", tags.as_str(), "", "1000 tags, 0 bytes"),
        ("unknown", &unknown, "", "0 tags, 0 bytes"),
        ("query", &format!("text={long}"), "", "0 tags, 61440 bytes"),
        ("header", "", long.as_str(), "0 tags, 61440 bytes"),
    ] {
        for ws in [false, true] {
            let client = app.client(name).header("x-long", header);
            let path = format!("/wide?{query}");
            let (status, text) = if ws {
                let socket = client.ws(path).await;
                (socket.status(), socket.text())
            } else {
                let page = client.sse(path).await;
                (page.status(), page.text())
            };
            assert_eq!(status, 409, "{name}: {text}");
            assert!(text.contains(expected), "{name}: {text}");
        }
    }
}

#[tornadose_test::test]
async fn a_request_with_too_many_or_too_long_headers_is_answered_431() {
    let store = Store::new();
    let app = harness(Router::with_path("wide").get(Wide::handler(&store)));
    let mut many = app.client("many");
    for number in 0..200 {
        many = many.header(format!("x-{number}"), "x");
    }
    assert_eq!(many.get("/wide").await.status(), 431);
    let huge = app.client("huge").header("x-long", "x".repeat(1 << 20)).get("/wide").await;
    assert_eq!(huge.status(), 431);
    // Other requests are still answered.
    assert_eq!(app.client("small").get("/wide").await.status(), 409);
}

#[subscriber(sse, ws, store = Line, replay = 10)]
struct Lines;

#[tornadose_test::test]
async fn an_invalid_last_event_id_is_reported_as_a_gap() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    store.submit(Line("kept".into())).await.unwrap();
    let long = "9".repeat(10 << 10);
    let ids =
        [long.as_str(), &format!("abcdefgh-{long}"), "ü\u{1F600}", "-", "abcdefgh-", "-1", "%00%FF", "a b", "null"];
    for id in ids {
        let page = app.client("page").last_event_id(id).sse("/lines").await;
        let socket = app.client("socket").last_event_id(id).ws("/lines").await;
        for client in [&page, &*socket] {
            let gap = client.next_event().await;
            assert_eq!(
                (gap.name.as_str(), gap.data.as_str()),
                ("tornadose:gap", r#"{"reason":"restarted","missed":null}"#)
            );
            assert_eq!(client.next_now::<String>().await, "kept", "{id}");
        }
    }
    let id = store.head();
    let doubled = app.client("doubled").header("last-event-id", id.to_string()).header("last-event-id", id.to_string());
    let queries = [
        app.client("query").sse(format!("/lines?last_event_id=%FF%00{long}")).await,
        app.client("queries").sse(format!("/lines?last_event_id={id}&last_event_id={id}")).await,
        doubled.sse("/lines").await,
    ];
    for page in queries {
        assert_eq!(page.next_event().await.name, "tornadose:gap");
        assert_eq!(page.next_now::<String>().await, "kept");
    }
    // An empty id counts as no id.
    let empty =
        app.client("empty").header("last-event-id", "").sse(format!("/lines?last_event_id=&last_event_id={id}"));
    empty.await.quiet().await;
}
