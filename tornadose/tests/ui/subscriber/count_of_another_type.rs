use tornadose::prelude::*;

const LAST: u32 = 20;

fn all() -> usize {
    20
}

#[store(queue, capacity = LAST)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, store = Line, replay = LAST)]
struct A;

#[subscriber(sse, store = Line, max_connections = Self::MOST)]
struct B;

impl B {
    const MOST: i32 = 1;
}

#[subscriber(sse, store = Line, replay = self::all)]
struct C;

#[subscriber(sse, store = Line, replay = MISSING)]
struct D;

fn main() {}
