use std::cell::Cell;

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum RoomEvent {
    Opened,
    Said { text: String, seen: Cell<u32> },
}

fn main() {
    let store = Store::new();
    store.try_submit(RoomEvent::Opened).unwrap();
}
