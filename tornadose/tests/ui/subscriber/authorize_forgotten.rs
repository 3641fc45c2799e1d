use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
    text: String,
}

#[subscriber(sse, store = Line)]
struct A {
    #[key]
    room: String,
}

#[subscriber(sse, store = Line)]
struct B {
    #[key]
    #[param]
    room: String,
}

#[subscriber(sse, store = Line)]
struct C {
    #[key]
    #[query]
    room: String,
}

#[subscriber(sse, store = Line)]
struct D {
    #[key]
    #[header("x-room")]
    room: String,
}

#[subscriber(sse, store = Line)]
struct E {
    #[key]
    #[cookie]
    room: String,
}

// These need no `authorize`.
#[subscriber(sse, store = Line)]
struct F {
    #[key]
    #[depot]
    room: String,
}

#[subscriber(sse, store = Line, all_keys)]
struct G {
    #[query]
    room: String,
}

fn main() {}
