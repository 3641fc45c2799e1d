use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Reading {
    #[slot]
    height: f64,
}

#[store(latest)]
#[derive(Serialize)]
enum Twin {
    Reading {
        #[slot]
        height: f32,
    },
}

fn main() {}
