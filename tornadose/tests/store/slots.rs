//! Slots and tombstones, in memory and over a backend.

use futures_util::{FutureExt, StreamExt};
use tornadose::backend::{Ingested, OutgoingKind};
use tornadose::prelude::*;
use tornadose::{ENTRY_OVERHEAD, Received, Retention, Slotted, SubmitError, Subscription, Tombstone};

use super::link::{at, entry, open_empty};

#[store(latest)]
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
    Limit {
        #[key]
        device: u32,
        #[slot]
        sensor: String,
        highest: u32,
    },
    Position {
        #[key]
        device: u32,
        #[slot]
        axis: u8,
        #[slot]
        frame: Option<u8>,
        meters: u32,
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
        sensor: String,
    },
    #[tombstone]
    Removed {
        #[key]
        device: u32,
    },
}

const ONE: TwinKey = TwinKey { device: 1 };

fn reading(device: u32, sensor: &str, value: u32) -> Twin {
    Twin::Reading { device, sensor: sensor.into(), value }
}

fn limit(device: u32, sensor: &str, highest: u32) -> Twin {
    Twin::Limit { device, sensor: sensor.into(), highest }
}

fn position(axis: u8, frame: Option<u8>, meters: u32) -> Twin {
    Twin::Position { device: 1, axis, frame, meters }
}

fn heat() -> TwinSlot {
    TwinSlot::Reading { sensor: "heat".into() }
}

/// Returns the messages that a subscription yields now.
fn ready(subscription: &mut Subscription<Twin>) -> Vec<Twin> {
    let mut received = Vec::new();
    while let Some(Some(item)) = subscription.next().now_or_never() {
        match item {
            Received::Message { message, .. } => received.push((*message).clone()),
            other => panic!("{other:?}"),
        }
    }
    received
}

fn fill(store: &Store<Twin>) {
    for message in [
        reading(1, "heat", 20),
        reading(1, "wind", 3),
        limit(1, "heat", 50),
        reading(2, "heat", 30),
        Twin::Online { device: 1 },
        position(0, None, 1),
        position(0, Some(1), 2),
        reading(1, "heat", 21),
        Twin::Online { device: 1 },
    ] {
        store.try_submit(message).unwrap();
    }
}

#[tornadose_test::test]
async fn the_newest_of_each_key_variant_and_slot_is_kept() {
    let store = Store::new();
    fill(&store);
    assert_eq!(*store.latest_in(&ONE, &heat()).unwrap(), reading(1, "heat", 21));
    let of_limit = TwinSlot::Limit { sensor: "heat".into() };
    assert_eq!(*store.latest_in(&ONE, &of_limit).unwrap(), limit(1, "heat", 50));
    assert_eq!(*store.latest_in(&TwinKey { device: 2 }, &heat()).unwrap(), reading(2, "heat", 30));
    let in_frame = TwinSlot::Position { axis: 0, frame: Some(1) };
    assert_eq!(*store.latest_in(&ONE, &in_frame).unwrap(), position(0, Some(1), 2));
    assert!(store.latest_in(&ONE, &TwinSlot::Position { axis: 1, frame: None }).is_none());
    assert!(store.latest_in(&TwinKey { device: 3 }, &heat()).is_none());

    // A newcomer gets each of them, in the order of the log.
    let kept = [
        reading(1, "wind", 3),
        limit(1, "heat", 50),
        position(0, None, 1),
        position(0, Some(1), 2),
        reading(1, "heat", 21),
        Twin::Online { device: 1 },
    ];
    assert_eq!(ready(&mut store.subscribe_to(ONE)), kept);
}

