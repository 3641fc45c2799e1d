use std::rc::Rc;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, replay = 0)]
struct Ticks {
    #[depot]
    name: Rc<str>,
}

fn main() {}
