use tornadose::prelude::*;

mod hooks {
    pub struct Hooks;
}

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(ws, store = Tick, receive = hooks::Hooks::received)]
struct Ticks;

fn main() {}
