//! What a client asks for, and the connection it asks over. What comes back is read by `stream`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::AbortHandle;

use crate::client::connection::pipe::Pipe;
use crate::client::response::header;
use crate::entry::What;

/// What a client says when it opens a connection.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) upgrade: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// How it stands in the transcript.
    pub(crate) fn line(&self) -> What {
        let last_event_id = self.headers.get("last-event-id");
        What::Request {
            method: self.method.to_string(),
            target: self.target.clone(),
            http2: self.version == Version::HTTP_2,
            upgrade: self.upgrade,
            last_event_id: last_event_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
            body: self.body.clone(),
        }
    }

    fn request(self) -> Request<Full<Bytes>> {
        let mut headers = self.headers;
        let mut uri: Uri = self.target.parse().expect("the target was parsed when the client was told to open it");
        if self.version == Version::HTTP_2 {
            // There the host is a part of the target.
            let host = header(&headers, "host").unwrap_or("localhost").to_owned();
            let whole = format!("http://{host}{}", self.target).parse();
            uri = whole.unwrap_or_else(|_| panic!("`{host}` cannot be a host"));
            headers.remove(HOST);
        }
        let mut request = Request::new(Full::new(Bytes::from(self.body)));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers;
        request
    }
}

/// Tasks that end together.
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

/// The tasks of one connection: dropped, they end, and its pipe with them.
#[derive(Default)]
pub(crate) struct Connection(pub(crate) Tasks);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks over a fresh connection, whose own work becomes one of its tasks.
pub(crate) async fn send(pipe: Pipe, ask: Ask, tasks: &Tasks) -> hyper::Result<Response<Incoming>> {
    // How the connection ends is read from the body, or from the upgraded stream.
    if ask.version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(pipe)).await?;
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(ask.request()).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await?;
        tasks.spawn(async move { drop(connection.with_upgrades().await) });
        sender.send_request(ask.request()).await
    }
}

/// Puts a default that the test has not set or forbidden.
pub(crate) fn default(headers: &mut HeaderMap, without: &[HeaderName], name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) && !without.contains(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
