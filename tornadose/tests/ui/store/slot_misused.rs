use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Reading {
    #[key]
    #[slot]
    device: u32,
    #[slot("sensor")]
    sensor: String,
    #[slot]
    #[slot]
    channel: u8,
    #[slot]
    #[serde(skip)]
    hidden: u8,
}

fn main() {}
