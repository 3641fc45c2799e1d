//! Slots and tombstones over Redis.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{Received, Subscription};

use crate::common::until;
use crate::server::Server;

/// The version of a program before it had slots.
mod old {
    use tornadose::prelude::*;

    #[store(latest, channel = "twin")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Twin {
        Reading {
            #[key]
            device: u32,
            sensor: String,
            value: u32,
        },
    }
}

#[store(latest, channel = "twin")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Twin {
    Reading {
        #[key]
        device: u32,
        #[slot]
        sensor: String,
        value: u32,
    },
    #[tombstone]
    Removed {
        #[key]
        device: u32,
    },
}

const ONE: TwinKey = TwinKey { device: 1 };

fn reading(sensor: &str, value: u32) -> Twin {
    Twin::Reading { device: 1, sensor: sensor.into(), value }
}

fn slot(sensor: &str) -> TwinSlot {
    TwinSlot::Reading { sensor: sensor.into() }
}

fn value(store: &Store<Twin>, sensor: &str) -> Option<u32> {
    match &*store.latest_in(&ONE, &slot(sensor))? {
        Twin::Reading { value, .. } => Some(*value),
        Twin::Removed { .. } => None,
    }
}

/// Returns the fields of the hash, in order.
fn fields(server: &Server) -> Vec<String> {
    let text = server.cli(&["HKEYS", "{tornadose:twin}:latest"]);
    let mut fields: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    fields.sort_unstable();
    fields
}

async fn next(reader: &mut Subscription<Twin>) -> Twin {
    match timeout(Duration::from_secs(60), reader.next()).await.expect("nothing arrived").expect("the reader ended") {
        Received::Message { message, .. } => (*message).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn every_process_keeps_the_newest_of_each_slot() {
    let server = Server::start();
    let first = Store::<Twin>::open(Redis::streams(server.url()).history(10)).await.unwrap();
    let second = Store::<Twin>::redis(server.url()).await.unwrap();
    for (sensor, value) in [("heat", 20), ("wind", 3), ("heat", 21)] {
        first.submit(reading(sensor, value)).await.unwrap();
    }
    until("both have them", || [&first, &second].iter().all(|store| value(store, "heat") == Some(21))).await;
    let [heat, wind] =
        ["heat", "wind"].map(|sensor| format!(r#"{{"device":1}} {{"Reading":{{"sensor":"{sensor}"}}}}"#));
    assert_eq!(fields(&server), [heat, wind.clone()]);

    second.forget_slot(&ONE, &slot("heat"));
    until("both forget it", || [&first, &second].iter().all(|store| value(store, "heat").is_none())).await;
    until("its field is dropped", || fields(&server) == [wind.clone()]).await;
    // Their entries are trimmed. What outlives them is in the hash.
    for number in 0..500 {
        first.try_submit(reading("fog", number)).unwrap();
    }
    let last = first.submit(reading("fog", 500)).await.unwrap();
    until("they are read back", || first.head() == last).await;
    let third = Store::<Twin>::open(Redis::streams(server.url()).history(10)).await.unwrap();
    assert_eq!(["heat", "wind", "fog"].map(|sensor| value(&third, sensor)), [None, Some(3), Some(500)]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_tombstone_drops_the_values_in_every_process_and_in_redis() {
    let server = Server::start();
    let stores = [Store::<Twin>::redis(server.url()).await.unwrap(), Store::<Twin>::redis(server.url()).await.unwrap()];
    for sensor in ["heat", "wind"] {
        stores[0].submit(reading(sensor, 1)).await.unwrap();
    }
    until("both have them", || stores.iter().all(|store| value(store, "wind") == Some(1))).await;
    // The second process has no reader of the key, and obeys nevertheless.
    let mut reader = stores[0].subscribe_to(ONE);
    for sensor in ["heat", "wind"] {
        assert_eq!(next(&mut reader).await, reading(sensor, 1));
    }
    let removed = stores[1].submit(Twin::Removed { device: 1 }).await.unwrap();
    assert_eq!(next(&mut reader).await, Twin::Removed { device: 1 });
    until("both drop them", || stores.iter().all(|store| store.latest(&ONE).is_none())).await;
    until("the fields are dropped", || fields(&server).is_empty()).await;
    stores[0].submit(reading("heat", 2)).await.unwrap();
    assert_eq!(next(&mut reader).await, reading("heat", 2));

    let late = Store::<Twin>::redis(server.url()).await.unwrap();
    assert_eq!((value(&late, "heat"), value(&late, "wind")), (Some(2), None));
    // A client that resumes from before it gets it, from any process.
    until("it is read back", || late.head().to_string() > removed.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_value_from_before_there_were_slots_is_kept_in_its_slot() {
    let server = Server::start();
    let old = Store::<old::Twin>::redis(server.url()).await.unwrap();
    for (sensor, value) in [("wind", 2), ("heat", 20)] {
        old.submit(old::Twin::Reading { device: 1, sensor: sensor.into(), value }).await.unwrap();
    }
    until("the newest is kept", || fields(&server) == [r#"{"device":1} reading"#]).await;
    old.close();
    server.cli(&["XTRIM", "{tornadose:twin}", "MAXLEN", "0"]);

    let new = Store::<Twin>::redis(server.url()).await.unwrap();
    assert_eq!((value(&new, "heat"), value(&new, "wind")), (Some(20), None));
    until("the field is renamed", || fields(&server) == [r#"{"device":1} {"Reading":{"sensor":"heat"}}"#]).await;
    new.forget_slot(&ONE, &slot("heat"));
    until("the field is dropped", || fields(&server).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn over_pubsub_a_slot_is_forgotten_in_its_process() {
    let server = Server::start();
    let store = Store::<Twin>::open(Redis::pubsub(server.url())).await.unwrap();
    store.submit(reading("heat", 1)).await.unwrap();
    store.submit(reading("wind", 1)).await.unwrap();
    store.forget_slot(&ONE, &slot("heat"));
    until("it is forgotten", || value(&store, "heat").is_none()).await;
    assert_eq!(value(&store, "wind"), Some(1));
    store.submit(Twin::Removed { device: 1 }).await.unwrap();
    assert!(store.latest(&ONE).is_none());
}
