use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick<'a>(&'a str);

fn main() {}
