use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
enum Never {}

fn main() {}
