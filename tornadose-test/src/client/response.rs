//! The response to a plain request.

use salvo::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::client::Client;

/// The response to a plain request, from [`Harness::get`](crate::Harness::get),
/// [`ClientBuilder::post`](crate::ClientBuilder::post) and similar methods.
///
/// ```
/// # use salvo::prelude::*;
/// # #[handler]
/// # async fn count(res: &mut Response) { res.render(Json([1, 2])); }
/// # use tornadose_test::Harness;
/// # tornadose_test::run(async {
/// let response = Harness::new(Router::with_path("count").get(count)).get("/count").await;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
/// assert_eq!(response.json::<Vec<u8>>(), [1, 2]);
/// assert_eq!(response.text(), "[1,2]");
/// # });
/// ```
#[derive(Debug)]
pub struct Response {
    client: Client,
}

impl Response {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Returns the status.
    ///
    /// # Panics
    ///
    /// While there is no response.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.client.status()
    }

    /// Returns the headers.
    ///
    /// # Panics
    ///
    /// While there is no response.
    #[track_caller]
    pub fn headers(&self) -> HeaderMap {
        self.client.headers()
    }

    /// Returns the body so far, as text.
    pub fn text(&self) -> String {
        self.client.text()
    }

    /// Parses the body as JSON.
    ///
    /// # Panics
    ///
    /// When the body is not the JSON of a `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let body = self.client.text();
        serde_json::from_str(&body).unwrap_or_else(|error| {
            self.client.fail(&format!("expected {}, got the body {body}\n    {error}", std::any::type_name::<T>()))
        })
    }
}
