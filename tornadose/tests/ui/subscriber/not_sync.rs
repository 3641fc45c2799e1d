use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, filter = Self::wanted)]
struct Ticks {
    #[query]
    name: Rc<str>,
    #[depot]
    names: Rc<Vec<String>>,
    #[query]
    count: RefCell<u8>,
    #[depot]
    first: Vec<Cell<u8>>,
    #[depot]
    call: Box<dyn Fn()>,
}

impl Ticks {
    fn wanted(&self, _: &Tick) -> bool {
        true
    }
}

fn main() {
    let _router = Router::new().get(Ticks::handler(&Store::new()));
}
