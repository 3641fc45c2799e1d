use tornadose::prelude::*;

#[store(latest)]
#[slot]
#[derive(Serialize)]
struct Reading(#[slot] String);

#[store(latest)]
#[derive(Serialize)]
enum Twin {
    #[slot]
    Reading { sensor: String },
}

fn main() {}
