//! One SSE connection, from request to end: it follows redirects, tells a stream from any other response, and records
//! what it receives.

pub(crate) mod parser;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::{Method, Response, StatusCode, Uri};

use crate::client::connection::{AfterLoss, Dial};
use crate::client::faults::cut_scanner::CutScanner;
use crate::client::http::{self, ConnectionTasks};
use crate::client::log::ClientLog;
use crate::client::sse::parser::{Parser, SseItem};
use crate::entry::{CutPoint, Event, Happening};
use crate::journal::client_state::Ending;

/// The number of redirects after which a browser gives up.
const REDIRECTS_MAX: usize = 20;

/// Runs one connection, and returns whether an `EventSource` would reconnect.
pub(crate) async fn run(dial: &Dial) -> AfterLoss {
    let log = &dial.log;
    let Some((tasks, response)) = request(dial).await else { return AfterLoss::Reconnect };
    let status = response.status().as_u16();
    let media = http::header(response.headers(), "content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if status != 200 || media != "text/event-stream" {
        http::record_response(log, response).await;
        return AfterLoss::Stop;
    }
    log.set_head(status, response.headers());
    log.record(Happening::Open { status, media, retry: None });
    log.record_headers(response.headers());

    let mut parser = Parser::resuming_after(&log.last_event_id().unwrap_or_default());
    let end = read(response.into_body(), &mut parser, CutScanner::for_sse(&dial.cuts), log).await;
    let remainder = parser.take_remainder();
    if !remainder.is_empty() {
        log.record(Happening::Block(remainder));
    }
    // Close the connection before the end is recorded: the test may react to the end at once.
    drop(tasks);
    match end {
        End::Complete => {
            log.mark_disconnected();
            log.record_end(Some(Happening::End), Ending::End);
        }
        End::Aborted => log.record_abort(),
        End::Cut(point) => log.record_cut(point),
    }
    AfterLoss::Reconnect
}

/// Sends the request, and follows redirects. When no response arrives, records that and returns `None`.
async fn request(dial: &Dial) -> Option<(ConnectionTasks, Response<Incoming>)> {
    let log = &dial.log;
    let mut request = dial.request.clone();
    for _ in 0..REDIRECTS_MAX {
        let tasks = ConnectionTasks::default();
        let Ok(response) = http::send(dial.connect()?, request.clone(), &tasks).await else {
            log.record_abort();
            return None;
        };
        let Some(target) = redirect_target(&response) else { return Some((tasks, response)) };
        let status = response.status();
        log.record(Happening::Redirect { status: status.as_u16(), target: target.clone() });
        request.target = target;
        let becomes_get = status == StatusCode::SEE_OTHER || (status.as_u16() <= 302 && request.method == Method::POST);
        if becomes_get {
            (request.method, request.body) = (Method::GET, Vec::new());
        }
        log.record_automatic(request.happening());
    }
    let violation = format!("{REDIRECTS_MAX} redirects, and none to a stream");
    log.record_end(Some(Happening::Violation(violation)), Ending::Abort);
    None
}

/// Returns the target of a redirect to this server.
fn redirect_target(response: &Response<Incoming>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location: Uri = http::header(response.headers(), "location")?.parse().ok()?;
    let path = location.path_and_query()?.to_string();
    path.starts_with('/').then_some(path)
}

enum End {
    Complete,
    Aborted,
    Cut(CutPoint),
}

async fn read(mut body: Incoming, parser: &mut Parser, mut scanner: CutScanner, log: &ClientLog) -> End {
    let mut bytes = Bytes::new();
    loop {
        let (passed, cut) = scanner.pass(&bytes);
        parser.feed(&passed).into_iter().for_each(|item| log.record(happening(item)));
        if let Some(point) = cut {
            return End::Cut(point);
        }
        bytes = match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => bytes,
            Some(Ok(Err(_trailers))) => Bytes::new(),
            Some(Err(_)) => return End::Aborted,
            None => return End::Complete,
        };
    }
}

fn happening(item: SseItem) -> Happening {
    match item {
        SseItem::Event { name, id, data, .. } => Happening::Event(Event::new(name, id, data)),
        SseItem::Position(id) => Happening::Position(id),
        SseItem::Retry(retry) => Happening::Retry(retry),
        SseItem::Comment(text) => Happening::Comment { text, opening: false },
        SseItem::Block(block) => Happening::Block(block),
    }
}
