//! Server-Sent Events: how a stream opens. [`body`] writes it as long as its server has the socket, [`task`] once it owns the socket.

pub(crate) mod frames;
pub(crate) mod body;
pub(crate) mod task;

use salvo::conn::ConnCtrl;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use salvo::http::{Method, ResBody, StatusCode, StatusError};
use salvo::{Depot, Request, Response};
use tokio::time::Instant;

use crate::handler::builder::StreamHandler;
use crate::handler::connection::control::OverServer;
use crate::handler::connection::handover::{Proposal, StreamHandover};
use crate::handler::connection::span::Visit;
use crate::handler::open::{Admitted, Answer, Opening, claim_connection};
use crate::handler::request;
use crate::handler::sse::body::Stream;
use crate::subscriber::Subscriber;

impl<S: Subscriber> StreamHandler<S> {
    pub(crate) async fn serve_sse(&self, req: &Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        self.settings.origins.allow(req.headers(), res.headers_mut());
        if !request::accepts_stream(req.headers()) {
            let error = StatusError::not_acceptable().brief("this is a stream of `text/event-stream`");
            return Err(error.into());
        }
        let admitted = self.admit(req, depot).await?;
        if req.method() == Method::HEAD {
            stream_head(res);
            return Ok(());
        }
        let opening = self.open(req, admitted).map_err(|number| {
            stream_head(res);
            res.body(ResBody::Once(frames::come_back(self.settings.return_after(number))));
            Answer::Later
        })?;
        let Opening { admitted: Admitted { subscriber, keys }, number, seats } = opening;
        let reader = self.reader(keys, req);
        let visit = Visit::opens("sse", number, &reader);
        let mut prologue = frames::prologue(self.settings.options.retry);
        let connection = claim_connection(req);
        let handover = connection.map(|connection| StreamHandover::new(prologue.split().freeze(), connection));
        let feed = self.feed(reader, visit, prologue);
        let conn = req.extensions().get::<ConnCtrl>().cloned();
        if let Some(conn) = &conn {
            conn.relax_timeouts();
        }
        let reach = OverServer { reader: feed.reader().handle(), closing: feed.closing().clone(), conn: conn.clone() };
        let pace = frames::Pace {
            keep_alive: self.settings.options.keep_alive,
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
            return_after: self.settings.return_after(number),
            patience: self.settings.patience(),
        };
        seats.places().reached_by(reach);
        stream_head(res);
        let mut stream = Box::pin(Stream::new(subscriber, feed, pace, conn, seats));
        if let Some(handover) = handover {
            res.extensions.insert(Proposal::new(&*stream, &handover));
            stream.may_take_over(handover);
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
