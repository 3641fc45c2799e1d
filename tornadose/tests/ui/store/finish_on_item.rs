use tornadose::prelude::*;

#[store(queue)]
#[finish]
#[derive(Serialize)]
struct Line(String);

fn main() {}
