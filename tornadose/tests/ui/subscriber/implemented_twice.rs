use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks;

impl Subscriber for Ticks {
    type Message = Tick;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<tornadose::NoKey> {
        Keys::All
    }
}

fn main() {}
