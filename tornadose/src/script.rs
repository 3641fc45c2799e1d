//! Handlers that serve `tornadose.js`, the browser's side of a stream.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use salvo::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use salvo::http::{Method, ResBody, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use sha1::{Digest, Sha1};

const SOURCE: &str = include_str!("tornadose.js");

/// The export that makes the script a module.
const MODULE_END: &str = "export { live, AskError }\n";

/// A handler that serves `tornadose.js`: `live(path, handlers, options)` for a page, over Server-Sent Events or
/// WebSocket.
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, ws, store = Tick)]
/// struct Ticks;
///
/// let store = Store::new();
/// let router = Router::new()
///     .push(Router::with_path("tornadose.js").get(tornadose::script()))
///     .push(Router::with_path("ticks").get(Ticks::handler(&store)));
/// # drop(router);
/// ```
///
/// In the page:
///
/// ```html
/// <script src="/tornadose.js"></script>
/// <script>
///   const feed = live("/ticks", { message(tick, id) { document.title = tick } })
/// </script>
/// ```
///
/// Each handler is called for the event of its name:
///
/// | handler | called |
/// |---|---|
/// | `said(data, id)` | for each event named `said` |
/// | `message(data, id)` | for each event without a name |
/// | `"tornadose:gap"({ reason, missed })` | when messages are lost |
/// | `"tornadose:expired"({ key, slot, event }, id)` | when a value was not renewed in time |
/// | `"tornadose:reset"({})` | when the whole state follows: clear what the page shows |
/// | `"tornadose:finished"({})` | when nothing more will come: the connection is closed, and not opened again |
/// | `"tornadose:finished"({ key })` | when one of several keys is finished |
/// | `"tornadose:error"({ reason })` | when the server did not accept what was sent |
/// | `"tornadose:error"({ reason, key })` | when the server refused to let the page watch a key |
/// | `"tornadose:watching"({ keys })` | when what was kept of the keys has come |
/// | `"tornadose:unwatched"({ keys })` | when nothing more of the keys will come |
/// | `open()` | when the connection is open |
/// | `error({ reason, wait })` | when the connection is lost and tried again in `wait` ms |
///
/// Any other name, such as `finished`, is that of an event of the program.
///
/// `wait` is `Infinity` when the server ended the connection for good (WebSocket close codes 1000 and 4000 to 4999). The
/// `reason` is `"cut"` after an end, `"silent"` after a silence, and `"refused"` when no response came; else the status of a
/// response that is not a stream or a ticket, or the close code or reason of a WebSocket.
///
/// `{ ws: true }` as the third argument connects over WebSocket; `protocols: ["v1"]` beside it offers subprotocols.
/// `feed.send(value)` then sends a value as JSON, and returns `false` when no connection is open. Over Server-Sent
/// Events `{ withCredentials: true }` sends cookies to another origin, and `{ headers: { authorization: "…" } }` any header.
/// `feed.close()` closes the connection.
///
/// `{ ticket: "/ticket" }` asks for a [ticket](crate::Tickets) before each connection, with a `POST` of its path, and opens
/// the connection with it. A refusal is told to `error` with the status, such as 401, and tried again.
///
/// `{ share: "ada" }` shares one connection among all tabs of the browser with the same address, the same options and the
/// same text, such as the id of the user. Browsers open six connections to a server over HTTP/1.1, for all tabs together.
/// One tab has the connection and tells the others what comes; when it is closed, crashes or is frozen, another takes over
/// after the newest id, and nothing is lost or doubled. A tab that is opened has a connection of its own until it has
/// caught up, one tab at a time. A watched key is watched for all tabs: their handlers are called for the messages of each
/// key that one of them watches. Sharing needs Web Locks and a secure page (HTTPS or localhost); elsewhere each tab has its own
/// connection.
///
/// `await feed.ask(value, { timeout })` sends a value over WebSocket and returns what the `receive` hook returns. The
/// timeout is 10 s by default, and includes the time until the connection is open. An ask that fails rejects with an
/// `AskError { code, message }`:
///
/// | code | meaning |
/// |---|---|
/// | `refused` | the hook returned an error, which is the message; or the connection was closed before the ask was sent |
/// | `timeout` | no answer has come in time; the ask may have been handled |
/// | `lost` | the connection was lost after the ask was sent; it may have been handled |
///
/// `feed.watch(key)` over WebSocket, of a handler with the hook [`watch`](crate::Subscriber::watch), brings what is kept of a
/// key and then its messages; `feed.unwatch(key)` ends that. A key is the value of the message's `#[key]`, or of several
/// an object. Keys may be watched before the connection is open, and are watched again after a loss, each from where the
/// page has it. What is kept of a key comes without the `id`. A key that is refused is not watched again.
///
/// A lost connection is opened again, with jitter, and resumes after its last id. The waits are 1 s, 2 s, 4 s and so on
/// to 30 s, or what the server asks for with `retry:`, if that is longer, each by up to a half shorter or longer.
/// The end of an outage of the browser's own network ends a wait. A connection on which keep-alives came, and then
/// nothing for two and a half times as long, is opened again too. A browser that freezes a page closes its WebSocket;
/// the page resumes when it is thawed.
///
/// The script works under `default-src 'none'; script-src 'self'; connect-src 'self'`, or with a nonce. A policy that
/// forbids the address is like any failure: `error` is called, with the reason `"refused"` or `1006`. The browser's
/// console names the policy.
///
/// Browsers cache the script and revalidate it by an `ETag` of its content.
#[must_use]
pub fn script() -> impl Handler {
    Script::new(compact(SOURCE))
}

