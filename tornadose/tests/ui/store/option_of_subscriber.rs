use tornadose::prelude::*;

#[store(queue, replay = 20)]
#[derive(Serialize)]
struct A(f64);

#[store(sse)]
#[derive(Serialize)]
struct B(f64);

#[store(queue, key = room)]
#[derive(Serialize)]
struct C {
    room: String,
}

fn main() {}
