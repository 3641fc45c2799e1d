//! Slots and tombstones, as clients see them.

use tornadose::prelude::*;
use tornadose_test::assert_transcript;

use super::harness::harness;

#[store(latest, capacity = 2)]
#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
enum Twin {
    Reading {
        #[key]
        device: u32,
        #[slot]
        sensor: &'static str,
        value: u32,
    },
    #[tombstone]
    SensorRemoved {
        #[key]
        device: u32,
        #[slot]
        sensor: &'static str,
    },
}

#[subscriber(sse, ws, store = Twin, authorize = public)]
struct Device {
    #[key]
    device: u32,
}

fn reading(sensor: &'static str, value: u32) -> Twin {
    Twin::Reading { device: 1, sensor, value }
}

fn removed(sensor: &'static str) -> Twin {
    Twin::SensorRemoved { device: 1, sensor }
}

fn router(store: &Store<Twin>) -> Router {
    Router::with_path("{device}").get(Device::handler(store))
}

#[tornadose_test::test]
async fn a_newcomer_gets_each_slot_and_a_tombstone_in_order() {
    let store = Store::new();
    let app = harness(router(&store));
    for message in [reading("heat", 20), reading("wind", 3), reading("heat", 21), removed("fog")] {
        store.submit(message).await.unwrap();
    }
    let _page = app.client("page").sse("/1").await;
    let _screen = app.client("screen").ws("/1").await;
    store.submit(removed("heat")).await.unwrap();
    store.submit(reading("wind", 4)).await.unwrap();
    assert_transcript!(app, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    page < reading {"device":1,"sensor":"wind","value":3}
    page < reading {"device":1,"sensor":"heat","value":21}
    screen > GET /1 upgrade websocket
    screen ~ open 101
    screen < reading {"device":1,"sensor":"wind","value":3}
    screen < reading {"device":1,"sensor":"heat","value":21}
    page < sensor_removed #1 {"device":1,"sensor":"heat"}
    page < reading #2 {"device":1,"sensor":"wind","value":4}
    screen < sensor_removed #1 {"device":1,"sensor":"heat"}
    screen < reading #2 {"device":1,"sensor":"wind","value":4}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_returns_learns_what_was_removed_meanwhile() {
    let store = Store::new();
    let app = harness(router(&store));
    let heat = store.submit(reading("heat", 20)).await.unwrap().to_string();
    store.submit(reading("wind", 3)).await.unwrap();
    store.submit(removed("heat")).await.unwrap();
    let _page = app.client("page").last_event_id(&heat).sse("/1").await;
    let _screen = app.client("screen").ws(&format!("/1?last_event_id={heat}")).await;
    assert_transcript!(app, @r#"
    page > GET /1 last-event-id #1
    page ~ open 200 text/event-stream
    page < reading #2 {"device":1,"sensor":"wind","value":3}
    page < sensor_removed #3 {"device":1,"sensor":"heat"}
    screen > GET /1?last_event_id=#1 upgrade websocket
    screen ~ open 101
    screen < reading #2 {"device":1,"sensor":"wind","value":3}
    screen < sensor_removed #3 {"device":1,"sensor":"heat"}
    "#);
}

#[tornadose_test::test]
async fn a_tombstone_is_kept_while_an_id_before_it_is_known() {
    let store = Store::new();
    let app = harness(router(&store));
    let before = store.submit(reading("heat", 20)).await.unwrap().to_string();
    for sensor in ["heat", "wind", "fog"] {
        store.submit(removed(sensor)).await.unwrap();
    }
    // The capacity is two, so the first is gone, and with it what its id stands for.
    let page = app.client("page").last_event_id(&before).sse("/1").await;
    assert_transcript!(page, @r#"
    page > GET /1 last-event-id #1
    page ~ open 200 text/event-stream
    page < tornadose:gap {"reason":"trimmed","missed":null}
    page < sensor_removed #2 {"device":1,"sensor":"wind"}
    page < sensor_removed #3 {"device":1,"sensor":"fog"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_may_have_missed_a_tombstone_is_sent_every_value_again() {
    let store = Store::new();
    let app = harness(router(&store));
    store.submit(reading("heat", 20)).await.unwrap();
    store.submit(reading("wind", 3)).await.unwrap();
    let page = app.client("page").reconnects().sse("/1").await;
    let screen = app.client("screen").reconnects().ws("/1").await;
    for client in [&page, &*screen] {
        client.skip(2).await;
        client.cut().await;
    }
    for sensor in ["heat", "fog", "rain"] {
        store.submit(removed(sensor)).await.unwrap();
    }
    for client in [&page, &*screen] {
        client.reconnected().await;
    }
    assert_transcript!(app, @r#"
    page > GET /1
    page ~ open 200 text/event-stream
    page < reading #1 {"device":1,"sensor":"heat","value":20}
    page < reading #2 {"device":1,"sensor":"wind","value":3}
    screen > GET /1 upgrade websocket
    screen ~ open 101
    screen < reading #1 {"device":1,"sensor":"heat","value":20}
    screen < reading #2 {"device":1,"sensor":"wind","value":3}
    page ! cut
    screen ! cut
    after 3s
    page > GET /1 last-event-id #2
    page ~ open 200 text/event-stream
    page < tornadose:gap {"reason":"trimmed","missed":null}
    page < reading {"device":1,"sensor":"wind","value":3}
    page < sensor_removed #3 {"device":1,"sensor":"fog"}
    page < sensor_removed #4 {"device":1,"sensor":"rain"}
    screen > GET /1?last_event_id=#2 upgrade websocket
    screen ~ open 101
    screen < tornadose:gap {"reason":"trimmed","missed":null}
    screen < reading {"device":1,"sensor":"wind","value":3}
    screen < sensor_removed #3 {"device":1,"sensor":"fog"}
    screen < sensor_removed #4 {"device":1,"sensor":"rain"}
    "#);
}
