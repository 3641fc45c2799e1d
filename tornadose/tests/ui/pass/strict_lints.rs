//! Lints that are off by default, in a crate that turns them on.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, missing_copy_implementations, unnameable_types)]
#![deny(unused_qualifications, unused_results, unused_lifetimes, single_use_lifetimes, redundant_lifetimes)]
#![deny(elided_lifetimes_in_paths, explicit_outlives_requirements, let_underscore_drop, unit_bindings, trivial_casts)]
#![deny(keyword_idents, absolute_paths_not_starting_with_crate, redundant_imports, variant_size_differences)]

use tornadose::prelude::*;

/// A message.
#[store(queue)]
#[derive(Debug, Serialize)]
pub struct Line {
    /// The room.
    #[key]
    pub room: String,
}

/// A connection to a room.
#[subscriber(sse, ws, store = Line, authorize = Self::allowed, filter = Self::wanted, receive = Self::received)]
#[derive(Debug)]
pub struct Feed {
    #[key]
    room: String,
    #[depot]
    user: u64,
    #[query]
    number: Option<u8>,
}

impl Feed {
    async fn allowed(&self) -> Result<(), StatusError> {
        if self.user == 0 { Err(StatusError::forbidden()) } else { Ok(()) }
    }
    fn wanted(&self, line: &Line) -> bool {
        line.room == self.room
    }
    async fn received(&mut self, text: String, _: &Store<Line>) {
        self.number = text.parse().ok();
    }
}

/// Builds the handler.
pub fn main() {
    let _handler = Feed::handler(&Store::new());
    assert_eq!(Line { room: "a".into() }.key(), LineKey { room: "a".into() });
}
