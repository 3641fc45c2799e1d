//! The access to the inspector.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use salvo::http::header::{ACCEPT, HOST, HeaderName, HeaderValue};
use salvo::http::{HeaderMap, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::handler::origin::OriginPolicy;

type Hook = dyn Fn(&Request, &Depot) -> BoxFuture<'static, Result<(), StatusError>> + Send + Sync;

/// Decides which requests the inspector serves. It is a middleware of all its routes.
pub(super) enum Access {
    /// The developer: in a build with `debug_assertions`, from the same machine.
    Local,
    Public,
    Hook(Arc<Hook>),
}

/// By these headers a proxy tells for whom it asks. A request with one of them may be anybody's.
const HEADERS_OF_PROXIES: [&str; 7] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "cf-connecting-ip"];

const OTHER_SITE: &str = "the inspector is not for pages of other sites: open it at the host that the request names, and let \
    a proxy in between pass the header `host` of the browser";

const REMEDIES: &str = "the inspector shows the keys and messages of all users, and nobody was said to be allowed to look: \
    mount it with `.authorize(hook)`, or with `.public()` where only operators can reach it";

const REMEDIES_OF_DEBUG: &str = "; this debug build also lets in requests from the same machine, to `localhost` or a \
    loopback address and through no proxy";

impl Access {
    pub(super) fn hook<H, F>(hook: H) -> Self
    where
        H: Fn(&Request, &Depot) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), StatusError>> + Send + 'static,
    {
        Self::Hook(Arc::new(move |request, depot| Box::pin(hook(request, depot))))
    }

    async fn check(&self, request: &Request, depot: &Depot) -> Result<(), StatusError> {
        // A page of another site must not act for a person who has access.
        let is_of_other = OriginPolicy::SameHost.check(request.headers(), request.uri().authority()).is_err();
        if is_of_other || is_loaded_by_other(request) {
            return Err(StatusError::forbidden().brief(OTHER_SITE));
        }
        match self {
            Self::Public => Ok(()),
            Self::Local if is_local(request) => Ok(()),
            Self::Local => {
                let more = if cfg!(debug_assertions) { REMEDIES_OF_DEBUG } else { "" };
                Err(StatusError::forbidden().brief(format!("{REMEDIES}{more}")))
            }
            Self::Hook(hook) => {
                let checked = AssertUnwindSafe(async { hook(request, depot).await }).catch_unwind().await;
                checked.unwrap_or_else(|_| {
                    tracing::error!(target: "tornadose", "hook panicked before the response head");
                    Err(StatusError::internal_server_error())
                })
            }
        }
    }
}

#[async_trait]
impl Handler for Access {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Err(error) = self.check(req, depot).await {
            // A person at a terminal reads plain text. A `Catcher` may still replace it.
            req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
            res.render(error);
            ctrl.skip_rest();
        }
    }
}

/// Returns whether a page of another site loads this as a part of it, such as a script. A browser then sends no origin. A
/// person may follow a link to the page itself.
fn is_loaded_by_other(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_same = header("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    !is_same && header("sec-fetch-mode") != Some("navigate")
}

/// Returns whether a request comes from a browser on the same machine, in a build for developers.
fn is_local(request: &Request) -> bool {
    cfg!(debug_assertions)
        && request.remote_addr().ip().is_some_and(|address| address.to_canonical().is_loopback())
        && !HEADERS_OF_PROXIES.iter().any(|name| request.headers().contains_key(HeaderName::from_static(name)))
        && host(request.headers(), request.uri().host()).is_some_and(|host| is_loopback_name(&host))
}

/// Returns the host that a request names, without its port.
fn host(headers: &HeaderMap, authority: Option<&str>) -> Option<String> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.to_owned(),
        // HTTP/2 has it in the URI.
        (None, _) => return authority.map(str::to_owned),
        (Some(_), Some(_)) => return None,
    };
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => &host,
    };
    Some(without_port.to_owned())
}

/// Returns whether a host is this machine, whatever a name server says. A name of another's domain may lead here too.
fn is_loopback_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Returns whether a request from this address with these headers is let in.
    fn admits(from: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut request = Request::new();
        *request.remote_addr_mut() = from.parse::<SocketAddr>().unwrap().into();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        is_local(&request)
    }

    #[test]
    fn a_debug_build_lets_in_who_sits_at_the_same_machine() {
        for (from, host) in [
            ("127.0.0.1:5000", "localhost:9000"),
            ("127.0.0.1:5000", "LOCALHOST"),
            ("127.0.0.1:5000", "app.localhost:9000"),
            ("127.0.0.1:5000", "127.0.0.1:9000"),
            ("127.9.9.9:5000", "127.0.0.1"),
            ("[::1]:5000", "[::1]:9000"),
            ("[::1]:5000", "[::1]"),
            ("[::ffff:127.0.0.1]:5000", "localhost"),
        ] {
            assert!(admits(from, &[("host", host)]), "{from} at {host}");
        }
    }

    #[test]
    fn a_debug_build_refuses_strangers() {
        let from = "127.0.0.1:5000";
        let host = ("host", "localhost:9000");
        for (from, headers) in [
            // From elsewhere, whatever it names.
            ("192.0.2.7:5000", &[host][..]),
            ("[2001:db8::7]:5000", &[host]),
            ("[::ffff:192.0.2.7]:5000", &[host]),
            ("0.0.0.0:5000", &[host]),
            // A name of another's domain that leads here: its pages would be of the same origin.
            (from, &[("host", "rebound.example")]),
            (from, &[("host", "localhost.example")]),
            (from, &[("host", "notlocalhost")]),
            (from, &[("host", "192.0.2.7")]),
            (from, &[("host", "0.0.0.0:9000")]),
            (from, &[("host", "")]),
            (from, &[]),
            (from, &[host, ("host", "rebound.example")]),
            // Through a proxy on the same machine.
            (from, &[host, ("x-forwarded-for", "192.0.2.7")]),
            (from, &[host, ("x-forwarded-for", "127.0.0.1")]),
            (from, &[host, ("forwarded", "for=192.0.2.7")]),
            (from, &[host, ("x-forwarded-proto", "https")]),
            (from, &[host, ("x-forwarded-host", "app.example")]),
            (from, &[host, ("x-real-ip", "192.0.2.7")]),
            (from, &[host, ("via", "1.1 proxy")]),
        ] {
            assert!(!admits(from, headers), "{from} with {headers:?}");
        }
        assert!(!is_local(&Request::new()), "of an unknown address");
    }
}
