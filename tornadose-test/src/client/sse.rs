//! One SSE connection from request to end: asks, tells a stream from an answer, records what it hears.

pub(crate) mod parser;

use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::{Method, Response, StatusCode, Uri};

use crate::client::connection::Link;
use crate::client::faults::cut_scanner::Screen;
use crate::client::http::{self, Connection};
use crate::client::log::Place;
use crate::client::reconnect::After;
use crate::client::response;
use crate::client::sse::parser::{Heard, Parser};
use crate::entry::{Event, Severed, What};
use crate::journal::client_state::Ending;

/// So often a browser lets itself be sent elsewhere.
const MOVES: usize = 20;

/// Lives through one connection, and tells whether an `EventSource` would come back.
pub(crate) async fn read(link: &Link) -> After {
    let seat = &link.seat;
    let Some((connection, response)) = ask(link).await else { return After::Return };
    let status = response.status().as_u16();
    let media = response::header(response.headers(), "content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if status != 200 || media != "text/event-stream" {
        response::collect(seat, response).await;
        return After::Stay;
    }
    seat.head(status, response.headers());
    seat.note(What::Open { status, media, retry: None });
    seat.note_headers(response.headers());

    let mut parser = Parser::after(&seat.last_event_id().unwrap_or_default());
    let end = listen(response.into_body(), &mut parser, Screen::of_sse(&link.cuts), seat).await;
    let rest = parser.rest();
    if !rest.is_empty() {
        seat.note(What::Block(rest));
    }
    // The connection ends before its end is known.
    drop(connection);
    match end {
        End::Whole => {
            seat.gone();
            seat.ended(Some(What::End), Ending::End);
        }
        End::Broken => seat.broke_off(),
        End::Cut(severed) => seat.severed(severed),
    }
    After::Return
}

/// Asks, as often as it is sent elsewhere. Without an answer it says so in the record.
async fn ask(link: &Link) -> Option<(Connection, Response<Incoming>)> {
    let mut ask = link.ask.clone();
    for _ in 0..MOVES {
        let connection = Connection::default();
        let Ok(response) = http::send(link.dial()?, ask.clone(), &connection.0).await else {
            link.seat.broke_off();
            return None;
        };
        let Some(target) = moved(&response) else { return Some((connection, response)) };
        let status = response.status();
        link.seat.note(What::Moved { status: status.as_u16(), target: target.clone() });
        ask.target = target;
        let rewritten = status == StatusCode::SEE_OTHER || (status.as_u16() <= 302 && ask.method == Method::POST);
        if rewritten {
            (ask.method, ask.body) = (Method::GET, Vec::new());
        }
        link.seat.record.note_unasked(link.seat.number, ask.line());
    }
    link.seat
        .ended(Some(What::Violation("it is sent from one place to the next, and to no stream".into())), Ending::Abort);
    None
}

/// Where a client is sent on this server.
fn moved(response: &Response<Incoming>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location: Uri = response::header(response.headers(), "location")?.parse().ok()?;
    let path = location.path_and_query()?.to_string();
    path.starts_with('/').then_some(path)
}

enum End {
    Whole,
    Broken,
    Cut(Severed),
}

async fn listen(mut body: Incoming, parser: &mut Parser, mut screen: Screen, seat: &Place) -> End {
    let mut bytes = bytes::Bytes::new();
    loop {
        let (through, severed) = screen.pass(&bytes);
        parser.feed(&through).into_iter().for_each(|heard| note(seat, heard));
        if let Some(severed) = severed {
            return End::Cut(severed);
        }
        bytes = match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => bytes,
            Some(Ok(Err(_trailers))) => bytes::Bytes::new(),
            Some(Err(_)) => return End::Broken,
            None => return End::Whole,
        };
    }
}

fn note(seat: &Place, heard: Heard) {
    seat.note(match heard {
        Heard::Event { name, id, data, .. } => What::Event(Event::new(name, id, data)),
        Heard::Position(id) => What::Position(id),
        Heard::Retry(retry) => What::Retry(retry),
        Heard::Comment(text) => What::Comment { text, opening: false },
        Heard::Block(block) => What::Block(block),
    });
}
