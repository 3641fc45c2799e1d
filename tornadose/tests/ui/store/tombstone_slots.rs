use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
enum Twin {
    Reading {
        #[slot]
        sensor: String,
        #[slot]
        channel: u8,
    },
    #[tombstone]
    SensorGone {
        #[slot]
        sensor: String,
    },
    #[tombstone]
    AxisGone {
        #[slot]
        axis: u8,
    },
}

fn main() {}
