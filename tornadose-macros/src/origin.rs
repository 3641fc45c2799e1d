//! Checks that a text is an origin as browsers send it (`scheme://host[:port]`, RFC 6454 §6.2).

/// Checks one origin. The error says what to write instead.
pub(crate) fn check(origin: &str) -> Result<(), String> {
    if origin == "*" {
        return Err("`*` is not an origin; write `origins = any` to admit every page".into());
    }
    if origin == "null" {
        return Err("`null` is sent by every sandboxed page and local file, so it identifies no site; remove it".into());
    }
    let expected = "expected an origin, `scheme://host` or `scheme://host:port`, like `https://app.example`";
    let Some(bare) = without_path(origin) else { return Err(expected.into()) };
    let lower = bare.to_ascii_lowercase();
    let Some((scheme, authority)) = lower.split_once("://") else { return Err(expected.into()) };
    if !authority.is_ascii() {
        return Err("browsers send a host in its ASCII form: write it as `xn--…`".into());
    }
    let (host, port) = host_and_port(authority);
    if !is_scheme(scheme) || !is_host(host) || port.is_some_and(|port| !is_port(port)) {
        return Err(expected.into());
    }
    let default = match scheme {
        "http" | "ws" => Some("80"),
        "https" | "wss" => Some("443"),
        _ => None,
    };
    let rewrite = |why: &str, port: Option<&str>| {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Err(format!("{why}: write `{scheme}://{host}{port}`"))
    };
    if port.is_some() && port == default {
        return rewrite("browsers leave out the default port", None);
    }
    if bare.len() < origin.len() {
        return rewrite("an origin ends after its host or port", port);
    }
    if lower != bare {
        return rewrite("browsers send an origin in lower case", port);
    }
    Ok(())
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

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_origin_as_browsers_send_it_is_valid() {
        for origin in
            ["https://app.example", "http://localhost:3000", "http://[::1]:8080", "https://127.0.0.1", "app://main"]
        {
            assert_eq!(check(origin), Ok(()), "{origin}");
        }
    }

    #[test]
    fn an_error_says_what_origin_to_write() {
        let expected = "expected an origin, `scheme://host` or `scheme://host:port`, like `https://app.example`";
        for (origin, message) in [
            ("https://app.example/", "an origin ends after its host or port: write `https://app.example`"),
            ("http://a.example:81/x?y#z", "an origin ends after its host or port: write `http://a.example:81`"),
            ("https://App.example", "browsers send an origin in lower case: write `https://app.example`"),
            ("https://app.example:443", "browsers leave out the default port: write `https://app.example`"),
            ("*", "`*` is not an origin; write `origins = any` to admit every page"),
            ("null", "`null` is sent by every sandboxed page and local file, so it identifies no site; remove it"),
            ("https://grün.example", "browsers send a host in its ASCII form: write it as `xn--…`"),
            ("", expected),
            ("app.example", expected),
            ("https://", expected),
            ("https://a:b", expected),
            ("https://a:", expected),
            ("https://a:99999", expected),
            ("https://user@a", expected),
            ("https://*.a", expected),
            ("https://[::1", expected),
            ("1://a", expected),
            ("://a", expected),
        ] {
            assert_eq!(check(origin), Err(message.into()), "{origin}");
        }
    }
}
