use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse)]
struct Ticks;

fn main() {
    let store: Store<Tick> = Store::new();
    let _handler = Ticks::handler(&store);
}
