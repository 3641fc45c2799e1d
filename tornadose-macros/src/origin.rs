//! Parses an origin (`scheme://host[:port]`, RFC 6454 §6.2). The library parses the origins of requests by the same rules,
//! which `tests/origins.txt` holds.

use std::net::Ipv6Addr;

const EXPECTED: &str = "expected an origin, `scheme://host` or `scheme://host:port`, like `https://app.example`";

/// Returns an origin in the form in which browsers send it: in lower case, without the default port. The error says what
/// to write instead.
pub(crate) fn normalize(origin: &str) -> Result<String, String> {
    if origin == "*" {
        return Err("`*` is not an origin; write `origins = any` to admit every page".into());
    }
    if origin == "null" {
        return Err("`null` is sent by every sandboxed page and local file, so it identifies no site; remove it".into());
    }
    let Some(bare) = without_path(origin) else { return Err(EXPECTED.into()) };
    if !bare.is_ascii() {
        return Err("browsers send a host in its ASCII form: write it as `xn--…`".into());
    }
    let normal = normal_form(bare).ok_or(EXPECTED)?;
    if bare.len() < origin.len() {
        return Err(format!("an origin ends after its host or port: write `{normal}`"));
    }
    Ok(normal)
}

fn normal_form(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = host_and_port(authority);
    let host = normal_host(host).filter(|_| is_scheme(&scheme))?;
    let default = match &*scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    let port = port.map(|port| parse_port(port).ok_or(())).transpose().ok()?.filter(|port| Some(*port) != default);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

/// Returns the text before a path, a query or a fragment, or `None` when it has no scheme.
fn without_path(origin: &str) -> Option<&str> {
    let authority = origin.find("://")? + 3;
    let length = origin[authority..].find(['/', '?', '#']).unwrap_or(origin.len() - authority);
    Some(&origin[..authority + length])
}

/// Splits at the last colon, unless it is inside an IPv6 address.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Returns the host in lower case, an IPv6 address in its shortest form.
fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name.then(|| host.to_ascii_lowercase())
}

fn parse_port(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| is_number && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::normalize;

    /// The table of the library's tests.
    const CASES: &str = include_str!("../tests/origins.txt");

    #[test]
    fn every_row_of_the_table_holds() {
        assert!(CASES.lines().count() > 40);
        for row in CASES.lines() {
            let (text, normal) = row.split_once(' ').expect("two columns");
            assert_eq!(normalize(text).as_deref().unwrap_or("-"), normal, "{text}");
        }
    }

    #[test]
    fn an_error_says_what_origin_to_write() {
        for (origin, message) in [
            ("https://app.example/", "an origin ends after its host or port: write `https://app.example`"),
            ("http://A.example:81/x?y#z", "an origin ends after its host or port: write `http://a.example:81`"),
            ("https://a.example:443/", "an origin ends after its host or port: write `https://a.example`"),
            ("*", "`*` is not an origin; write `origins = any` to admit every page"),
            ("null", "`null` is sent by every sandboxed page and local file, so it identifies no site; remove it"),
            ("https://grün.example", "browsers send a host in its ASCII form: write it as `xn--…`"),
            ("", super::EXPECTED),
            ("app.example", super::EXPECTED),
            ("https://a:99999", super::EXPECTED),
        ] {
            assert_eq!(normalize(origin), Err(message.into()), "{origin}");
        }
    }
}
