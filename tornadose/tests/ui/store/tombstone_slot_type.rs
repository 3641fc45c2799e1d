use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
enum Twin {
    Reading {
        #[slot]
        sensor: String,
    },
    #[tombstone]
    Gone {
        #[slot]
        sensor: u32,
    },
}

fn main() {}
