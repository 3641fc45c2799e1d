//! The opening handshake of RFC 6455: the checks of the client on a 101 response.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use sha1::{Digest, Sha1};

use crate::client::http::header;

/// The `sec-websocket-key` of the example in RFC 6455, so that it is the same in every run.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Checks the headers of a 101 response; the error is a violation for which a browser fails the connection.
pub(crate) fn check(request: &HeaderMap, response: &HeaderMap) -> Result<(), String> {
    let has = |name: &str, expected: &str| {
        header(response, name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(expected)))
    };
    if !has("upgrade", "websocket") {
        return Err("the 101 has no `upgrade: websocket`".into());
    }
    if !has("connection", "upgrade") {
        return Err("the 101 has no `connection: upgrade`".into());
    }
    let expected = accept_key(header(request, "sec-websocket-key").unwrap_or_default());
    let got = header(response, "sec-websocket-accept").unwrap_or_default();
    if got != expected {
        return Err(format!("`sec-websocket-accept` is `{got}`, not `{expected}`"));
    }
    if let Some(extensions) = header(response, "sec-websocket-extensions") {
        return Err(format!("the server chose the extension `{extensions}`, which was not offered"));
    }
    match (header(request, "sec-websocket-protocol"), header(response, "sec-websocket-protocol")) {
        // A server may choose no protocol; the page then decides what to do.
        (offered, Some(chosen))
            if !offered.is_some_and(|offered| offered.split(',').any(|offer| offer.trim() == chosen)) =>
        {
            Err(format!("the server chose the protocol `{chosen}`, which was not offered"))
        }
        _ => Ok(()),
    }
}

fn accept_key(key: &str) -> String {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(GUID);
    BASE64_STANDARD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::{KEY, accept_key};

    #[test]
    fn the_accept_key_matches_the_rfc() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
