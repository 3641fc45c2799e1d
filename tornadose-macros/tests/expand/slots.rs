#[store(latest)]
#[derive(Serialize)]
pub struct Reading {
    #[key]
    device: u32,
    #[slot]
    sensor: String,
    value: f64,
}

#[store(latest)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Twin {
    Reading {
        #[key]
        device: u32,
        #[slot]
        sensor: Sensor,
        #[slot]
        #[serde(serialize_with = "as_text")]
        channel: Channel,
    },
    Online {
        #[key]
        device: u32,
    },
    #[tombstone]
    SensorRemoved {
        #[key]
        device: u32,
        #[slot]
        channel: Channel,
        #[slot]
        sensor: Sensor,
    },
    #[tornadose(tombstone)]
    Removed {
        #[key]
        device: u32,
    },
}
