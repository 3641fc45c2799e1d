//! The messages of one key as they come, shown to one page.
//!
//! # Ordering
//!
//! The page gets the `latest` values of the key and then its messages, in the order of the log.
//!
//! # Lagging
//!
//! At most 50 messages are shown in half a second. The others are counted, and are not copied.
//!
//! # Closing
//!
//! The stream ends when its key is finished or disconnected, and when the store is closed.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use salvo::http::StatusError;
use salvo::http::header::{ACCEPT, HeaderValue};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use serde::Serialize;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::builder::StreamHandler;
use crate::id::Id;
use crate::inspector::inspected::{Tail, TailItem};
use crate::inspector::watching::Watched;
use crate::message::{Finish, Keys, Message, NoKey, Retention};
use crate::store::Store;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Options;
use crate::task;

/// How many messages are shown in each window.
const SHOWN_MAX: usize = 50;
const WINDOW: Duration = Duration::from_millis(500);

/// A line of the page about a key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum TailReport {
    Line {
        id: Id,
        name: Option<String>,
        data: String,
        bytes: usize,
    },
    /// So many messages are not shown.
    Passed {
        messages: u64,
    },
    Expired {
        id: Id,
    },
    Gap {
        reason: &'static str,
        missed: Option<u64>,
    },
    /// From now on nothing is missed.
    Begun,
    /// The store does not know the key.
    Unknown,
    /// Nothing more comes.
    Ended,
}

impl Message for TailReport {
    type Key = NoKey;
    const HAS_LATEST: bool = false;
    const CAN_FINISH: bool = true;
    const CAPACITY: usize = 4 * SHOWN_MAX;
    const CHANNEL: &'static str = "tornadose-inspector-tail";

    fn key(&self) -> NoKey {
        NoKey
    }

    fn retention(&self) -> Retention {
        Retention::Queue
    }

    fn finishes(&self) -> bool {
        matches!(self, Self::Unknown | Self::Ended)
    }

    fn event(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }
}

impl Finish for TailReport {}

/// The task that reads a key for a page. It ends with the page.
struct Reading(AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A page that is shown a key.
struct TailPage {
    _reading: Arc<Reading>,
}

impl Subscriber for TailPage {
    type Message = TailReport;
    const OPTIONS: Options = Options::new().replay(usize::MAX);

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let reading = request.extensions().get::<Arc<Reading>>().ok_or_else(StatusError::internal_server_error)?;
        Ok(Self { _reading: Arc::clone(reading) })
    }

    fn keys(&self) -> Keys<NoKey> {
        Keys::All
    }
}

/// Serves the messages of the key in the query, as JSON.
pub(super) struct Tails {
    watched: Arc<Watched>,
}

impl Tails {
    pub(super) fn new(watched: &Arc<Watched>) -> Self {
        Self { watched: Arc::clone(watched) }
    }

    async fn lines(&self, request: &Request) -> Result<(Store<TailReport>, Reading), StatusError> {
        let store = request.param("store").and_then(|index| self.watched.store(index));
        let store = store.ok_or_else(|| {
            StatusError::not_found().brief("unknown store: its number is that in the page's list, from 0")
        })?;
        let key: Option<Value> = request.query::<String>("key").and_then(|key| serde_json::from_str(&key).ok());
        let expected = "query parameter `key`: expected the JSON of a key";
        let key = key.ok_or_else(|| StatusError::bad_request().brief(expected))?;
        let lines = Store::new();
        let (store, to) = (Arc::clone(store), lines.clone());
        let reading = task::spawn(Box::pin(async move {
            let last = match store.tail(&key).await {
                Some(tail) => {
                    show(&to, TailReport::Begun);
                    copy(tail, &to).await;
                    TailReport::Ended
                }
                None => TailReport::Unknown,
            };
            show(&to, last);
        }));
        Ok((lines, Reading(reading.abort_handle())))
    }
}

#[async_trait]
impl Handler for Tails {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        match self.lines(req).await {
            Ok((lines, reading)) => {
                req.extensions_mut().insert(Arc::new(reading));
                StreamHandler::<TailPage>::new(&lines).handle(req, depot, res, ctrl).await;
                req.extensions_mut().remove::<Arc<Reading>>();
            }
            Err(error) => {
                req.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
                res.render(error);
            }
        }
    }
}

/// Copies the messages of a key until it ends.
async fn copy(mut tail: Box<dyn Tail>, lines: &Store<TailReport>) {
    let (mut window_ends, mut shown, mut passed) = (Instant::now() + WINDOW, 0, 0);
    loop {
        // A key with very many messages does not keep other tasks from running.
        tokio::task::coop::consume_budget().await;
        if Instant::now() >= window_ends {
            if passed > 0 {
                show(lines, TailReport::Passed { messages: std::mem::take(&mut passed) });
            }
            (window_ends, shown) = (Instant::now() + WINDOW, 0);
        }
        let is_shown = shown < SHOWN_MAX;
        let next = poll_fn(|cx| tail.poll_next(is_shown, cx));
        let item = if passed > 0 {
            tokio::select! {
                biased;
                item = next => item,
                () = sleep_until(window_ends) => continue,
            }
        } else {
            next.await
        };
        let Some(item) = item else { break };
        match item {
            TailItem::Passed => passed += 1,
            TailItem::Message { id, name, data, bytes } => {
                shown += 1;
                show(lines, TailReport::Line { id, name, data, bytes });
            }
            TailItem::Expired { id } => show(lines, TailReport::Expired { id }),
            TailItem::Gap { reason, missed } => show(lines, TailReport::Gap { reason: reason.name(), missed }),
        }
    }
    if passed > 0 {
        show(lines, TailReport::Passed { messages: passed });
    }
}

/// Shows a line. It is of a few kilobytes, and the store is closed to nobody, so it is always kept.
fn show(lines: &Store<TailReport>, line: TailReport) {
    lines.try_submit(line).ok();
}
