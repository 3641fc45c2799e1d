//! The opening handshake: what the client checks before it believes a 101.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use salvo::http::HeaderMap;
use sha1::{Digest, Sha1};

use crate::client::response::header;

/// The key of RFC 6455's own example: the same in every run.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is wrong with a 101, if anything: a browser fails such a connection.
pub(crate) fn check(asked: &HeaderMap, answered: &HeaderMap) -> Result<(), String> {
    let is = |name: &str, expected: &str| {
        header(answered, name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(expected)))
    };
    if !is("upgrade", "websocket") {
        return Err("the 101 has no `upgrade: websocket`".into());
    }
    if !is("connection", "upgrade") {
        return Err("the 101 has no `connection: upgrade`".into());
    }
    let expected = accept(header(asked, "sec-websocket-key").unwrap_or_default());
    let got = header(answered, "sec-websocket-accept").unwrap_or_default();
    if got != expected {
        return Err(format!("`sec-websocket-accept` is `{got}`, not `{expected}`"));
    }
    if let Some(extensions) = header(answered, "sec-websocket-extensions") {
        return Err(format!("the server chose the extension `{extensions}`, which was not offered"));
    }
    match (header(asked, "sec-websocket-protocol"), header(answered, "sec-websocket-protocol")) {
        // None chosen is the server's right; what the page then does is its own affair.
        (offered, Some(chosen))
            if !offered.is_some_and(|offered| offered.split(',').any(|offer| offer.trim() == chosen)) =>
        {
            Err(format!("the server chose the protocol `{chosen}`, which was not offered"))
        }
        _ => Ok(()),
    }
}

fn accept(key: &str) -> String {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(GUID);
    BASE64_STANDARD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::{KEY, accept};

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
