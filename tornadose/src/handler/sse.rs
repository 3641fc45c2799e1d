//! Server-Sent Events: how a stream opens. [`body`] is a stream whose server has the socket, [`task`] one that is
//! detached.

pub(crate) mod frames;
pub(crate) mod detach;
pub(crate) mod body;
pub(crate) mod task;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use salvo::conn::ConnCtrl;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use salvo::http::{Method, ResBody, StatusCode, StatusError};
use salvo::{Request, Response};

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::control::BodyControl;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::connection::registry::Permits;
use crate::handler::endpoint::Endpoint;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Sse;
use crate::handler::lifecycle::HookName;
use crate::handler::lifecycle::opening::{AfterOpened, HeldPermits, OpenedError, Opening};
use crate::handler::load::loading::Loading;
use crate::handler::open::{Admission, Authorized, Rejection, claim_socket};
use crate::handler::request;
use crate::handler::served::Served;
use crate::handler::sse::body::SseBody;
use crate::handler::sse::detach::{Proposal, StreamHandover};
use crate::message::Keys;
use crate::message::Message;
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::close::{Close, CloseCode};

impl<M: Message> Endpoint<M> {
    /// Checks what a stream takes of its request, before it is authorized.
    pub(crate) fn check_stream_request(&self, req: &Request, res: &mut Response) -> Result<(), StatusError> {
        self.settings.origins.add_cors_headers(req.headers(), res.headers_mut());
        if request::accepts_stream(req.headers()) {
            return Ok(());
        }
        Err(StatusError::not_acceptable().brief("expected `accept: text/event-stream`"))
    }

    pub(crate) async fn serve_sse(
        &self,
        authorized: Authorized<M>,
        req: &Request,
        res: &mut Response,
    ) -> Result<(), Rejection> {
        if self.kind.watches() && matches!(&authorized.keys, Keys::Set(keys) if keys.is_empty()) {
            let brief = "expected at least one key: only the client of a WebSocket can watch others";
            return Err(StatusError::bad_request().brief(brief).into());
        }
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
        let admission = self.admit(req, authorized).map_err(|number| self.retry_later(number, res))?;
        match self.start(admission, req, res) {
            Some(opening) => opening.await,
            None => Ok(()),
        }
    }

