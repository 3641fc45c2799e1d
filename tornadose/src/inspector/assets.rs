//! The page, and what it loads.

use salvo::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use salvo::http::{ResBody, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

/// Everything comes from the path of the inspector. The icon is an empty one in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the page. Its addresses are relative, so it is served below a path that ends with a slash.
pub(super) struct Page;

#[async_trait]
impl Handler for Page {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let path = req.uri().path();
        let folder = path.rsplit('/').next().unwrap_or_default();
        if !folder.is_empty()
            && let Ok(location) = HeaderValue::from_str(&format!("./{folder}/"))
        {
            // Relative, because a proxy may have removed the beginning of the path.
            res.status_code(StatusCode::TEMPORARY_REDIRECT);
            res.headers_mut().insert(LOCATION, location);
            return;
        }
        res.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Asset::PAGE.write(res);
    }
}

/// A file of the page.
pub(super) struct Asset {
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    const PAGE: Self = Self { content_type: "text/html; charset=utf-8", text: include_str!("page.html") };
    pub(super) const SCRIPT: Self =
        Self { content_type: "text/javascript; charset=utf-8", text: include_str!("inspector.js") };
    pub(super) const STYLE: Self =
        Self { content_type: "text/css; charset=utf-8", text: include_str!("inspector.css") };

    fn write(&self, res: &mut Response) {
        let headers: &mut HeaderMap = res.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        res.status_code(StatusCode::OK);
        res.body(ResBody::Once(self.text.into()));
    }
}

#[async_trait]
impl Handler for Asset {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        self.write(res);
    }
}
