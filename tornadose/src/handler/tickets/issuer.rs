//! The handler that issues tickets.

use salvo::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use salvo::http::{Method, ResBody, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::tickets::Tickets;
use crate::metrics;

/// The greatest length of a path, in bytes.
const PATH_MAX: usize = 2048;

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Tickets<T> {
    /// Returns the handler that issues tickets, for `POST` requests.
    ///
    /// The body of the request is the path for which the ticket is to be good, such as `/inbox`. The body of the response
    /// is the ticket. Its value is the `T` that a middleware has put into the depot, by `depot.insert_typed(…)`; without one
    /// the response is 401.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # use tornadose::Tickets;
    /// # #[handler]
    /// # async fn login(depot: &mut Depot) { depot.insert_typed(7_u64); }
    /// # let tickets = Tickets::<u64>::new(["a secret of 32 bytes, or of more"]).unwrap();
    /// let router = Router::with_path("ticket").hoop(login).post(tickets.issue());
    /// # drop(router);
    /// ```
    pub fn issue(&self) -> impl Handler + use<T> {
        Issuer { tickets: self.clone() }
    }
}

struct Issuer<T> {
    tickets: Tickets<T>,
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Issuer<T> {
    async fn issue(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<String, StatusError> {
        if *req.method() != Method::POST {
            res.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(StatusError::method_not_allowed().brief("ask for a ticket with POST"));
        }
        let Ok(value) = depot.get_typed::<T>() else {
            return Err(StatusError::unauthorized().brief("nobody is logged in"));
        };
        let no_path = || StatusError::bad_request().brief("the body is not a path such as `/inbox`");
        let body = req.payload_with_max_size(PATH_MAX).await.map_err(|_| no_path())?;
        let path = std::str::from_utf8(body).ok().filter(|path| path.starts_with('/') && !path.contains(['?', '#']));
        self.tickets.sign(value, path.ok_or_else(no_path)?).map_err(|error| {
            tracing::error!(target: "tornadose", %error, "ticket not signed");
            StatusError::internal_server_error().brief("the ticket cannot be signed")
        })
    }
}

#[async_trait]
impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Handler for Issuer<T> {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let issued = self.issue(req, depot, res).await;
        // A cache would give one user the ticket of another.
        res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match issued {
            Ok(ticket) => {
                metrics::ticket("issued");
                res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                res.body(ResBody::Once(ticket.into()));
            }
            Err(error) => {
                res.render(error);
            }
        }
    }
}
