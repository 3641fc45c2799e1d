use std::rc::Rc;

use tornadose::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
struct Symbol {
    name: String,
    #[serde(skip)]
    cache: Rc<str>,
}

#[store(latest)]
#[derive(Serialize)]
struct Quote {
    #[key]
    symbol: Symbol,
}

fn main() {}
