//! One SSE connection from request to end: asks, tells a stream from an answer, records what it hears.

use http_body_util::BodyExt;
use hyper::body::Frame;

use crate::client::answer;
use crate::client::pipe::Pipe;
use crate::client::place::Place;
use crate::client::request::{self, Ask, Tasks};
use crate::client::sse::{Heard, Parser};
use crate::record::line::{Event, What};
use crate::record::seat::Ending;

pub(crate) async fn read(seat: Place, pipe: Pipe, ask: Ask, tasks: Tasks) {
    let before = answer::header(&ask.headers, "last-event-id").unwrap_or_default().to_owned();
    let Ok(response) = request::send(pipe, ask, &tasks).await else { return seat.broke_off() };
    let status = response.status().as_u16();
    let media = answer::header(response.headers(), "content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if status != 200 || media != "text/event-stream" {
        return answer::collect(&seat, response).await;
    }
    seat.head(status, response.headers());
    seat.note(What::Open { status, media, retry: None });
    seat.note_headers(response.headers());

    let mut parser = Parser::after(&before);
    let mut body = response.into_body();
    let broken = loop {
        match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => parser.feed(&bytes).into_iter().for_each(|heard| note(&seat, heard)),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    let rest = parser.rest();
    if !rest.is_empty() {
        seat.note(What::Block(rest));
    }
    seat.gone();
    if broken { seat.broke_off() } else { seat.ended(Some(What::End), Ending::End) }
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
