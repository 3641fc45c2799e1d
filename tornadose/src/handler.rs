//! Connections over Server-Sent Events and WebSocket. This file routes a request to its transport, [`open`] admits
//! it, and a [`Feed`](feed::Feed) writes its messages.
//!
//! # Ordering
//!
//! A reader opens after the subscriber was authorized, and before the response head is sent. The client gets every
//! message from then on.
//!
//! # Lagging
//!
//! A connection is a cursor in the log. One that is too slow gets a gap with what it missed, see [`feed`].
//!
//! # Closing
//!
//! A connection is closed by its client, its store, its server, its maximum age or a timeout. One that does not close
//! in time is aborted.

mod request;
pub(crate) mod origin;
pub(crate) mod tickets;
pub(crate) mod extract;
mod settings;
pub(crate) mod builder;
pub(crate) mod connection;
mod feed;
mod endpoint;
mod open;
mod served;
mod lifecycle;
mod load;
mod watch;
pub(crate) mod sse;
mod ws;

use salvo::http::header::{ACCEPT, ALLOW, HeaderValue};
use salvo::http::{Method, StatusCode, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::handler::builder::StreamHandler;
use crate::handler::endpoint::Endpoint;
use crate::handler::open::Rejection;
use crate::handler::ws::{reject_broken_handshake, upgrade_required};
use crate::message::Message;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Transports;

impl<S: Subscriber> StreamHandler<S> {
    async fn serve(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Rejection> {
        let Self { endpoint, .. } = self;
        let route = endpoint.route(req, res)?;
        if let Some(tickets) = endpoint.tickets.as_ref().filter(|_| !matches!(route, Route::Answered)) {
            tickets.check(req, res)?;
        }
        match route {
            Route::Answered => Ok(()),
            Route::Ws { accept } => {
                let authorized = self.authorize(req, depot).await?;
                endpoint.serve_ws(accept, authorized, req, res).await
            }
            Route::Sse => {
                let authorized = self.authorize(req, depot).await?;
                endpoint.serve_sse(authorized, req, res).await
            }
        }
    }
}

/// How a request is served.
enum Route {
    /// The response is complete.
    Answered,
    Ws {
        /// The value of `sec-websocket-accept`.
        accept: String,
    },
    Sse,
}

impl<M: Message> Endpoint<M> {
    fn route(&self, req: &Request, res: &mut Response) -> Result<Route, Rejection> {
        let origins = &self.settings.origins;
        if *req.method() == Method::OPTIONS && origins.has_cors() {
            origins
                .check(req.headers(), req.uri().authority())
                .map_err(|refusal| StatusError::forbidden().brief(refusal.brief))?;
            origins.add_preflight_headers(req.headers(), res.headers_mut());
            res.status_code(StatusCode::NO_CONTENT);
            return Ok(Route::Answered);
        }
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            res.headers_mut().insert(ALLOW, origins.allowed_methods());
            return Err(StatusError::method_not_allowed().brief("a stream is read with GET").into());
        }
        let transports = self.settings.options.transports;
        if transports != Transports::Sse {
            match request::wants_upgrade(req) {
                Ok(true) => return Ok(Route::Ws { accept: self.check_handshake(req, res)? }),
                Ok(false) => {}
                Err(broken) => return Err(reject_broken_handshake(res, broken)),
            }
        }
        if transports == Transports::Ws {
            return Err(upgrade_required(res, "this stream is a WebSocket: connect with `ws:` or `wss:`"));
        }
        self.check_stream_request(req, res)?;
        Ok(Route::Sse)
    }
}

#[async_trait]
impl<S: Subscriber> Handler for StreamHandler<S> {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Err(Rejection::Error(error)) = self.serve(req, depot, res).await {
            // A page does not show it, and a person at a terminal reads plain text. A `Catcher` may still replace it.
            req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
            res.render(error);
        }
        ctrl.skip_rest();
    }
}
