//! What a client asks for, and the connection it asks over. What comes back is read by `stream`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use crate::client::pipe::Pipe;

/// What a client says when it opens a connection.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The tasks of a connection: aborted, its pipe is dropped.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    handles: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task).abort_handle();
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    pub(crate) fn abort(&self) {
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        handles.iter().for_each(AbortHandle::abort);
    }
}

/// Asks over a fresh connection; the connection's own work becomes one of `tasks`.
pub(crate) async fn send(pipe: Pipe, ask: Ask, tasks: &Tasks) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await?;
    tasks.spawn(async move {
        // How the connection ended is read from the body, or from the upgraded stream.
        let _ = connection.with_upgrades().await;
    });
    let uri: Uri = ask.target.parse().expect("the target was parsed when the client was told to open it");
    let mut request = Request::new(Full::new(Bytes::from(ask.body)));
    *request.method_mut() = ask.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = ask.headers;
    sender.send_request(request).await
}

/// Puts a default that the test has not set or forbidden.
pub(crate) fn default(headers: &mut HeaderMap, without: &[HeaderName], name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) && !without.contains(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
