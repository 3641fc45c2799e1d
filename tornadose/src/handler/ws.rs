//! WebSocket: how a connection is upgraded. [`session`] then serves it.

pub(crate) mod session;

use bytes::BytesMut;
use hyper::upgrade::OnUpgrade;
use salvo::conn::ConnCtrl;
use salvo::http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use salvo::http::{StatusCode, StatusError};
use salvo::{Depot, Request, Response};
use tokio::time::Instant;

use crate::handler::builder::StreamHandler;
use crate::handler::connection::control::OverTask;
use crate::handler::connection::handover;
use crate::handler::connection::io::Link;
use crate::handler::connection::span::Visit;
use crate::handler::connection::wake_source::WakeSource;
use crate::handler::open::{Admitted, Answer, Opening, claim_connection};
use crate::handler::request::{self, Unfit};
use crate::handler::ws::session::Session;
use crate::subscriber::Subscriber;
use crate::wire::ws::decoder::Decoder;

impl<S: Subscriber> StreamHandler<S> {
    pub(crate) async fn serve_ws(&self, req: &mut Request, depot: &Depot, res: &mut Response) -> Result<(), Answer> {
        let accept = request::accept_key(req.headers()).map_err(|unfit| match unfit {
            Unfit::Version => upgrade_required(res, "expected `sec-websocket-version: 13`"),
            Unfit::Malformed(why) => StatusError::bad_request().brief(why).into(),
        })?;
        let checked = self.settings.origins.check(req.headers(), req.uri().authority());
        checked.map_err(|refusal| StatusError::forbidden().brief(refusal))?;
        let admitted = self.admit(req, depot).await?;
        let unavailable = |_| StatusError::service_unavailable().brief("closing, or full: come back later");
        let Opening { admitted: Admitted { subscriber, keys }, number, seats } =
            self.open(req, admitted).map_err(unavailable)?;
        let Some(upgrade) = req.extensions_mut().remove::<OnUpgrade>() else {
            return Err(StatusError::bad_request().brief("this connection cannot become a WebSocket").into());
        };
        let reader = self.reader(keys, req);
        let visit = Visit::opens("ws", number, &reader);
        let feed = self.feed(reader, visit, BytesMut::new());
        let options = &self.settings.options;
        let pace = session::Pace {
            keep_alive: options.keep_alive,
            patience: self.settings.patience(),
            until: self.settings.lasts(number).map(|age| Instant::now() + age),
        };
        let connection = claim_connection(req);
        if let Some(conn) = req.extensions().get::<ConnCtrl>() {
            conn.relax_timeouts();
        }
        let headers = res.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::try_from(accept).expect("base64 fits a header");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = request::protocol(req.headers(), &self.settings.protocols)
            && let Ok(protocol) = HeaderValue::from_str(protocol)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        res.status_code(StatusCode::SWITCHING_PROTOCOLS);

        let (reader, closing, places) = (feed.reader().handle(), feed.closing().clone(), seats.places());
        let caller = feed.reader().waker_for(WakeSource::Socket);
        let session = Box::new(Session::new(subscriber, self.store.clone(), feed, pace, seats));
        let max_message = options.max_message;
        let task = tokio::spawn(async move {
            let link = upgrade.await.map(|line| {
                let (socket, read) = handover::take_upgraded(line, connection);
                Box::new(Link::new(socket, Decoder::new(max_message), caller).has_read(read))
            });
            match link {
                Ok(link) => session.run(link).await,
                Err(error) => tracing::debug!(target: "tornadose", %error, "the client left before its upgrade"),
            }
        });
        places.reached_by(OverTask { reader, closing, task: task.abort_handle() });
        Ok(())
    }
}

pub(crate) fn upgrade_required(res: &mut Response, why: &'static str) -> Answer {
    let headers = res.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    match StatusError::from_code(StatusCode::UPGRADE_REQUIRED) {
        Some(error) => error.brief(why).into(),
        None => StatusError::bad_request().brief(why).into(),
    }
}
