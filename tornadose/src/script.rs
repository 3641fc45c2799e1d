//! A handler that serves `tornadose.js`, the browser's side of a stream.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use salvo::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use salvo::http::{Method, ResBody, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use sha1::{Digest, Sha1};

const SOURCE: &str = include_str!("tornadose.js");

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
/// `wait` is `null` when the browser reconnects in its own time, and `Infinity` when the server ended the connection
/// for good (WebSocket close codes 1000 and 4000 to 4999).
///
/// `{ ws: true }` as the third argument connects over WebSocket; `protocols: ["v1"]` beside it offers subprotocols.
/// `feed.send(value)` then sends a value as JSON, and returns `false` when no connection is open. Over Server-Sent
/// Events `{ withCredentials: true }` sends cookies to another origin. `feed.close()` closes the connection.
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
/// A lost connection is opened again, with jitter, and resumes after its last id, also when a proxy's error has
/// stopped the `EventSource`. The waits are 1 s, 2 s, 4 s and so on to 30 s, each by up to a half shorter or longer.
/// The end of an outage of the browser's own network ends a wait. A browser that freezes a page closes its WebSocket;
/// the page resumes when it is thawed.
///
/// The script works under `default-src 'none'; script-src 'self'; connect-src 'self'`, or with a nonce. A policy that
/// forbids the address is like any failure: `error` is called, with the reason `"refused"` or `1006`. The browser's
/// console names the policy.
///
/// Browsers cache the script and revalidate it by an `ETag` of its content.
#[must_use]
pub fn script() -> impl Handler {
    Script { tag: tag() }
}

struct Script {
    tag: HeaderValue,
}

fn tag() -> HeaderValue {
    let hash = BASE64_STANDARD.encode(Sha1::digest(SOURCE));
    HeaderValue::try_from(format!("\"{hash}\"")).expect("base64 fits a header")
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
        res.body(ResBody::Once(SOURCE.into()));
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
        let app = Harness::new(Router::with_path("tornadose.js").get(script()));
        let first = app.get("/tornadose.js").await;
        assert_eq!((first.status(), first.text().as_str()), (200, SOURCE));
        assert_eq!(first.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        let tag = first.headers()[ETAG].clone();
        let again = app.client("again").header("if-none-match", tag.to_str().unwrap()).get("/tornadose.js").await;
        assert_eq!((again.status(), again.text().as_str(), &again.headers()[ETAG]), (304, "", &tag));
    }

    #[test]
    fn the_script_has_at_most_6_kb_compressed() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(SOURCE.as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap().len();
        assert!(bytes <= 6_000, "{bytes} bytes");
    }

    #[test]
    fn a_tag_is_found_in_a_list_and_as_a_weak_tag() {
        let tag = tag();
        let known = |tags: &str| lists(&HeaderValue::try_from(tags).unwrap(), &tag);
        let text = tag.to_str().unwrap();
        assert!(known(text) && known("*") && known(&format!("\"old\", W/{text}")));
        assert!(!known("\"old\"") && !known(""));
    }
}
