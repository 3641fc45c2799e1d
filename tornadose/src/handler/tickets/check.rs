//! The check of a request's ticket, before the fields of the subscriber are read.

use salvo::http::StatusError;
use salvo::http::header::{HeaderValue, WWW_AUTHENTICATE};
use salvo::{Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::tickets::{Ticket, TicketError, Tickets};
use crate::metrics;

/// The query parameter that has the ticket.
const PARAMETER: &str = "ticket";

/// Tickets, whatever the type of their values.
pub(crate) trait CheckTicket: Send + Sync {
    /// Puts the value of the request's ticket into the request, as a [`Ticket`].
    ///
    /// # Errors
    ///
    /// 401 when the ticket is missing or invalid.
    fn check(&self, request: &mut Request, response: &mut Response) -> Result<(), StatusError>;
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> CheckTicket for Tickets<T> {
    fn check(&self, request: &mut Request, response: &mut Response) -> Result<(), StatusError> {
        let tickets = request.queries().get_vec(PARAMETER).map(Vec::as_slice).unwrap_or_default();
        let (outcome, refusal) = match tickets {
            [] => ("missing", "the query parameter `ticket` is missing".to_owned()),
            [ticket] => match self.verify(ticket, request.uri().path()) {
                Ok(value) => {
                    metrics::ticket("accepted");
                    request.extensions_mut().insert(Ticket(value));
                    return Ok(());
                }
                Err(error @ TicketError::Expired) => ("expired", error.to_string()),
                Err(error @ TicketError::Invalid) => ("invalid", error.to_string()),
            },
            [..] => ("invalid", "the query parameter `ticket` is given twice".to_owned()),
        };
        tracing::debug!(target: "tornadose", reason = outcome, "ticket refused");
        metrics::ticket(outcome);
        // RFC 9110 §11.6.1: with 401 goes what is required.
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Ticket"));
        Err(StatusError::unauthorized().brief(refusal))
    }
}
