use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

fn main() {
    let store = Store::<Tick>::new();
    let _ = store.latest_in(&tornadose::NoKey, &());
}
