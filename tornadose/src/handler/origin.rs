//! Which origins' pages may open a WebSocket and read a stream (RFC 6454 §4; Fetch §3.3).

use std::net::Ipv6Addr;

use salvo::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, HOST, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use salvo::http::uri::Authority;

use crate::subscriber::options::Origins;

/// The origins that a handler allows.
#[derive(Clone)]
pub(crate) enum OriginPolicy {
    SameHost,
    Any,
    List(Vec<Origin>),
}

/// Why a page may not open a WebSocket.
pub(crate) struct OriginRefusal {
    /// The text of the response.
    pub(crate) brief: String,
    pub(crate) origin: String,
    /// The host that the request names, if the origin was compared with it.
    pub(crate) host: Option<String>,
}

impl From<Origins> for OriginPolicy {
    fn from(origins: Origins) -> Self {
        match origins {
            Origins::SameHost => Self::SameHost,
            Origins::Any => Self::Any,
            Origins::List(origins) => Self::list(origins),
        }
    }
}

impl OriginPolicy {
    /// Parses the origins. An invalid one matches nothing, and is logged.
    pub(crate) fn list<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Self {
        let parse = |origin: O| {
            let parsed = Origin::parse(origin.as_ref());
            if parsed.is_none() {
                let (origin, reason) = (origin.as_ref(), "expected `scheme://host[:port]`");
                tracing::error!(target: "tornadose", origin, reason, "origin rejected");
            }
            parsed
        };
        Self::List(origins.into_iter().filter_map(parse).collect())
    }

    /// Refuses a WebSocket of another origin's page. Programs other than browsers send no origin, and are allowed.
    pub(crate) fn check(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), OriginRefusal> {
        if matches!(self, Self::Any) {
            return Ok(());
        }
        let mut origins = headers.get_all(ORIGIN).into_iter();
        let (Some(value), more) = (origins.next(), origins.next()) else { return Ok(()) };
        let shown = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let refuse = |brief, host| Err(OriginRefusal { brief, origin: shown.clone(), host });
        if more.is_some() {
            return refuse("the request has two `origin` headers".into(), None);
        }
        let origin = value.to_str().ok().and_then(Origin::parse);
        let Some(origin) = origin else {
            return refuse(format!("`{shown}` is not the origin of a page: expected `scheme://host[:port]`"), None);
        };
        match self {
            Self::List(list) if list.contains(&origin) => Ok(()),
            Self::List(_) => refuse(
                format!("the origin `{shown}` is not among those this handler admits: add it to `origins`"),
                None,
            ),
            _ => {
                let host = host(headers, authority).unwrap_or_default();
                if origin.is_at(&host) {
                    return Ok(());
                }
                let brief = format!(
                    "the origin `{shown}` is not the host `{host}`: open the page at that host; behind a proxy, let it \
                     pass the header `host` of the browser; or name the page's origin, `origins = [\"{shown}\"]`"
                );
                refuse(brief, Some(host))
            }
        }
    }

    /// Returns whether pages of other origins may read a stream.
    pub(crate) fn has_cors(&self) -> bool {
        !matches!(self, Self::SameHost)
    }

    /// Returns the value of the header `allow`.
    pub(crate) fn allowed_methods(&self) -> HeaderValue {
        HeaderValue::from_static(if self.has_cors() { "GET, HEAD, OPTIONS" } else { "GET, HEAD" })
    }

