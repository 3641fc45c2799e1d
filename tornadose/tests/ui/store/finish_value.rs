use tornadose::prelude::*;

#[store(queue, finish = "yes")]
#[derive(Serialize)]
struct Line(String);

fn main() {}
