use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Reading {
    #[slot]
    sensor: String,
}

#[store(queue)]
#[derive(Serialize)]
enum Twin {
    Reading {
        #[slot]
        sensor: String,
    },
    #[latest]
    Online {
        #[slot]
        sensor: String,
    },
}

fn main() {}