    /// Adds the headers that let an allowed page send its request with the headers that it asks for, such as a
    /// `last-event-id` of another form than browsers send or an `authorization`. The browser may keep the answer for
    /// two hours, the most that all of them accept.
    pub(crate) fn add_preflight_headers(&self, request: &HeaderMap, response: &mut HeaderMap) {
        self.add_cors_headers(request, response);
        response.insert(ALLOW, self.allowed_methods());
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        response.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        for names in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
            response.append(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
    }

    /// Adds the CORS headers that let allowed pages read the stream, unless a middleware has added them.
    pub(crate) fn add_cors_headers(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        match self {
            Self::SameHost => {}
            Self::Any => {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::List(list) => {
                response.append(VARY, HeaderValue::from_static("origin"));
                let mut origins = request.get_all(ORIGIN).into_iter();
                if let (Some(value), None) = (origins.next(), origins.next())
                    && value.to_str().ok().and_then(Origin::parse).is_some_and(|origin| list.contains(&origin))
                {
                    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value.clone());
                    response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
        }
    }
}

fn host(headers: &HeaderMap, authority: Option<&Authority>) -> Option<String> {
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    header.map(str::to_owned).or_else(|| authority.map(|authority| authority.as_str().to_owned()))
}

/// An origin (`scheme://host[:port]`) in its normal form. `#[subscriber]` parses the origins among its options by the
/// same rules, which `tests/cases/origins.txt` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// In lower case.
    scheme: String,
    /// In lower case, an IPv6 address in its shortest form.
    host: String,
    /// The port, or the scheme's default. `None` when the scheme has no default, such as an application's own.
    port: Option<u16>,
}

impl Origin {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = host_and_port(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        is_scheme.then_some(Self { scheme, host, port })
    }

    /// Returns whether the header `host` names the same host and port. Its default port is that of this origin's
    /// scheme.
    fn is_at(&self, host: &str) -> bool {
        host_and_port(host)
            .is_some_and(|(host, port)| host == self.host && port.or_else(|| default_port(&self.scheme)) == self.port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits a text into the host, in its normal form, and the port if there is one.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon may be inside an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = normal_host(host)?;
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(parse_port(port)?))),
    }
}

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
    use super::*;

    fn admits(admitted: &OriginPolicy, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a host"));
        for origin in origins {
            headers.append(ORIGIN, origin.parse().expect("a header"));
        }
        admitted.check(&headers, None).is_ok()
    }

    /// The table of the tests of `#[subscriber]`.
    const CASES: &str = include_str!("../../tests/cases/origins.txt");

    fn normal_form(Origin { scheme, host, port }: &Origin) -> String {
        match port.filter(|port| default_port(scheme) != Some(*port)) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    #[test]
    fn every_row_of_the_table_holds() {
        assert!(CASES.lines().count() > 40);
        for row in CASES.lines() {
            let (text, normal) = row.split_once(' ').expect("two columns");
            let parsed = Origin::parse(text);
            assert_eq!(parsed.as_ref().map_or("-".into(), normal_form), normal, "{text}");
            assert_eq!(Origin::parse(normal), parsed, "{normal}");
        }
        assert_eq!(Origin::parse(""), None);
    }

    #[test]
    fn without_a_list_the_origin_is_the_host() {
        for (host, origins, expected) in [
            ("app.example", &[][..], true),
            ("app.example", &["https://app.example"], true),
            ("app.example", &["http://app.example"], true),
            ("app.example", &["https://APP.example:443"], true),
            ("app.example:443", &["https://app.example"], true),
            ("app.example:8080", &["http://app.example:8080"], true),
            ("[::1]:9000", &["http://[::1]:9000"], true),
            ("app.example:80", &["https://app.example"], false),
            ("app.example", &["https://app.example:8443"], false),
            ("app.example", &["https://app.example.evil.io"], false),
            ("app.example", &["https://evilapp.example"], false),
            ("app.example", &["https://evil.io@app.example"], false),
            ("app.example", &["https://app.example/path"], false),
            ("app.example", &["null"], false),
            ("app.example", &[""], false),
            ("app.example", &["app.example"], false),
            ("app.example", &["https://app.example", "https://app.example"], false),
        ] {
            assert_eq!(admits(&OriginPolicy::SameHost, host, origins), expected, "{origins:?} at {host}");
        }
    }

    #[test]
    fn a_list_admits_what_it_names() {
        let list = OriginPolicy::list(["https://app.example", "http://localhost:3000", "tauri://localhost"]);
        for (origin, expected) in [
            ("https://app.example", true),
            ("https://app.example:443", true),
            ("http://app.example", false),
            ("http://localhost:3000", true),
            ("http://localhost", false),
            ("https://api.example", false),
            ("tauri://localhost", true),
            ("tauri://localhost:80", false),
            ("null", false),
        ] {
            assert_eq!(admits(&list, "api.example", &[origin]), expected, "{origin}");
        }
        assert!(admits(&OriginPolicy::Any, "api.example", &["null"]));
    }

    #[test]
    fn a_refusal_says_the_remedies() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("api.example"));
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        let refusal = OriginPolicy::SameHost.check(&headers, None).expect_err("another origin");
        assert_eq!(
            refusal.brief,
            "the origin `https://app.example` is not the host `api.example`: open the page at that host; behind a \
             proxy, let it pass the header `host` of the browser; or name the page's origin, \
             `origins = [\"https://app.example\"]`"
        );
        assert_eq!((&*refusal.origin, refusal.host.as_deref()), ("https://app.example", Some("api.example")));
    }
}
