//! Server-Sent Events: how a stream opens. [`body`] is a stream whose server has the socket, [`task`] one that is
//! detached.

pub(crate) mod frames;
pub(crate) mod detach;
pub(crate) mod body;
pub(crate) mod task;

use salvo::conn::ConnCtrl;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use salvo::http::{Method, ResBody, StatusCode, StatusError};
use salvo::{Depot, Request, Response};

use crate::handler::builder::StreamHandler;
use crate::handler::connection::control::BodyControl;
use crate::handler::connection::record::ConnectionRecord;
use crate::handler::open::{Admission, Authorized, Rejection, claim_socket};
use crate::handler::request;
use crate::handler::sse::body::SseBody;
use crate::handler::sse::detach::{Proposal, StreamHandover};
use crate::subscriber::Subscriber;

impl<S: Subscriber> StreamHandler<S> {
    pub(crate) async fn serve_sse(&self, req: &Request, depot: &Depot, res: &mut Response) -> Result<(), Rejection> {
        self.settings.origins.add_cors_headers(req.headers(), res.headers_mut());
        if !request::accepts_stream(req.headers()) {
            let error = StatusError::not_acceptable().brief("expected `accept: text/event-stream`");
            return Err(error.into());
        }
        let authorized = self.authorize(req, depot).await?;
        if self.has_seen_all(req, &authorized.keys, "sse") {
            // WHATWG HTML §9.2.3: a client that gets this status does not return.
            res.status_code(StatusCode::NO_CONTENT);
            res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
            return Ok(());
        }
        if req.method() == Method::HEAD {
            stream_head(res);
            return Ok(());
        }
        let admission = self.admit(req, authorized).map_err(|number| {
            stream_head(res);
            res.body(ResBody::Once(frames::retry_frame(self.settings.retry_after(number))));
            Rejection::RetryLater
        })?;
        let Admission { authorized: Authorized { subscriber, keys }, number, permits } = admission;
        let reader = self.reader(keys, req);
        let record = ConnectionRecord::open("sse", number, &reader);
        let mut prologue = frames::prologue(self.settings.options.retry);
        let handover = claim_socket(req, "sse").map(|handle| StreamHandover::new(prologue.split().freeze(), handle));
        let feed = self.feed(reader, record, prologue);
        let conn_ctrl = req.extensions().get::<ConnCtrl>().cloned();
        if let Some(conn_ctrl) = &conn_ctrl {
            conn_ctrl.relax_timeouts();
        }
        let control = BodyControl {
            reader: feed.reader().handle(),
            close_reason: feed.close_reason().clone(),
            conn_ctrl: conn_ctrl.clone(),
        };
        let (timeouts, retry_after) = (self.settings.timeouts(number), self.settings.retry_after(number));
        permits.registration().set_control(control);
        stream_head(res);
        let mut stream = Box::pin(SseBody::new(subscriber, feed, timeouts, retry_after, conn_ctrl, permits));
        if let Some(handover) = handover {
            res.extensions.insert(Proposal::new(&*stream, &handover));
            stream.enable_handover(handover);
        }
        res.body(ResBody::Boxed(stream));
        Ok(())
    }
}

fn stream_head(res: &mut Response) {
    res.status_code(StatusCode::OK);
    let headers = res.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
