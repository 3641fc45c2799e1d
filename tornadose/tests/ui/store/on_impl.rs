use tornadose::prelude::*;

struct Tick;

#[store(latest)]
impl Tick {}

fn main() {}
