//! An SSE stream, read as the browser's `EventSource` reads it: bytes in, happenings out. No connection in here.

mod parser;
pub(crate) mod stream;

pub(crate) use parser::Parser;

/// What the bytes of a stream say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An event: `id` is the field of its own block; `last_event_id` is what a page would see.
    Event {
        name: Option<String>,
        id: Option<String>,
        last_event_id: String,
        data: String,
    },
    /// A block that carried an id and no event.
    Position(String),
    Retry(u64),
    Comment(String),
    /// The bytes of a block, its blank line included.
    Block(Vec<u8>),
}
