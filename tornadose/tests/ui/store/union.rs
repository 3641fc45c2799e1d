use tornadose::prelude::*;

#[store(latest)]
union Tick {
    whole: u32,
    fraction: f32,
}

fn main() {}
