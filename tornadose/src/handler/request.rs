//! Reads a request: which transport it asks for, and where it resumes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use salvo::Request;
use salvo::http::header::{
    ACCEPT, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use salvo::http::{Method, Version};
use sha1::{Digest, Sha1};

use crate::store::reader::resume::Resume;

/// The part that a handshake lacks.
#[derive(Clone, Copy)]
pub(crate) enum BrokenHandshake {
    HttpVersion,
    NoUpgrade,
    NoConnection,
}

/// Returns whether the request asks for a WebSocket (RFC 6455 §4.2.1). One that has a `sec-websocket-key` has been a
/// handshake; if it does not ask for the upgrade, a proxy has removed that, and the error says what is missing.
pub(crate) fn wants_upgrade(request: &Request) -> Result<bool, BrokenHandshake> {
    let headers = request.headers();
    let broken = if request.version() != Version::HTTP_11 {
        BrokenHandshake::HttpVersion
    } else if !has_token(headers, &UPGRADE, "websocket") {
        BrokenHandshake::NoUpgrade
    } else if !has_token(headers, &CONNECTION, "upgrade") {
        BrokenHandshake::NoConnection
    } else {
        return Ok(request.method() == Method::GET);
    };
    if request.method() == Method::GET && headers.contains_key(SEC_WEBSOCKET_KEY) { Err(broken) } else { Ok(false) }
}

/// Returns whether the header `accept` allows an event stream. The most specific range decides (RFC 9110 §12.5.1). A
/// request without the header allows it.
pub(crate) fn accepts_stream(headers: &HeaderMap) -> bool {
    let mut ranges = tokens(headers, &ACCEPT).peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let fits = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let closeness =
            ["*/*", "text/*", "text/event-stream"].iter().position(|fit| media.eq_ignore_ascii_case(fit))?;
        let refused = parts
            .filter_map(|part| part.split_once('='))
            .any(|(name, quality)| name.trim().eq_ignore_ascii_case("q") && quality.trim().parse::<f32>() == Ok(0.0));
        Some((closeness, !refused))
    };
    ranges.filter_map(fits).max().is_some_and(|(_, taken)| taken)
}

/// The query parameters that may have the id. Polyfills of `EventSource` use the second and the third.
const ID_PARAMETERS: [&str; 3] = ["last_event_id", "lastEventId", "Last-Event-ID"];

/// Where the client resumes from: the header, else a query parameter; empty is absent.
pub(crate) fn resume(request: &Request) -> Resume {
    last_event_id(request).map_or(Resume::New, |text| Resume::after_text(&text))
}

fn last_event_id(request: &Request) -> Option<String> {
    // Invalid UTF-8 and several ids are kept as text that is not an id, so that the store reports a gap.
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let joined = |ids: Vec<String>| Some(ids).filter(|ids| !ids.is_empty()).map(|ids| ids.join(", "));
    let some = |id: &String| !id.is_empty();
    let headers = request.headers().get_all("last-event-id").iter().map(text).filter(some).collect();
    let query = |name: &str| {
        let queries = request.queries().get_vec(name).into_iter().flatten();
        joined(queries.filter(|id| some(id)).cloned().collect())
    };
    joined(headers).or_else(|| ID_PARAMETERS.into_iter().find_map(query))
}

/// Why a request is not a valid upgrade.
pub(crate) enum UpgradeError {
    /// It is not of version 13. The status is 426.
    Version,
    /// A header is invalid. The status is 400, with this text.
    Malformed(&'static str),
}

/// Returns the value of `sec-websocket-accept` for the request's key (RFC 6455 §4.2.2).
pub(crate) fn accept_key(headers: &HeaderMap) -> Result<String, UpgradeError> {
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).into_iter();
    if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
        return Err(UpgradeError::Version);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(UpgradeError::Malformed("expected one `sec-websocket-key`"));
    };
    if BASE64_STANDARD.decode(key.as_bytes()).map_or(true, |nonce| nonce.len() != 16) {
        return Err(UpgradeError::Malformed("`sec-websocket-key` is not 16 bytes in base64"));
    }
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    Ok(BASE64_STANDARD.encode(hash.finalize()))
}

/// Returns the first subprotocol of the client that is offered.
pub(crate) fn protocol<'a>(headers: &'a HeaderMap, offered: &[impl AsRef<str>]) -> Option<&'a str> {
    tokens(headers, &SEC_WEBSOCKET_PROTOCOL).find(|wanted| offered.iter().any(|offer| offer.as_ref() == *wanted))
}

fn has_token(headers: &HeaderMap, name: &salvo::http::header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// Returns the members of a list header, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &salvo::http::header::HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides() {
        for (accept, taken) in [
            ("", true),
            ("text/event-stream", true),
            ("TEXT/*;q=0.5", true),
            ("text/html, */*;q=0.1", true),
            ("text/html", false),
            ("application/*", false),
            ("text/event-stream;q=0, */*", false),
            ("*/*;q=0, text/*", true),
            ("text/event-stream; q=0.0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header"));
            assert_eq!(accepts_stream(&headers), taken, "{accept}");
        }
    }
}
