use std::rc::Rc;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick {
    #[serde(skip)]
    cache: Rc<str>,
}

fn main() {}
