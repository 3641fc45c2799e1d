//! The stream of the page.

use std::sync::Arc;

use salvo::http::StatusError;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::handler::builder::StreamHandler;
use crate::inspector::report::{EVENTS_KEPT, Report};
use crate::inspector::watching::{Looking, Watched};
use crate::message::{Keys, NoKey};
use crate::subscriber::Subscriber;
use crate::subscriber::options::Options;

/// A page that is connected. Stores are sampled as long as it is there.
struct ConnectedPage {
    _looking: Looking,
}

impl Subscriber for ConnectedPage {
    type Message = Report;
    const OPTIONS: Options = Options::new().replay(EVENTS_KEPT);

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let watched = request.extensions().get::<Arc<Watched>>().ok_or_else(StatusError::internal_server_error)?;
        Ok(Self { _looking: Looking::begin(watched) })
    }

    fn keys(&self) -> Keys<NoKey> {
        Keys::All
    }
}

/// Serves the page's stream.
pub(super) struct Events {
    watched: Arc<Watched>,
    stream: StreamHandler<ConnectedPage>,
}

impl Events {
    pub(super) fn new(watched: &Arc<Watched>) -> Self {
        Self { watched: Arc::clone(watched), stream: StreamHandler::new(watched.reports()) }
    }
}

#[async_trait]
impl Handler for Events {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        req.extensions_mut().insert(Arc::clone(&self.watched));
        self.stream.handle(req, depot, res, ctrl).await;
    }
}
