use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, stor = Tick, keepalive = "1s", replay = 0, origins = ["App"], receive = Self::received)]
struct Ticks<'a> {
    #[key("r")]
    room: String,
    user: &'a str,
}

fn main() {}
