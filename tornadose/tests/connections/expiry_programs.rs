//! Two programs whose values expire, as their own tests would have them: the members of a room (51 lines), and the twin of
//! a device (14 lines). Without `ttl` each needs a task in each process that remembers every renewal and submits a
//! tombstone for what is old: 22 lines more, a tombstone from each process, and a race with the renewal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::task::AbortHandle;
use tornadose::prelude::*;
use tornadose::simulation::Engine;
use tornadose::subscriber::ConnectionId;
use tornadose_test::{Client, assert_transcript};

use super::harness::{harness, secs};

// --- The members of a room: users, however many connections each of them has -------------------------------------------

#[store(latest, ttl = "30s")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Members {
    Here {
        #[key]
        room: String,
        #[slot]
        connection: String,
        user: String,
    },
    #[tombstone]
    Left {
        #[key]
        room: String,
        #[slot]
        connection: String,
    },
}

#[subscriber(sse, ws, store = Members, authorize = public, opened = Self::come, closed = Self::go)]
struct Visit {
    #[key]
    room: String,
    #[query]
    user: String,
    #[connection]
    connection: ConnectionId,
    #[state]
    renewal: Option<AbortHandle>,
}

impl Visit {
    async fn come(&mut self, store: &Store<Members>) {
        let (room, connection, user) = (self.room.clone(), self.connection.to_string(), self.user.clone());
        let (store, here) = (store.clone(), Members::Here { room, connection, user });
        let renewal = async move {
            // Failed commands are tried again, in time.
            while !matches!(store.submit(here.clone()).await, Err(tornadose::SubmitError::Closed { .. })) {
                tokio::time::sleep(secs(10)).await;
            }
        };
        self.renewal = Some(tokio::spawn(renewal).abort_handle());
    }

    async fn go(self, store: &Store<Members>) {
        self.renewal.iter().for_each(AbortHandle::abort);
        store.submit(Members::Left { room: self.room, connection: self.connection.to_string() }).await.ok();
    }
}

/// A page that shows the users that have a connection.
struct Page<'a> {
    client: &'a Client,
    users: BTreeMap<String, String>,
}

impl Page<'_> {
    async fn shown(&mut self) -> String {
        for event in self.client.drain::<Value>().await {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if let Some(here) = event.get("here") {
                self.users.insert(text(&here["connection"]), text(&here["user"]));
            } else if let Some(left) = event.get("left") {
                self.users.remove(&text(&left["connection"]));
            } else if let Some(expired) = event.get("tornadose:expired") {
                self.users.remove(&text(&expired["slot"]));
            }
        }
        let users: BTreeSet<&str> = self.users.values().map(String::as_str).collect();
        Vec::from_iter(users).join(" ")
    }
}

#[tornadose_test::test]
async fn a_member_stays_while_one_of_its_connections_lives_and_goes_after_its_process_was_killed() {
    let engine = Engine::new(7);
    let processes = [engine.process("one"), engine.process("two")];
    let mut router = Router::new();
    for process in &processes {
        let store = Store::<Members>::open(process.backend()).await.unwrap();
        let rooms = Router::with_path("{room}").get(Visit::handler(&store));
        router = router.push(Router::with_path(process.name()).push(rooms));
    }
    let app = harness(router);
    let ada = app.client("ada").sse("/two/rust?user=ada").await;
    let mut page = Page { client: &ada, users: BTreeMap::new() };
    // Two tabs, at two processes.
    let bob = app.client("bob").once().lenient().ws("/two/rust?user=bob").await;
    let _tab = app.client("tab").once().lenient().ws("/one/rust?user=bob").await;
    let _eve = app.client("eve").once().lenient().sse("/one/rust?user=eve").await;
    app.advance(secs(120)).await;
    assert_eq!(page.shown().await, "ada bob eve");
    bob.close().await;
    app.advance(secs(1)).await;
    assert_eq!(page.shown().await, "ada bob eve", "the other tab is open");
    processes[0].kill();
    app.advance(secs(19)).await;
    assert_eq!(page.shown().await, "ada bob eve", "nobody knows yet");
    app.advance(secs(12)).await;
    assert_eq!(page.shown().await, "ada");
}

// --- The twin of a device: its newest readings, of the sensors that are online -----------------------------------------

#[store(latest, ttl = "30s")]
#[derive(Debug, PartialEq, Serialize)]
struct Reading {
    #[key]
    device: u32,
    #[slot]
    sensor: &'static str,
    value: u32,
}

#[subscriber(sse, ws, store = Reading, authorize = public)]
struct Device {
    #[key]
    device: u32,
}

#[tornadose_test::test]
async fn a_sensor_that_is_silent_goes_offline() {
    let store = Store::new();
    let app = harness(Router::with_path("devices/{device}").get(Device::handler(&store)));
    let reading = |sensor, value| Reading { device: 7, sensor, value };
    let page = app.client("page").sse("/devices/7").await;
    for value in 20..24 {
        store.submit(reading("heat", value)).await.unwrap();
        if value < 22 {
            store.submit(reading("wind", value)).await.unwrap();
        }
        app.advance(secs(15)).await;
    }
    let (device, [heat, wind]) = (ReadingKey { device: 7 }, ["heat", "wind"].map(|sensor| ReadingSlot { sensor }));
    assert_eq!(store.latest_in(&device, &heat), Some(reading("heat", 23).into()));
    assert_eq!(store.latest_in(&device, &wind), None);
    page.skip(6).await;
    store.submit(reading("wind", 9)).await.unwrap();
    assert_transcript!(page, @r#"
    page > GET /devices/7
    page ~ open 200 text/event-stream
    page < message #1 {"device":7,"sensor":"heat","value":20}
    page < message #2 {"device":7,"sensor":"wind","value":20}
    after 15s
    page < : keep-alive
    page < message #3 {"device":7,"sensor":"heat","value":21}
    page < message #4 {"device":7,"sensor":"wind","value":21}
    after 15s
    page < : keep-alive
    page < message #5 {"device":7,"sensor":"heat","value":22}
    after 15s
    page < tornadose:expired #6 {"key":7,"slot":"wind"}
    page < message #7 {"device":7,"sensor":"heat","value":23}
    after 15s
    page < : keep-alive
    page < message #8 {"device":7,"sensor":"wind","value":9}
    "#);
}
