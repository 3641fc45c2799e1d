//! HTTP from the client's side: a request, the connection that sends it, and a response that is not a stream.

use std::str::from_utf8;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn;
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::AbortHandle;

use crate::client::connection::pipe::Pipe;
use crate::client::cookie_jar::CookieJar;
use crate::client::log::ClientLog;
use crate::entry::Happening;
use crate::journal::client_state::Ending;

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A request, as a client sends it on each of its connections.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpec {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) upgrade: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) cookies: Option<CookieJar>,
    pub(crate) body: Vec<u8>,
}

impl RequestSpec {
    pub(crate) fn last_event_id(&self) -> Option<String> {
        let id = self.headers.get(LAST_EVENT_ID);
        id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned())
    }

    /// Returns the request for the journal.
    pub(crate) fn happening(&self) -> Happening {
        Happening::Request {
            method: self.method.to_string(),
            target: self.target.clone(),
            http2: self.version == Version::HTTP_2,
            upgrade: self.upgrade,
            last_event_id: self.last_event_id(),
            body: self.body.clone(),
        }
    }

    fn into_request(self) -> Request<Full<Bytes>> {
        let mut headers = self.headers;
        add_cookies(&mut headers, self.cookies.as_ref().and_then(|jar| jar.header(path_of(&self.target))));
        let mut uri: Uri = self.target.parse().expect("the target was parsed when the client was opened");
        if self.version == Version::HTTP_2 {
            // In HTTP/2 the host is a part of the target.
            let host = header(&headers, "host").unwrap_or("localhost").to_owned();
            let absolute = format!("http://{host}{}", self.target).parse();
            uri = absolute.unwrap_or_else(|_| panic!("`{host}` is not a valid host"));
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

/// Tasks that are aborted together.
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

/// The tasks of one connection. Dropping it aborts them, which closes the connection's pipe.
#[derive(Default)]
pub(crate) struct ConnectionTasks(Tasks);

impl ConnectionTasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

impl Drop for ConnectionTasks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request over a new connection. hyper's work on the connection becomes one of its tasks.
pub(crate) async fn send(
    pipe: Pipe,
    request: RequestSpec,
    tasks: &ConnectionTasks,
) -> hyper::Result<Response<Incoming>> {
    let (jar, target) = (request.cookies.clone(), request.target.clone());
    // The tasks ignore how the connection ends: the response's body and the upgraded stream report it.
    let response = if request.version == Version::HTTP_2 {
        let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(pipe)).await?;
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request.into_request()).await?
    } else {
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(pipe)).await?;
        tasks.spawn(async move { drop(connection.with_upgrades().await) });
        sender.send_request(request.into_request()).await?
    };
    if let Some(jar) = jar {
        jar.store(path_of(&target), response.headers());
    }
    Ok(response)
}

/// Adds the cookies of a jar to those that the test has set.
fn add_cookies(headers: &mut HeaderMap, cookies: Option<String>) {
    let Some(cookies) = cookies else { return };
    let cookies = match header(headers, "cookie") {
        Some(set) => format!("{set}; {cookies}"),
        None => cookies,
    };
    // A cookie that the server has set came in a header, so it is valid in one.
    if let Ok(cookies) = HeaderValue::from_str(&cookies) {
        headers.insert(COOKIE, cookies);
    }
}

fn path_of(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// Records a response that is not a stream.
pub(crate) async fn record_response(log: &ClientLog, response: Response<Incoming>) {
    log.set_head(response.status().as_u16(), response.headers());
    log.record(Happening::Response { status: response.status().as_u16(), body: Vec::new() });
    log.record_headers(response.headers());
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => log.append_body(&bytes),
            Ok(Err(_trailers)) => {}
            Err(_) => return log.record_abort(),
        }
    }
    log.mark_disconnected();
    log.record_end(None, Ending::End);
}

/// Returns the value of a header, if it is present and UTF-8.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| from_utf8(value.as_bytes()).ok())
}
