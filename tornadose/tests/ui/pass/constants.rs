//! Numbers that are constants of the program, and words that come before a path.

#![deny(warnings)]

use tornadose::prelude::*;
use tornadose::subscriber::{Options, Transports};

mod limits {
    pub const KEPT: usize = 50;
}

const CONNECTIONS: usize = 1000;

#[store(queue, capacity = limits::KEPT)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, store = Line, replay = Self::SHOWN, max_connections = CONNECTIONS)]
struct Lines;

impl Lines {
    const SHOWN: usize = limits::KEPT / 2;
}

#[expect(non_upper_case_globals, dead_code, reason = "the word is not this constant")]
const all: usize = 1;

#[subscriber(sse, store = Line, replay = all)]
struct Archive;

pub fn main() {
    assert_eq!(Line::CAPACITY, 50);
    let options = Options::new().transports(Transports::Sse);
    assert_eq!(Lines::OPTIONS, options.replay(25).max_connections(1000));
    assert_eq!(Archive::OPTIONS, options.replay(usize::MAX));
    drop((Lines::handler(&Store::new()), Archive::handler(&Store::new())));
}
