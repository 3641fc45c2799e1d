use tornadose::prelude::*;
use tornadose::{EncodeError, Event, Retention};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Symbol(String);

struct Quote(Symbol);

impl Message for Quote {
    type Key = Symbol;
    const CHANNEL: &'static str = "quotes";

    fn key(&self) -> Symbol {
        self.0.clone()
    }
    fn retention(&self) -> Retention {
        Retention::Latest
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("x"))
    }
}

fn main() {}
