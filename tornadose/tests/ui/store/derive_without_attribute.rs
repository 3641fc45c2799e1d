use tornadose::prelude::*;

#[derive(tornadose::__private::__Store, Serialize)]
struct Tick(f64);

fn main() {}
