use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
    text: String,
}

#[subscriber(sse, store = Tick)]
struct Ticks;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {
    let store: Store<Line> = Store::new();
    let _handler = Ticks::handler(&store);
}
