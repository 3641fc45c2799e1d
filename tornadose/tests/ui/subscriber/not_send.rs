use std::rc::Rc;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[derive(Clone)]
struct User(Rc<str>);

#[subscriber(sse, store = Tick)]
struct Ticks {
    #[depot]
    user: User,
}

fn main() {}