/// A handler that serves the same as [`script`] as a module, which exports `live` and `AskError`.
///
/// ```
/// use tornadose::prelude::*;
///
/// let router = Router::new().push(Router::with_path("tornadose.mjs").get(tornadose::module()));
/// # drop(router);
/// ```
///
/// In the page:
///
/// ```html
/// <script type="module">
///   import { live } from "/tornadose.mjs"
///   const feed = live("/ticks", { message(tick) { document.title = tick } })
/// </script>
/// ```
#[must_use]
pub fn module() -> impl Handler {
    Script::new(compact(SOURCE) + MODULE_END)
}

/// Returns the script without comments and indentation, which a page need not load. In the script a comment begins with
/// `// `, at the beginning of a line or after a space, and nothing else does. No text goes over several lines.
fn compact(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    for line in source.lines() {
        let comment = line.match_indices("//").map(|(at, _)| at).find(|at| {
            let (before, after) = (&line[..*at], &line[at + 2..]);
            (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with(' '))
        });
        let line = line[..comment.unwrap_or(line.len())].trim();
        if !line.is_empty() {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

struct Script {
    code: Bytes,
    tag: HeaderValue,
}

impl Script {
    fn new(code: String) -> Self {
        let hash = BASE64_STANDARD.encode(Sha1::digest(&code));
        let tag = HeaderValue::try_from(format!("\"{hash}\"")).expect("base64 fits a header");
        Self { code: code.into(), tag }
    }
}

#[async_trait]
impl Handler for Script {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            res.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            res.status_code(StatusCode::METHOD_NOT_ALLOWED);
            return;
        }
        let known = req.headers().get_all(IF_NONE_MATCH).into_iter().any(|tags| lists(tags, &self.tag));
        let headers = res.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if known {
            res.status_code(StatusCode::NOT_MODIFIED);
            return;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        res.status_code(StatusCode::OK);
        res.body(ResBody::Once(self.code.clone()));
    }
}

/// Whether `If-None-Match` names this tag.
// RFC 9110 §13.1.2: the comparison is weak, so a proxy that compressed the script may mark the tag as weak.
fn lists(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|listed| listed == "*" || listed.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use salvo::Router;
    use tornadose_test::Harness;

    use super::*;

    #[tornadose_test::test]
    async fn a_browser_that_has_the_script_gets_304() {
        let routes =
            [Router::with_path("tornadose.js").get(script()), Router::with_path("tornadose.mjs").get(module())];
        let app = Harness::new(Router::new().append(&mut routes.into()));
        let mut tags = Vec::new();
        for path in ["/tornadose.js", "/tornadose.mjs"] {
            let first = app.get(path).await;
            assert_eq!(first.status(), 200);
            assert_eq!(first.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
            let tag = first.headers()[ETAG].clone();
            let again = app.client("again").header("if-none-match", tag.to_str().unwrap()).get(path).await;
            assert_eq!((again.status(), again.text().as_str(), &again.headers()[ETAG]), (304, "", &tag));
            tags.push(tag);
        }
        assert_ne!(tags[0], tags[1]);
    }

    #[test]
    fn what_is_served_has_at_most_6_kb_compressed() {
        for Script { code, .. } in [Script::new(compact(SOURCE)), Script::new(compact(SOURCE) + MODULE_END)] {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(&code).unwrap();
            let bytes = gzip.finish().unwrap().len();
            assert!(bytes <= 6_000, "{bytes} bytes");
        }
    }

    #[test]
    fn comments_are_left_out_and_nothing_else() {
        let source = "// a\n\nlet url = \"https://x\" // b\n  // c\n//\n  call(1 //2\n  )\n";
        assert_eq!(compact(source), "let url = \"https://x\"\ncall(1 //2\n)\n");
        let code = compact(SOURCE);
        assert!(code.contains("function live(") && !code.contains("// "));
        // A text or an expression that looks like a comment would be cut.
        let is_in_text =
            |line: &str| line.find("// ").is_some_and(|at| line[..at].matches(['"', '`']).count() % 2 == 1);
        assert!(!SOURCE.lines().any(is_in_text));
        assert!(SOURCE.lines().all(|line| line.matches('`').count() % 2 == 0), "a text goes over several lines");
    }

    #[test]
    fn a_tag_is_found_in_a_list_and_as_a_weak_tag() {
        let tag = Script::new("x".into()).tag;
        let known = |tags: &str| lists(&HeaderValue::try_from(tags).unwrap(), &tag);
        let text = tag.to_str().unwrap();
        assert!(known(text) && known("*") && known(&format!("\"old\", W/{text}")));
        assert!(!known("\"old\"") && !known(""));
    }
}
