//! Origins: which pages may open a WebSocket, and which may read a stream with credentials.

use tornadose::Handover;
use tornadose::prelude::*;
use tornadose_test::{Harness, Response as Received};

use super::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line)]
struct Lines;

struct Origin {
    host: &'static str,
    origins: &'static [&'static str],
    admitted: bool,
}

const fn row(host: &'static str, origins: &'static [&'static str], admitted: bool) -> Origin {
    Origin { host, origins, admitted }
}

const ORIGINS: [Origin; 34] = [
    row("app.example", &[], true),
    row("app.example", &["https://app.example"], true),
    row("app.example", &["https://app.example:443"], true),
    row("app.example:443", &["https://app.example"], true),
    row("app.example:8080", &["http://app.example:8080"], true),
    row("127.0.0.1:9000", &["http://127.0.0.1:9000"], true),
    row("[::1]:9000", &["http://[::1]:9000"], true),
    // The scheme is not compared, because proxies end TLS.
    row("app.example", &["http://app.example"], true),
    row("app.example:8080", &["https://app.example:8080"], true),
    row("app.example", &["HTTPS://APP.EXAMPLE"], true),
    row("APP.EXAMPLE", &["https://app.example"], true),
    row("app.example", &["https://app.example:8443"], false),
    row("app.example:8443", &["https://app.example"], false),
    row("app.example:80", &["https://app.example"], false),
    row("localhost:9000", &["http://127.0.0.1:9000"], false),
    row("app.example", &["null"], false),
    row("app.example", &["NULL"], false),
    row("null", &["null"], false),
    row("app.example", &[""], false),
    row("app.example", &["https://evilapp.example"], false),
    row("app.example", &["https://app.example.evil.io"], false),
    row("app.example", &["https://sub.app.example"], false),
    row("app.example", &["https://example"], false),
    row("app.example", &["https://app.example."], false),
    row("app.example", &["https://app.example@evil.io"], false),
    row("app.example", &["https://evil.io@app.example"], false),
    row("app.example", &["https://evil.io/app.example"], false),
    row("app.example", &["https://evil.io?app.example"], false),
    row("app.example", &["https://app.example/"], false),
    row("app.example", &["https://аpp.example"], false), // a Cyrillic letter
    row("app.example", &["app.example"], false),
    row("app.example", &["https://app.example", "https://app.example"], false),
    row("app.example", &["https://evil.io", "https://app.example"], false),
    row("app.example", &["https://app.example, https://app.example"], false),
];

#[tornadose_test::test]
async fn only_pages_of_the_same_host_open_a_websocket() {
    let store: Store<Line> = Store::new();
    let app = harness(Router::with_path("lines").get(Lines::handler(&store)));
    for Origin { host, origins, admitted } in ORIGINS {
        let client = || {
            let client = app.client("page").header("host", host);
            origins.iter().fold(client, |client, origin| client.header("origin", origin))
        };
        let socket = client().ws("/lines").await;
        assert_eq!(socket.status(), if admitted { 101 } else { 403 }, "{origins:?} at {host}: {}", socket.text());
        if let ([origin], false) = (origins, admitted) {
            assert!(socket.text().contains(&format!("`{origin}`")), "{}", socket.text());
        }
        let page = client().sse("/lines").await;
        assert_eq!(page.status(), 200, "a stream is never refused for its origin");
        assert!(!page.headers().contains_key("access-control-allow-origin"), "{origins:?} at {host}");
    }
}

#[tornadose_test::test]
async fn an_origin_is_listed_where_a_proxy_changes_the_host() {
    let store: Store<Line> = Store::new();
    let lines = Lines::handler(&store);
    let named = Lines::handler(&store).origins(["https://app.example"]);
    let router = Router::new().push(Router::with_path("lines").get(lines)).push(Router::with_path("named").get(named));
    let app = harness(router);
    for (host, path, status) in [
        ("app.example", "/lines", 101),
        ("backend:9000", "/lines", 403),
        ("backend:9000", "/named", 101),
        ("app.example", "/named", 101),
    ] {
        let client = app.client("page").header("host", host).origin("https://app.example");
        // Any client can set these headers, so they are ignored.
        let client = client.header("x-forwarded-host", "app.example").header("forwarded", "host=app.example");
        let socket = client.ws(path).await;
        assert_eq!(socket.status(), status, "{path} at {host}");
        if status == 403 {
            let remedies = "the origin `https://app.example` is not the host `backend:9000`: open the page at that host; \
                            behind a proxy, let it pass the header `host` of the browser; or name the page's origin, \
                            `origins = [\"https://app.example\"]`";
            assert!(socket.text().contains(remedies), "{}", socket.text());
        }
    }
    // The list replaces the comparison with the host. Programs send no origin.
    let own = app.client("own").header("host", "backend:9000").origin("http://backend:9000").ws("/named").await;
    assert_eq!(own.status(), 403);
    assert!(own.text().contains("is not among those this handler admits"), "{}", own.text());
    assert_eq!(app.client("program").ws("/named").await.status(), 101);
}

#[handler]
async fn set_cors_headers(res: &mut Response) {
    res.headers_mut().insert("access-control-allow-origin", "https://partner.example".parse().unwrap());
    res.headers_mut().insert("vary", "accept-encoding".parse().unwrap());
}

#[tornadose_test::test]
async fn pages_of_listed_origins_read_with_credentials() {
    let store: Store<Line> = Store::new();
    let named = || Lines::handler(&store).origins(["https://app.example", "http://localhost:3000"]);
    let router = Router::new()
        .push(Router::with_path("named").get(named()))
        .push(Router::with_path("any").get(Lines::handler(&store).any_origin()))
        .push(Router::with_path("own").hoop(set_cors_headers).get(named()));
    let app = harness(router);
    let exact = |origin| Some((origin, Some("true")));
    for (path, origin, allowed) in [
        ("/named", "https://app.example", exact("https://app.example")),
        ("/named", "http://localhost:3000", exact("http://localhost:3000")),
        ("/named", "http://app.example", None),
        ("/named", "https://app.example:8443", None),
        ("/named", "https://app.example.evil.io", None),
        ("/named", "https://evil.io", None),
        ("/named", "null", None),
        ("/named", "*", None),
        ("/any", "https://evil.io", Some(("*", None))),
        ("/any", "null", Some(("*", None))),
        ("/own", "https://app.example", Some(("https://partner.example", None))),
    ] {
        let page = app.client("page").origin(origin).cookie("session", 7).sse(path).await;
        assert_eq!(page.status(), 200);
        let headers = page.headers();
        let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let found =
            value("access-control-allow-origin").map(|allowed| (allowed, value("access-control-allow-credentials")));
        assert_eq!(found, allowed, "{origin} at {path}");
        if path == "/named" {
            // A cache must not give a response to pages of another origin.
            assert_eq!(value("vary"), Some("origin"));
        }
    }
    let nobody = app.client("nobody").sse("/named").await;
    assert_eq!(nobody.headers()["vary"], "origin");
    let twice = app
        .client("twice")
        .header("origin", "https://app.example")
        .header("origin", "https://app.example")
        .sse("/named");
    assert!(!twice.await.headers().contains_key("access-control-allow-origin"));
    // The page can also read an error.
    let refused = app.client("refused").origin("https://app.example").without("accept").header("accept", "text/html");
    let refused = refused.sse("/named").await;
    assert_eq!(
        (refused.status(), refused.headers()["access-control-allow-origin"].as_bytes()),
        (406, &b"https://app.example"[..])
    );
}

async fn preflight(app: &Harness, path: &str, origin: &str) -> Received {
    let page = app.client("page").header("origin", origin).header("access-control-request-method", "GET");
    page.header("access-control-request-headers", "authorization,last-event-id").request("OPTIONS", path, "").await
}

fn header(response: &Received, name: &str) -> String {
    response.headers().get(name).map_or("-".into(), |value| value.to_str().unwrap().into())
}

#[tornadose_test::test]
async fn a_preflight_is_answered_where_origins_are_set() {
    let store: Store<Line> = Store::new();
    let handler = Lines::handler(&store);
    let router = Router::new()
        .push(Router::with_path("own").goal(handler.clone()))
        .push(Router::with_path("list").goal(handler.clone().origins(["https://app.example"])))
        .push(Router::with_path("any").goal(handler.any_origin()));
    let app = harness(router);
    for (path, origin, status, allowed, credentials) in [
        ("/own", "https://app.example", 405, "-", "-"),
        ("/list", "https://app.example", 204, "https://app.example", "true"),
        ("/list", "https://evil.example", 403, "-", "-"),
        ("/any", "https://evil.example", 204, "*", "-"),
    ] {
        let response = preflight(&app, path, origin).await;
        assert_eq!(response.status(), status, "{path} {origin}");
        assert_eq!(header(&response, "access-control-allow-origin"), allowed, "{path} {origin}");
        assert_eq!(header(&response, "access-control-allow-credentials"), credentials, "{path} {origin}");
        let (methods, headers) = if status == 204 { ("GET, HEAD", "authorization,last-event-id") } else { ("-", "-") };
        assert_eq!(header(&response, "access-control-allow-methods"), methods, "{path} {origin}");
        assert_eq!(header(&response, "access-control-allow-headers"), headers, "{path} {origin}");
    }
    let post = app.post("/list", "").await;
    assert_eq!((post.status(), &*header(&post, "allow")), (405, "GET, HEAD, OPTIONS"));
    assert_eq!(store.subscribers(), 0);
}

#[handler]
async fn mine(res: &mut Response) {
    res.render("mine");
}

#[tornadose_test::test]
async fn a_handover_leads_head_and_preflights_to_a_route_of_get() {
    let store: Store<Line> = Store::new();
    let lines = || Lines::handler(&store).origins(["https://app.example"]);
    let router = Router::new()
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("rooms/{room}").get(lines()))
        .push(Router::with_path("mine").get(mine))
        .push(Router::with_path("both").get(lines()).head(mine));
    let app = Harness::new(Handover::new().wrap_service(router));
    let head = async |path: &str| app.client("probe").request("HEAD", path, "").await;

    let script = head("/tornadose.js").await;
    assert_eq!((script.status(), &*header(&script, "content-type")), (200, "text/javascript; charset=utf-8"));
    assert_eq!(header(&script, "etag"), header(&app.get("/tornadose.js").await, "etag"));
    let stream = head("/rooms/1").await;
    assert_eq!((stream.status(), &*header(&stream, "content-type")), (200, "text/event-stream; charset=utf-8"));
    assert_eq!((head("/mine").await.status(), head("/nowhere").await.status()), (405, 404));
    // The program's own route of HEAD is not overridden.
    assert_eq!(header(&head("/both").await, "content-type"), "text/plain; charset=utf-8");

    assert_eq!(preflight(&app, "/rooms/1", "https://app.example").await.status(), 204);
    assert_eq!(preflight(&app, "/tornadose.js", "https://app.example").await.status(), 405);
    assert_eq!(preflight(&app, "/mine", "https://app.example").await.status(), 405);
    assert_eq!(store.subscribers(), 0);
}
