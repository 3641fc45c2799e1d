use tornadose::prelude::*;

#[store(queue, capcity = 10, channel = ticks)]
#[derive(Serialize)]
struct Line<'a> {
    #[key(room)]
    room: String,
    #[latest]
    text: &'a str,
}

fn main() {}
