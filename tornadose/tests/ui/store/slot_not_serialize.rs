use tornadose::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sensor(u8);

#[store(latest)]
#[derive(Serialize)]
struct Reading {
    #[slot]
    sensor: Sensor,
}

fn main() {}
