//! Slots and tombstones of every shape.
#![deny(warnings, missing_docs)]

use tornadose::prelude::*;
use tornadose::{NoKey, Slotted};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Sensor(u8);

/// A reading.
#[store(latest)]
#[derive(Serialize)]
pub struct Reading {
    #[slot]
    r#type: Sensor,
    #[slot]
    #[serde(with = "as_text")]
    channel: u8,
    /// The value.
    pub value: f64,
}

mod as_text {
    pub fn serialize<S: serde::Serializer>(channel: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(channel)
    }
}

#[store(queue)]
#[derive(Serialize)]
enum Twin {
    #[latest]
    Reading {
        #[key]
        device: u32,
        #[slot]
        sensor: u8,
        #[slot]
        other_sensor: u8,
    },
    #[latest]
    Alarm {
        #[slot]
        sensor: u8,
        #[key]
        device: u32,
        #[slot]
        other_sensor: u8,
    },
    #[latest]
    Name {
        #[key]
        device: u32,
    },
    Log {
        #[key]
        device: u32,
    },
    #[tombstone]
    Removed {
        #[key]
        device: u32,
        #[slot]
        other_sensor: u8,
        #[slot]
        sensor: u8,
    },
    #[tornadose(tombstone)]
    Gone {
        #[key]
        device: u32,
    },
}

#[subscriber(sse, store = Twin, authorize = public)]
struct Device {
    #[key]
    device: u32,
}

pub fn main() {
    #[store(latest)]
    #[derive(Serialize)]
    struct Local {
        #[tornadose(slot)]
        of: Sensor,
    }

    assert_eq!(Local { of: Sensor(1) }.slot(), Some(LocalSlot { of: Sensor(1) }));
    let reading = Reading { r#type: Sensor(1), channel: 2, value: 0.5 };
    assert_eq!(reading.slot_json().unwrap().unwrap(), r#"{"type":1,"channel":"2"}"#);
    let store = Store::new();
    store.try_submit(reading).unwrap();
    assert!(store.latest_in(&NoKey, &ReadingSlot { r#type: Sensor(1), channel: 2 }).is_some());

    let store = Store::new();
    let _handler = Device::handler(&store);
    let key = TwinKey { device: 1 };
    let (device, sensor, other_sensor) = (1, 2, 3);
    for _ in 0..2 {
        store.try_submit(Twin::Reading { device, sensor, other_sensor }).unwrap();
        store.try_submit(Twin::Alarm { device, sensor, other_sensor }).unwrap();
        store.try_submit(Twin::Name { device }).unwrap();
        store.try_submit(Twin::Log { device }).unwrap();
    }
    let slot = TwinSlot::Alarm { sensor, other_sensor };
    assert_ne!(slot, TwinSlot::Reading { sensor, other_sensor });
    assert_ne!(slot, TwinSlot::Alarm { sensor, other_sensor: 4 });
    assert!(store.latest_in(&key, &slot).is_some());
    store.try_submit(Twin::Removed { device, sensor, other_sensor }).unwrap();
    assert!(store.latest_in(&key, &slot).is_none() && store.latest(&key).is_some());
    store.try_submit(Twin::Gone { device }).unwrap();
    assert!(store.latest(&key).is_none());
}
