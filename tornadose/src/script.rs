//! tornadose.js, the page's side of a stream, as a handler. What it speaks is the affair of `wire`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use salvo::http::{ResBody, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use sha1::{Digest, Sha1};

const SOURCE: &str = include_str!("tornadose.js");

/// A handler that serves `tornadose.js`: `live(path, handlers, options)` for a page, over Server-Sent Events or WebSocket.
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
/// The handlers are called by the event's name, `message` for events without one. `"tornadose:gap"({ reason, missed })`
/// tells of a loss, `"tornadose:error"({ reason })` that the server did not take what was sent; `open()` and
/// `error({ reason, wait })` that the connection stands, or is lost and tried again in `wait` ms: `null` when the browser does
/// that in its own time, `Infinity` when the server ended it for good (WebSocket 1000 and 4000 to 4999). `{ ws: true }` as the
/// third argument connects over WebSocket, and then `feed.send(value)` sends a value as JSON. `feed.close()` ends it.
///
/// A connection that was lost comes back, with jitter, and resumes behind its last id; an `EventSource` too that a proxy's
/// error has stopped. Browsers keep the script and ask whether it is still the same: its tag is made of its content.
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

/// Whether `If-None-Match` names this tag; a proxy that compressed the script has made the tag a weak one (RFC 9110 §13.1.2).
fn lists(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|listed| listed == "*" || listed.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use salvo::Router;
    use tornadose_test::Harness;

    use super::*;

    #[tornadose_test::test]
    async fn a_browser_that_has_the_script_is_not_sent_it_again() {
        let app = Harness::new(Router::with_path("tornadose.js").get(script()));
        let first = app.get("/tornadose.js").await;
        assert_eq!((first.status(), first.text().as_str()), (200, SOURCE));
        assert_eq!(first.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        let tag = first.headers()[ETAG].clone();
        let again = app.client("again").header("if-none-match", tag.to_str().unwrap()).get("/tornadose.js").await;
        assert_eq!((again.status(), again.text().as_str(), &again.headers()[ETAG]), (304, "", &tag));
    }

    #[test]
    fn the_script_stays_short() {
        assert!(SOURCE.lines().count() <= 100);
    }

    #[test]
    fn a_known_tag_is_found_in_a_list_and_behind_a_proxy() {
        let tag = tag();
        let known = |tags: &str| lists(&HeaderValue::try_from(tags).unwrap(), &tag);
        let text = tag.to_str().unwrap();
        assert!(known(text) && known("*") && known(&format!("\"old\", W/{text}")));
        assert!(!known("\"old\"") && !known(""));
    }
}
