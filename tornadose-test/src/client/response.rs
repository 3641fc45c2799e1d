//! A plain answer, to a request that is no stream.

use std::str::from_utf8;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use salvo::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::client::connection::Link;
use crate::client::http::{self, Connection};
use crate::client::log::Place;
use crate::entry::What;
use crate::journal::client_state::Ending;

/// What a plain request was answered, from [`Harness::get`](crate::Harness::get),
/// [`ClientBuilder::post`](crate::ClientBuilder::post) and their like.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn count(res: &mut Response) { res.render(Json([1, 2])); }
/// # use tornadose_test::Harness;
/// # tornadose_test::run(async {
/// let answer = Harness::new(Router::with_path("count").get(count)).get("/count").await;
/// assert_eq!(answer.status(), 200);
/// assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
/// assert_eq!(answer.json::<Vec<u8>>(), [1, 2]);
/// # });
/// ```
pub struct Response {
    client: Client,
}

impl Response {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The status.
    ///
    /// # Panics
    ///
    /// While there is no answer.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.client.status()
    }

    /// The headers.
    ///
    /// # Panics
    ///
    /// While there is no answer.
    #[track_caller]
    pub fn headers(&self) -> HeaderMap {
        self.client.headers()
    }

    /// The body so far, as text.
    pub fn text(&self) -> String {
        self.client.text()
    }

    /// The body, from JSON.
    ///
    /// # Panics
    ///
    /// When it is not the JSON of a `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let body = self.client.text();
        serde_json::from_str(&body).unwrap_or_else(|error| {
            self.client.fail(&format!("expected {}, got the body {body}\n    {error}", std::any::type_name::<T>()))
        })
    }
}

/// Asks, and records the answer.
pub(crate) async fn read(link: &Link) {
    let Some(pipe) = link.dial() else { return };
    let connection = Connection::default();
    match http::send(pipe, link.ask.clone(), &connection.0).await {
        Ok(response) => collect(&link.seat, response).await,
        Err(_) => link.seat.broke_off(),
    }
}

/// Records a response that is not a stream.
pub(crate) async fn collect(seat: &Place, response: hyper::Response<Incoming>) {
    seat.head(response.status().as_u16(), response.headers());
    seat.note(What::Answer { status: response.status().as_u16(), body: Vec::new() });
    seat.note_headers(response.headers());
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => seat.answer_more(&bytes),
            Ok(Err(_trailers)) => {}
            Err(_) => return seat.broke_off(),
        }
    }
    seat.gone();
    seat.ended(None, Ending::End);
}

/// The value of a header, when it is there and text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| from_utf8(value.as_bytes()).ok())
}
