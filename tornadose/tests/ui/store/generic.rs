use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Reading<T>(T);

fn main() {}