    /// Starts the stream of an admitted connection, or returns what starts it after the hook `opened`.
    ///
    /// It is not async, so that a connection without hooks has no future.
    fn start<'a>(
        &'a self,
        admission: Admission<M>,
        req: &'a Request,
        res: &'a mut Response,
    ) -> Option<BoxFuture<'a, Result<(), Rejection>>> {
        let Admission { authorized: Authorized { subscriber, keys }, number, permits, hook_permits } = admission;
        let reader = self.reader(ReaderKind::Sse, keys, req);
        let record = ConnectionRecord::open(Transport::Sse, number, &reader);
        let feed = self.feed(reader, record);
        let hooks = self.hooks;
        if self.kind.loads() || hooks.has_opened || hooks.has_closed {
            let held = HeldPermits::new(permits, hook_permits);
            let opening = Opening { subscriber, hooks, store: self.store.clone(), transport: "sse", number, held };
            return Some(Box::pin(self.open_with_hooks(opening, feed, req, res)));
        }
        let subscriber = CatchDrop::new(subscriber.into_inner() as Box<dyn Served<M>>);
        self.start_stream(StreamParts { subscriber, feed, permits, number }, req, res);
        None
    }

    /// Runs the hooks `load` and `opened`, and then starts the stream.
    async fn open_with_hooks(
        &self,
        opening: Opening<M>,
        mut feed: Feed<M>,
        req: &Request,
        res: &mut Response,
    ) -> Result<(), Rejection> {
        let number = opening.number;
        opening.registration(feed.reader().handle()).set_control(body_control(&feed, req));
        let name = HookName { hook: "load", transport: "sse", number };
        let loads = if self.kind.loads() {
            let loading = Box::pin(self.load_first::<Sse>(&mut feed, &*opening.subscriber, name));
            match loading.await {
                Ok(loads) => Some(loads),
                Err(error) => {
                    feed.close_reason().set(error.close_reason(), None);
                    return Err(error.into_rejection(|| self.retry_later(number, res)));
                }
            }
        } else {
            None
        };
        let AfterOpened { outcome, permits } = opening.complete().await;
        let error = match (outcome, permits) {
            (Ok(subscriber), Some(permits)) => {
                feed.reader().mark_active();
                let subscriber = match loads {
                    Some(loads) => {
                        let (store, turns) = (self.store.clone(), Arc::clone(&self.load_turns));
                        let loading = Loading::new(subscriber, loads, store, turns, name);
                        CatchDrop::new(Box::new(loading) as Box<dyn Served<M>>)
                    }
                    None => subscriber,
                };
                self.start_stream(StreamParts { subscriber, feed, permits, number }, req, res);
                return Ok(());
            }
            // The connection is aborted, and the subscriber's `closed` hook follows.
            (Ok(_), None) => return Err(self.retry_later(number, res)),
            (Err(error), _) => error,
        };
        feed.close_reason().set(error.close_reason(), None);
        Err(match error {
            OpenedError::Panicked => StatusError::internal_server_error().into(),
            OpenedError::Refused(Close { code, reason }) if !is_temporary(code) => {
                StatusError::forbidden().brief(reason).into()
            }
            OpenedError::Refused(_) | OpenedError::TimedOut => self.retry_later(number, res),
        })
    }

    /// Completes a response after which the client retries: any status but 200 would stop an `EventSource` for good.
    fn retry_later(&self, number: u64, res: &mut Response) -> Rejection {
        stream_head(res);
        res.body(ResBody::Once(frames::retry_frame(self.settings.retry_after(number))));
        Rejection::RetryLater
    }

    fn start_stream(&self, parts: StreamParts<M>, req: &Request, res: &mut Response) {
        let StreamParts { subscriber, mut feed, permits, number } = parts;
        let mut prologue = frames::prologue(self.settings.options.retry);
        let handover = claim_socket(req, "sse").map(|handle| StreamHandover::new(prologue.split().freeze(), handle));
        if !prologue.is_empty() {
            feed.begin_with(prologue);
        }
        let control = body_control(&feed, req);
        let conn_ctrl = control.conn_ctrl.clone();
        if let Some(conn_ctrl) = &conn_ctrl {
            conn_ctrl.relax_timeouts();
        }
        let (timeouts, retry_after) = (self.settings.timeouts(number), self.settings.retry_after(number));
        permits.registration().set_control(control);
        stream_head(res);
        let mut stream = Box::pin(SseBody::new(subscriber, feed, timeouts, retry_after, conn_ctrl, permits));
        if let Some(handover) = handover {
            res.extensions.insert(Proposal::new(&*stream, &handover));
            stream.enable_handover(handover);
        }
        res.body(ResBody::Boxed(stream));
    }
}

/// What a stream starts with.
struct StreamParts<M: Message> {
    subscriber: CatchDrop<dyn Served<M>>,
    feed: Feed<M>,
    permits: Permits,
    number: u64,
}

fn body_control<M: Message>(feed: &Feed<M>, req: &Request) -> BodyControl<M> {
    BodyControl {
        reader: feed.reader().handle(),
        close_reason: feed.close_reason().clone(),
        conn_ctrl: req.extensions().get::<ConnCtrl>().cloned(),
    }
}

/// Whether a client that was refused with this code is to return.
fn is_temporary(code: CloseCode) -> bool {
    matches!(code, CloseCode::RESTART | CloseCode::TRY_AGAIN_LATER)
}

fn stream_head(res: &mut Response) {
    res.status_code(StatusCode::OK);
    let headers = res.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
