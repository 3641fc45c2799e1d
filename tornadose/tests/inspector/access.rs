//! The access to the inspector.

use tornadose::prelude::*;
use tornadose_test::Harness;

use crate::harness::{harness, secs};
use crate::samples::{newest, open_page, router, said, served};

const PATHS: [&str; 6] = [
    "/a/inspector/",
    "/a/inspector/events",
    "/a/inspector/tail/0?key=1",
    "/a/inspector/tornadose.js",
    "/a/inspector/inspector.js",
    "/a/inspector/inspector.css",
];

/// Serves an inspector with this access.
fn guarded(allow: impl FnOnce(tornadose::Inspector) -> tornadose::Inspector) -> Harness {
    let (rooms, ticks) = (Store::new(), Store::new());
    rooms.try_submit(said("go", "a secret")).unwrap();
    let inspector = allow(tornadose::inspector().store(&rooms).store(&ticks)).router();
    harness(router(&rooms, &ticks, inspector))
}

#[tornadose_test::test]
async fn without_a_word_on_access_a_debug_build_lets_in_the_developer_alone() {
    let app = guarded(|inspector| inspector);
    // The fake client connects from a loopback address.
    for path in PATHS.into_iter().filter(|path| !path.contains("tail") && !path.contains("events")) {
        assert_eq!(app.client("developer").get(path).await.status(), 200, "{path}");
    }
    let page = open_page(&app).await;
    assert_eq!(newest(&page, "stores", None).await["stores"][0]["kept"], 1);
    for (name, value) in [
        ("host", "rebound.example"),
        ("x-forwarded-for", "192.0.2.7"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("origin", "https://evil.example"),
    ] {
        for path in PATHS {
            let stranger = app.client("stranger").header(name, value).get(path).await;
            assert_eq!(stranger.status(), 403, "{name}: {value}, {path}");
            assert!(!stranger.text().contains("secret"));
        }
        let request = app.client("stranger").header(name, value).header("content-type", "application/json");
        let answer = request.post("/a/inspector/disconnect", r#"{"store":0,"key":"go"}"#).await;
        assert_eq!(answer.status(), 403, "{name}: {value}");
    }
    let stranger = app.client("stranger").header("host", "rebound.example").get("/a/inspector/").await;
    let text = stranger.text();
    assert!(
        text.contains("`.authorize(hook)`") && text.contains("`.public()`") && text.contains("debug build"),
        "{text}"
    );
}

#[tornadose_test::test]
async fn a_page_of_another_site_loads_nothing_and_may_link_to_the_page() {
    let app = guarded(tornadose::Inspector::public);
    let loads = |site, mode| app.client("stranger").header("sec-fetch-site", site).header("sec-fetch-mode", mode);
    for path in PATHS {
        assert_eq!(loads("cross-site", "no-cors").get(path).await.status(), 403, "{path}");
        assert_eq!(loads("same-site", "no-cors").get(path).await.status(), 403, "{path}");
    }
    assert_eq!(loads("cross-site", "navigate").get("/a/inspector/").await.status(), 200);
    assert_eq!(loads("same-origin", "no-cors").get("/a/inspector/inspector.js").await.status(), 200);
}

#[tornadose_test::test]
async fn a_hook_decides_on_every_request() {
    let app = guarded(|inspector| {
        inspector.authorize(|request, _| {
            let token = request.header::<String>("authorization");
            async move {
                tokio::time::sleep(secs(1)).await;
                match token.as_deref() {
                    Some("Bearer of operators") => Ok(()),
                    Some("panic") => panic!("in the hook"),
                    _ => Err(StatusError::unauthorized().brief("who are you?")),
                }
            }
        })
    });
    for path in PATHS {
        let stranger = app.client("stranger").get(path).await;
        assert_eq!((stranger.status(), stranger.text().contains("who are you?")), (401, true), "{path}");
    }
    let answer = app.client("stranger").header("content-type", "application/json");
    assert_eq!(answer.post("/a/inspector/disconnect", "{}").await.status(), 401);
    let operator = || app.client("operator").header("authorization", "Bearer of operators");
    assert_eq!(operator().get("/a/inspector/").await.status(), 200);
    let page = operator().lenient().sse("/a/inspector/events").await;
    assert_eq!(newest(&page, "stores", None).await["stores"][0]["kept"], 1);
    let cross = operator().origin("https://evil.example").get("/a/inspector/").await;
    assert_eq!(cross.status(), 403, "also with the operator's credentials");
    assert_eq!(app.client("odd").header("authorization", "panic").get("/a/inspector/").await.status(), 500);
    app.expect_panic("in the hook").await;
}

#[tornadose_test::test]
async fn no_other_site_can_disconnect_a_key() {
    let (rooms, _ticks, app) = served();
    let reader = app.client("reader").lenient().sse("/rooms/go").await;
    let body = r#"{"store":0,"key":"go"}"#;
    let json = "application/json";
    for (headers, status) in [
        (&[("origin", "https://evil.example"), ("content-type", json)][..], 403),
        (&[("origin", "null"), ("content-type", json)], 403),
        (&[("sec-fetch-site", "cross-site"), ("content-type", json)], 403),
        (&[("sec-fetch-site", "same-site"), ("content-type", json)], 403),
        // What a form can send.
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-type", "multipart/form-data; boundary=x")], 415),
        (&[], 415),
    ] {
        let stranger = headers.iter().fold(app.client("stranger"), |client, (name, value)| client.header(name, value));
        assert_eq!(stranger.post("/a/inspector/disconnect", body).await.status(), status, "{headers:?}");
        assert_eq!(rooms.subscribers(), 1);
    }
    for body in
        ["", "{}", "[]", r#"{"store":-1,"key":"go"}"#, r#"{"store":0}"#, &format!("\"{}\"", "x".repeat(100_000))]
    {
        let client = app.client("odd").header("content-type", json);
        assert_eq!(client.post("/a/inspector/disconnect", body).await.status(), 400);
    }
    let same = [
        ("origin", "http://localhost"),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let page = same.iter().fold(app.client("page"), |client, (name, value)| client.header(name, value));
    assert_eq!(page.post("/a/inspector/disconnect", body).await.status(), 200);
    app.settle().await;
    assert_eq!(rooms.subscribers(), 0);
    drop(reader);
}
