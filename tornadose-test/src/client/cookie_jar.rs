//! Cookies that clients receive and send again, as a browser does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cookie::Cookie;
use cookie::time::OffsetDateTime;
use hyper::header::{HeaderMap, SET_COOKIE};
use tokio::time::Instant;

/// The cookies of one browser: its clients store what a server sets, and send it back. A clone is the same jar.
///
/// A cookie is sent to the paths below its `Path`. It ends after its `Max-Age` in the test's time, or when its `Expires`
/// is in the past. Its `Domain`, `Secure` and `SameSite` are ignored, because a harness has one server.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn log_in(res: &mut Response) {
/// #     res.headers_mut().insert("set-cookie", "session=7; Path=/; HttpOnly".parse().unwrap());
/// # }
/// # #[handler]
/// # async fn me(req: &mut Request, res: &mut Response) { res.render(req.header::<String>("cookie").unwrap()); }
/// use tornadose_test::{CookieJar, Harness};
/// # tornadose_test::run(async {
/// # let router = Router::new().push(Router::with_path("login").post(log_in)).push(Router::with_path("me").get(me));
/// let app = Harness::new(router);
/// let ada = app.client("ada").cookie_jar(&CookieJar::new());
/// assert_eq!(ada.clone().post("/login", "ada's password").await.status(), 200);
/// assert_eq!(ada.get("/me").await.text(), "session=7");
/// # });
/// ```
#[derive(Clone, Default)]
pub struct CookieJar {
    cookies: Arc<Mutex<Vec<StoredCookie>>>,
}

struct StoredCookie {
    name: String,
    value: String,
    path: String,
    expires: Option<Instant>,
}

impl CookieJar {
    /// Makes an empty jar.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value of a cookie that the jar would send to some path.
    ///
    /// ```
    /// assert_eq!(tornadose_test::CookieJar::new().value("session"), None);
    /// ```
    pub fn value(&self, name: &str) -> Option<String> {
        let cookies = self.lock();
        let found = cookies.iter().find(|cookie| cookie.name == name && cookie.is_fresh());
        found.map(|cookie| cookie.value.clone())
    }

    /// Stores the cookies of a response to a request for this path.
    pub(crate) fn store(&self, request_path: &str, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            // A browser ignores what is not a cookie.
            let Ok(text) = header.to_str() else { continue };
            let Ok(cookie) = Cookie::parse(text) else { continue };
            let path = cookie.path().filter(|path| path.starts_with('/'));
            let path = path.unwrap_or_else(|| default_path(request_path)).to_owned();
            let mut cookies = self.lock();
            cookies.retain(|other| other.name != cookie.name() || other.path != path);
            if has_passed(&cookie) {
                continue;
            }
            let max_age = cookie.max_age().and_then(|age| age.try_into().ok());
            let expires = max_age.and_then(|age| Instant::now().checked_add(age));
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            cookies.push(StoredCookie { name, value, path, expires });
        }
    }

    /// Returns the cookies for a path, as in a `Cookie` header; `None` when there are none.
    pub(crate) fn header(&self, path: &str) -> Option<String> {
        let cookies = self.lock();
        let mut sent: Vec<_> = cookies.iter().filter(|cookie| cookie.is_fresh() && cookie.is_for(path)).collect();
        // A browser sends those with longer paths first.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let sent: Vec<String> = sent.into_iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!sent.is_empty()).then(|| sent.join("; "))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<StoredCookie>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredCookie {
    fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }

    /// Whether a path is the cookie's or below it.
    fn is_for(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies = self.lock();
        f.debug_list().entries(cookies.iter().map(|cookie| &cookie.name)).finish()
    }
}

/// Whether a response removes a cookie.
fn has_passed(cookie: &Cookie<'_>) -> bool {
    match cookie.max_age() {
        Some(age) => !age.is_positive(),
        None => cookie.expires_datetime().is_some_and(|expires| expires <= OffsetDateTime::now_utc()),
    }
}

/// Returns the path of a cookie without one: that of the request, without its last segment.
fn default_path(request_path: &str) -> &str {
    match request_path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &request_path[..end],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};

    use super::CookieJar;
    use crate::runtime::run;

    fn set(jar: &CookieJar, path: &str, cookies: &[&'static str]) {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        jar.store(path, &headers);
    }

    #[test]
    fn a_cookie_is_sent_below_its_path() {
        run(async {
            let jar = CookieJar::new();
            set(&jar, "/shop/cart", &["a=1", "b=2; Path=/", "c=3; Path=/shop/", "not a cookie"]);
            assert_eq!(jar.header("/shop/cart").as_deref(), Some("c=3; a=1; b=2"));
            assert_eq!(jar.header("/shop").as_deref(), Some("a=1; b=2"));
            assert_eq!(jar.header("/shopping").as_deref(), Some("b=2"));
        });
    }

    #[test]
    fn a_cookie_ends() {
        run(async {
            let jar = CookieJar::new();
            set(&jar, "/", &["a=1; Max-Age=60", "b=2", "c=3", "d=4; Expires=Wed, 21 Oct 2015 07:28:00 GMT"]);
            set(&jar, "/", &["b=; Max-Age=0", "c=4"]);
            assert_eq!(jar.header("/").as_deref(), Some("a=1; c=4"));
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!((jar.header("/").as_deref(), jar.value("a")), (Some("c=4"), None));
        });
    }
}
