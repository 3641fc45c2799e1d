//! From a request to a live connection: who may open it, over which transport, from where. What it then sends is `feed`'s affair.
//!
//! # Ordering
//!
//! The fields are read, the subscriber is asked (`authorize`), and only then it takes its place in the log, with everything
//! that follows; the head is sent after that.
//!
//! # Lagging
//!
//! A connection is a place in the log; see `feed`.
//!
//! # Closing
//!
//! A connection ends by its client, its store, its server, its age or its own silence. What was told to end and does not
//! is aborted after a while.

mod request;
mod origin;
pub(crate) mod extract;
pub(crate) mod builder;
pub(crate) mod connection;
mod feed;
mod open;
mod sse;
mod ws;

use salvo::http::header::{ACCEPT, ALLOW, HeaderValue};
use salvo::http::{Method, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::handler::builder::StreamHandler;
use crate::handler::open::Answer;
use crate::handler::ws::upgrade_required;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Transports;

impl<S: Subscriber> StreamHandler<S> {
    async fn serve(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            res.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Err(StatusError::method_not_allowed().brief("a stream is read with GET").into());
        }
        let transports = self.settings.options.transports;
        if transports != Transports::Sse && request::wants_upgrade(req) {
            return self.serve_ws(req, depot, res).await;
        }
        if transports == Transports::Ws {
            return Err(upgrade_required(res, "this stream is a WebSocket: connect with `ws:` or `wss:`"));
        }
        self.serve_sse(req, depot, res).await
    }
}

#[async_trait]
impl<S: Subscriber> Handler for StreamHandler<S> {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Err(Answer::Error(error)) = self.serve(req, depot, res).await {
            // A page reads none of it; a person at a terminal reads plain text. A Catcher may still say it its own way.
            req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
            res.render(error);
        }
        ctrl.skip_rest();
    }
}
