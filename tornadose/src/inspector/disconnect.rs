//! Disconnects a key, as a page asks for it.

use std::sync::Arc;

use salvo::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use salvo::http::{HeaderMap, StatusError};
use salvo::writing::Json;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inspector::watching::Watched;

/// The most bytes of a request.
const REQUEST_MAX: usize = 64 << 10;

#[derive(Deserialize)]
struct Asked {
    store: usize,
    key: Value,
}

/// How many readers were told to end.
#[derive(Serialize)]
struct Answer {
    readers: usize,
}

/// Disconnects the key that the body of a `POST` names, `{"store":0,"key":…}`.
pub(super) struct Disconnect {
    watched: Arc<Watched>,
}

impl Disconnect {
    pub(super) fn new(watched: &Arc<Watched>) -> Self {
        Self { watched: Arc::clone(watched) }
    }

    async fn disconnect(&self, request: &mut Request) -> Result<Answer, StatusError> {
        check_headers(request.headers())?;
        let asked = request.parse_json_with_max_size(REQUEST_MAX).await;
        let expected = "expected `{\"store\":NUMBER,\"key\":KEY}`";
        let Asked { store: index, key } = asked.map_err(|_| StatusError::bad_request().brief(expected))?;
        let no_store =
            || StatusError::not_found().brief("unknown store: its number is that in the page's list, from 0");
        let store = self.watched.store(index).ok_or_else(no_store)?;
        let no_key = || {
            StatusError::not_found().brief("unknown key: it has no reader in this process, and no message that is kept")
        };
        let readers = store.disconnect(&key).await.ok_or_else(no_key)?;
        let channel = store.channel();
        tracing::info!(target: "tornadose", channel, readers, "key disconnected");
        self.watched.report_disconnect(index, key.to_string(), readers);
        Ok(Answer { readers })
    }
}

/// Refuses what a page of another site can send: a form has no JSON, and a script is asked for its origin first.
fn check_headers(headers: &HeaderMap) -> Result<(), StatusError> {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return Err(StatusError::forbidden().brief("the inspector is not for pages of other sites"));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(StatusError::unsupported_media_type().brief("expected `content-type: application/json`"));
    }
    Ok(())
}

#[async_trait]
impl Handler for Disconnect {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        match self.disconnect(req).await {
            Ok(answer) => res.render(Json(answer)),
            Err(error) => {
                req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
                res.render(error);
            }
        }
    }
}
