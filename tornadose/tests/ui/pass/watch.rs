//! Keys that a client watches, with and without a hook, and by keys that were written by hand.

use std::fmt;

use tornadose::prelude::*;
use tornadose::{EncodeError, Event, Retention};

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    run: u64,
    #[key]
    host: String,
    text: String,
}

/// Its error is a type of its own.
#[subscriber(ws, store = Line, watch = Self::may_watch)]
struct Chosen {
    #[param]
    host: String,
    #[state]
    count: usize,
}

struct OtherHost;

impl fmt::Display for OtherHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another host")
    }
}

impl Chosen {
    async fn may_watch(&mut self, key: &LineKey, _: &Store<Line>) -> Result<(), OtherHost> {
        self.count += 1;
        if key.host == self.host && key.run > 0 { Ok(()) } else { Err(OtherHost) }
    }
}

/// Its hook has the name of the method, and takes `&self`.
#[subscriber(sse, ws, store = Line, watch = Self::watch, authorize = public, max_keys = 16)]
struct Listed {
    #[keys(run)]
    #[query]
    runs: Option<Vec<u64>>,
    #[key]
    host: String,
}

impl Listed {
    async fn watch(&self, _: &LineKey, _: &Store<Line>) -> Result<(), &'static str> {
        if self.runs.is_some() { Ok(()) } else { Err("no list") }
    }
}

#[subscriber(ws, store = Line, watch = public)]
struct Public;

/// A message whose key no client can send, and no subscriber watches.
#[store(latest)]
#[derive(Serialize)]
struct Borrowed {
    #[key]
    name: &'static str,
    #[key]
    more: Option<&'static str>,
}

#[subscriber(sse, store = Borrowed, all_keys)]
struct AllBorrowed;

struct Fragment;

impl Message for Fragment {
    type Key = u8;
    const CHANNEL: &'static str = "fragments";

    fn key(&self) -> u8 {
        7
    }
    fn retention(&self) -> Retention {
        Retention::Latest
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("<b>"))
    }
}

#[subscriber(ws, store = Fragment, watch = public)]
struct Fragments;

pub fn main() {
    let lines = Store::new();
    let _ = (Chosen::handler(&lines), Listed::handler(&lines).max_keys(3), Public::handler(&lines));
    let _ = (AllBorrowed::handler(&Store::new()), Fragments::handler(&Store::new()));
    let line = Line { run: 1, host: String::new(), text: String::new() };
    let borrowed = Borrowed { name: "", more: None };
    assert!(line.text.is_empty() && borrowed.name.is_empty() && borrowed.more.is_none());
}
