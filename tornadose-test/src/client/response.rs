//! The response to a plain request.

use hyper::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Client;
use crate::client::reading::decode::type_name_of;
use crate::client::reading::json_part;

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

    /// Waits until the response has arrived, for a request that was sent
    /// [`without_waiting`](crate::ClientBuilder::without_waiting). Up to 60 s of virtual time may pass.
    ///
    /// # Panics
    ///
    /// When none arrives.
    #[track_caller]
    pub fn responded(&self) -> impl Future<Output = ()> + Send {
        self.client.responded()
    }

    /// Returns the body so far, as text.
    pub fn text(&self) -> String {
        self.client.text()
    }

    /// Asserts that the body is JSON that contains this value, and returns the whole body. An object contains another
    /// that has some of its members, at every depth. Any other value contains its equal.
    ///
    /// ```
    /// # use salvo::prelude::*;
    /// # #[handler]
    /// # async fn me(res: &mut Response) { res.render(Json(serde_json::json!({"id": 7, "name": "Ada"}))); }
    /// # use tornadose_test::Harness;
    /// # tornadose_test::run(async {
    /// use serde_json::json;
    ///
    /// let response = Harness::new(Router::with_path("me").get(me)).get("/me").await;
    /// response.json_containing(json!({"name": "Ada"}));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the body is not JSON, and when it does not contain the value.
    #[track_caller]
    pub fn json_containing(&self, part: impl Serialize) -> Value {
        let (body, part) = (self.json(), json_part::value_of(&part));
        if let Some(difference) = json_part::difference(&body, &part) {
            self.client.fail(&format!("expected a body that contains {part}, got {body}\n    {difference}"));
        }
        body
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
            self.client.fail(&format!("expected {}, got the body {body}\n    {error}", type_name_of::<T>()))
        })
    }
}
