use tornadose::prelude::*;

#[store(latest)]
#[tombstone]
#[derive(Serialize)]
struct Gone {
    #[tombstone]
    device: u32,
}

fn main() {}