#[tornadose_test::test]
async fn a_slot_is_what_the_message_says() {
    assert_eq!(reading(1, "heat", 1).slot(), Some(heat()));
    assert_eq!(reading(1, "heat", 1).slot_json().unwrap().unwrap(), r#"{"Reading":{"sensor":"heat"}}"#);
    assert_eq!(position(2, None, 1).slot_json().unwrap().unwrap(), r#"{"Position":{"axis":2,"frame":null}}"#);
    assert_eq!(Twin::Online { device: 1 }.slot(), None);
    assert_eq!(Twin::Online { device: 1 }.tombstone().unwrap(), None);
    assert_eq!(Twin::Removed { device: 1 }.tombstone().unwrap(), Some(Tombstone::Key));
    let removed = Twin::SensorRemoved { device: 1, sensor: "heat".into() };
    assert_eq!((removed.retention(), removed.slot()), (Retention::Queue, None));
    let dropped = [r#"{"Reading":{"sensor":"heat"}}"#, r#"{"Limit":{"sensor":"heat"}}"#].map(str::to_owned);
    assert_eq!(removed.tombstone().unwrap(), Some(Tombstone::Slots(dropped.to_vec())));
    assert_eq!(format!("{:?}", heat()), r#"Reading { sensor: "heat" }"#);
}

#[tornadose_test::test]
async fn a_slot_that_is_forgotten_leaves_the_others() {
    let store = Store::new();
    fill(&store);
    let mut reader = store.subscribe_to(ONE);
    store.forget_slot(&ONE, &heat());
    store.forget_slot(&ONE, &heat());
    store.forget_slot(&TwinKey { device: 9 }, &heat());
    assert!(store.latest_in(&ONE, &heat()).is_none());
    assert!(store.latest_in(&TwinKey { device: 2 }, &heat()).is_some());
    assert_eq!(ready(&mut reader).len(), 5);
    store.forget(&ONE);
    assert!(store.latest(&ONE).is_none());
    assert!(store.latest_in(&ONE, &TwinSlot::Reading { sensor: "wind".into() }).is_none());
}

#[tornadose_test::test]
async fn a_tombstone_drops_the_values_of_its_slot_or_key_and_is_delivered() {
    let store = Store::new();
    fill(&store);
    let mut reader = store.subscribe_to(ONE);
    assert_eq!(ready(&mut reader).len(), 6);
    let removed = Twin::SensorRemoved { device: 1, sensor: "heat".into() };
    store.try_submit(reading(1, "heat", 22)).unwrap();
    store.try_submit(removed.clone()).unwrap();
    // The reading that was dropped before it was read is conflated, as one that was replaced is.
    assert_eq!(ready(&mut reader), [removed]);
    assert!(store.latest_in(&ONE, &heat()).is_none());
    assert!(store.latest_in(&ONE, &TwinSlot::Limit { sensor: "heat".into() }).is_none());
    assert!(store.latest_in(&ONE, &TwinSlot::Reading { sensor: "wind".into() }).is_some());

    store.try_submit(Twin::Removed { device: 1 }).unwrap();
    assert!(store.latest(&ONE).is_none());
    assert!(store.latest(&TwinKey { device: 2 }).is_some());
    store.try_submit(reading(1, "heat", 23)).unwrap();
    assert_eq!(ready(&mut reader), [Twin::Removed { device: 1 }, reading(1, "heat", 23)]);
    // A newcomer does not get the tombstones.
    assert_eq!(ready(&mut store.subscribe_to(ONE)), [reading(1, "heat", 23)]);
}

#[tornadose_test::test]
async fn a_slot_counts_in_memory_and_a_tombstone_makes_room() {
    #[store(latest, memory = "16KiB")]
    #[derive(Serialize, Debug)]
    enum Member {
        Joined {
            #[slot]
            name: String,
        },
        #[tombstone]
        Left {
            #[slot]
            name: String,
        },
    }
    let store = Store::new();
    let name = |number: usize| format!("{number:0>100}");
    let mut members = 0;
    while store.try_submit(Member::Joined { name: name(members) }).is_ok() {
        members += 1;
    }
    let error = store.try_submit(Member::Joined { name: name(members) }).unwrap_err();
    assert!(matches!(error, SubmitError::Full { .. }), "{error:?}");
    // Each has its event, and the JSON of its slot. The key, which has no fields, has an overhead of its own.
    let (event, slot) = (r#"{"name":""}"#.len() + "Joined".len() + 100, r#"{"Joined":{"name":""}}"#.len() + 100);
    assert_eq!(members, ((16 << 10) - ENTRY_OVERHEAD) / (ENTRY_OVERHEAD + event + slot));
    // A member that is there is replaced. One that leaves makes room for another.
    store.try_submit(Member::Joined { name: name(0) }).unwrap();
    store.try_submit(Member::Left { name: name(0) }).unwrap();
    assert!(store.latest_in(&tornadose::NoKey, &MemberSlot::Joined { name: name(0) }).is_none());
    store.try_submit(Member::Joined { name: name(members) }).unwrap();
}

#[tornadose_test::test]
async fn ten_thousand_slots_of_a_key_cost_no_search() {
    let store = Store::<Twin>::new();
    for round in 0..3 {
        for sensor in 0..10_000 {
            store.try_submit(reading(1, &sensor.to_string(), round)).unwrap();
            store.try_submit(Twin::Online { device: 1 }).unwrap();
        }
    }
    assert_eq!(ready(&mut store.subscribe_to(ONE)).len(), 10_001);
    store.try_submit(Twin::Removed { device: 1 }).unwrap();
    assert!(store.latest(&ONE).is_none());
}

/// Returns what is ingested at an offset.
fn ingest(link: &tornadose::backend::BackendLink, seq: u64, message: &Twin) -> Ingested {
    link.ingest(at(seq), entry(&serde_json::to_string(message).unwrap()))
}

fn slot_of(text: &str) -> Ingested {
    Ingested::Latest { slot: text.into() }
}

#[tornadose_test::test]
async fn a_backend_knows_a_value_by_its_key_and_slot() {
    let (store, link) = open_empty::<Twin>().await;
    let heat_1 = r#"{"device":1} {"Reading":{"sensor":"heat"}}"#;
    assert_eq!(ingest(&link, 1, &reading(1, "heat", 20)), slot_of(heat_1));
    assert_eq!(ingest(&link, 2, &Twin::Online { device: 1 }), slot_of(r#"{"device":1} online"#));
    assert_eq!(ingest(&link, 3, &reading(1, "wind", 3)), slot_of(r#"{"device":1} {"Reading":{"sensor":"wind"}}"#));
    assert_eq!(*store.latest_in(&ONE, &heat()).unwrap(), reading(1, "heat", 20));

    store.forget_slot(&ONE, &heat());
    store.try_submit(Twin::Removed { device: 1 }).unwrap();
    store.try_submit(reading(1, "heat", 21)).unwrap();
    let sent = link.next_outgoing(10).await.unwrap();
    let kinds: Vec<&OutgoingKind> = sent.iter().map(tornadose::backend::Outgoing::kind).collect();
    let [forget, queue, latest] = kinds[..] else { panic!("{kinds:?}") };
    assert_eq!(*forget, OutgoingKind::Forget { key: heat_1.into() });
    // Without a key beside it, every process decodes it.
    assert_eq!((queue, sent[1].key()), (&OutgoingKind::Queue, None));
    assert_eq!(*latest, OutgoingKind::Latest { slot: heat_1.into() });
}

#[tornadose_test::test]
async fn a_backend_is_told_which_slots_were_dropped() {
    let (store, link) = open_empty::<Twin>().await;
    let [heat_1, wind_1, limit_1] = [
        r#"{"device":1} {"Reading":{"sensor":"heat"}}"#,
        r#"{"device":1} {"Reading":{"sensor":"wind"}}"#,
        r#"{"device":1} {"Limit":{"sensor":"heat"}}"#,
    ];
    for (seq, message) in [reading(1, "heat", 1), reading(1, "wind", 1), limit(1, "heat", 1)].iter().enumerate() {
        ingest(&link, seq as u64 + 1, message);
    }
    assert_eq!(link.forget(Some(at(4)), wind_1), [wind_1]);
    assert_eq!(link.forget(Some(at(5)), wind_1), [""; 0]);
    assert!(store.latest_in(&ONE, &TwinSlot::Reading { sensor: "wind".into() }).is_none());

    let removed = Twin::SensorRemoved { device: 1, sensor: "heat".into() };
    let slots = vec![heat_1.to_owned(), limit_1.to_owned()];
    assert_eq!(ingest(&link, 6, &removed), Ingested::Tombstone { slots });
    assert!(store.latest(&ONE).is_none());
    assert_eq!(ingest(&link, 7, &removed), Ingested::Tombstone { slots: Vec::new() });

    for (seq, message) in [reading(1, "heat", 2), Twin::Online { device: 1 }].iter().enumerate() {
        ingest(&link, seq as u64 + 8, message);
    }
    let slots = vec![r#"{"device":1} online"#.to_owned(), heat_1.to_owned()];
    assert_eq!(ingest(&link, 10, &Twin::Removed { device: 1 }), Ingested::Tombstone { slots });
    assert!(store.latest(&ONE).is_none());
}

#[tornadose_test::test]
async fn values_that_an_engine_has_not_kept_are_dropped_by_their_slots() {
    let (store, link) = open_empty::<Twin>().await;
    for (seq, message) in [reading(1, "heat", 1), reading(1, "wind", 1), Twin::Online { device: 1 }].iter().enumerate()
    {
        ingest(&link, seq as u64 + 1, message);
    }
    link.retain_latest(&|slot| slot.ends_with(r#"{"Reading":{"sensor":"wind"}}"#));
    assert!(store.latest_in(&ONE, &heat()).is_none());
    assert_eq!(ready(&mut store.subscribe_to(ONE)), [reading(1, "wind", 1)]);
}

#[tornadose_test::test]
async fn a_tombstone_with_a_key_beside_it_is_not_hidden_from_later_readers() {
    let (store, link) = open_empty::<Twin>().await;
    let ingest_from = |seq, message: &Twin, key| {
        let payload = serde_json::to_string(message).unwrap();
        link.ingest(at(seq), entry(&payload).with_sender("abcdefgh", seq).with_key(key))
    };
    ingest(&link, 1, &reading(1, "heat", 1));
    // Its sender does not know it as a tombstone, and is not believed what it writes beside its messages.
    let removed = Twin::Removed { device: 1 };
    assert!(matches!(ingest_from(2, &removed, r#"{"device":1}"#), Ingested::Tombstone { .. }));
    assert!(store.latest(&ONE).is_none());
    ingest(&link, 3, &reading(1, "heat", 2));
    assert!(matches!(ingest_from(4, &removed, r#"{"device":1}"#), Ingested::Tombstone { .. }));
    assert!(store.latest(&ONE).is_none());
}
