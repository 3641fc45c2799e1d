//! The page shows stores and connections as they are.

use serde_json::{Value, json};

use crate::harness::secs;
use crate::samples::{Room, RoomKey, Tick, happened, newest, newest_of, open_page, said, served};

#[tornadose_test::test]
async fn what_is_shown_of_a_store_is_what_the_store_says() {
    let (rooms, ticks, app) = served();
    for number in 0..12 {
        rooms.submit(said("go", &number.to_string())).await.unwrap();
    }
    rooms.submit(Room::Topic { room: "rust".into(), topic: "traits".into() }).await.unwrap();
    ticks.submit(Tick(0.5)).await.unwrap();
    for number in 0..3 {
        app.client(format!("go-{number}")).lenient().sse("/rooms/go").await;
    }
    app.client("rust").lenient().ws("/rooms/rust").await;
    app.client("house").lenient().sse("/house").await;
    app.client("ticks").lenient().sse("/ticks").await;
    let subscription = rooms.subscribe_to(RoomKey { room: "rust".into() });

    let page = open_page(&app).await;
    let report = newest(&page, "stores", None).await;
    let [of_rooms, of_ticks] = [&report["stores"][0], &report["stores"][1]];
    assert_eq!((&of_rooms["channel"], &of_ticks["channel"]), (&json!("rooms"), &json!("rooms")));
    assert_eq!(of_rooms["head"], rooms.head().to_string());
    assert_eq!(of_ticks["head"], ticks.head().to_string());
    assert_eq!((of_rooms["readers"].as_u64(), rooms.subscribers()), (Some(6), 6));
    assert_eq!((of_rooms["connections"].as_u64(), of_ticks["connections"].as_u64()), (Some(5), Some(1)));
    // Of twelve messages the capacity keeps eight, and the topic beside them.
    assert_eq!((of_rooms["kept"].as_u64(), of_ticks["kept"].as_u64()), (Some(9), Some(1)));
    assert_eq!(of_rooms["keys"], 2);
    assert_eq!(of_rooms["memory"], 64 << 20);
    let bytes = usize::try_from(of_rooms["bytes"].as_u64().unwrap()).unwrap();
    assert!((11 * tornadose::ENTRY_OVERHEAD..16 * tornadose::ENTRY_OVERHEAD).contains(&bytes), "{bytes}");
    for top in of_rooms["top_keys"].as_array().unwrap() {
        let key = RoomKey { room: top["key"].as_str().unwrap().trim_matches('"').into() };
        assert_eq!(top["readers"], rooms.subscribers_of(&key), "{key:?}");
    }
    assert_eq!(of_rooms["top_keys"], json!([{ "key": "\"go\"", "readers": 3 }, { "key": "\"rust\"", "readers": 2 }]));
    assert_eq!(of_rooms["behind"], 0);
    assert_eq!(of_rooms["state"], "open");
    drop(subscription);
    app.advance(secs(2)).await;
    assert_eq!(newest(&page, "stores", None).await["stores"][0]["readers"], rooms.subscribers());
}

#[tornadose_test::test]
async fn each_connection_is_shown_with_its_transport_age_keys_and_position() {
    let (rooms, _ticks, app) = served();
    rooms.submit(said("go", "0")).await.unwrap();
    app.client("go").lenient().sse("/rooms/go").await;
    app.advance(secs(60)).await;
    app.client("rust").lenient().ws("/rooms/rust").await;
    app.client("house").lenient().sse("/house").await;
    let _waiting = rooms.subscribe();
    let page = open_page(&app).await;
    app.settle().await;
    let connections = newest(&page, "connections", Some(0)).await;
    assert_eq!(connections["readers"], 4);
    let rows = connections["rows"].as_array().unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row["transport"].clone(), row["keys"].clone())).collect();
    let none: [Value; 0] = [];
    for (transport, keys) in
        [("sse", json!(["\"go\""])), ("ws", json!(["\"rust\""])), ("sse", json!(none)), ("subscription", json!(none))]
    {
        assert!(shown.contains(&(json!(transport), keys.clone())), "{transport} {keys} is not in {shown:?}");
    }
    assert_eq!(rows.iter().filter(|row| row["key_count"].is_null()).count(), 2);
    let opened: Vec<u64> = rows.iter().map(|row| row["opened_at"].as_u64().unwrap()).collect();
    let ages = opened.iter().max().unwrap() - opened.iter().min().unwrap();
    assert!((59_900..=60_100).contains(&ages), "{ages}");
    for row in rows.iter().filter(|row| row["transport"] != "subscription") {
        assert_eq!((&row["position"], &row["unread"]), (&json!(rooms.head().to_string()), &json!(0)), "{row}");
    }
}

#[tornadose_test::test]
async fn a_reader_that_takes_nothing_is_shown_first_with_what_it_has_yet_to_take() {
    let (rooms, _ticks, app) = served();
    for number in 0..20 {
        app.client(format!("quick-{number}")).lenient().mute().sse("/rooms/rust").await;
    }
    for over in ["stream", "socket"] {
        let slow = app.client(over).buffer_size(64).lenient().mute();
        if over == "stream" {
            slow.sse("/rooms/go").await.stall().await;
        } else {
            slow.ws("/rooms/go").await.stall().await;
        }
    }
    for number in 0..8 {
        rooms.submit(said("go", &number.to_string().repeat(200_000))).await.unwrap();
        app.settle().await;
    }
    rooms.submit(said("rust", "hi")).await.unwrap();
    let page = open_page(&app).await;
    app.settle().await;
    let events = page.drain_events().await;
    assert_eq!(newest_of(&events, "stores", None)["stores"][0]["behind"], 2);
    let connections = newest_of(&events, "connections", Some(0));
    let rows = connections["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    for row in &rows[..2] {
        let unread = row["unread"].as_u64().unwrap();
        // What a server has buffered counts as taken.
        assert!((4..=8).contains(&unread), "{row}");
        let bytes = row["unread_bytes"].as_u64().unwrap();
        assert!(bytes >= unread * 200_000 && bytes < unread * 200_100, "{row}");
        assert_ne!(row["position"], rooms.head().to_string());
    }
    assert!(rows[2..].iter().all(|row| row["unread"] == 0), "{rows:?}");
}

#[tornadose_test::test]
async fn of_many_readers_those_are_shown_that_are_furthest_behind() {
    let (rooms, _ticks, app) = served();
    let readers: Vec<_> = (0..1000).map(|_| rooms.subscribe_to(RoomKey { room: "go".into() })).collect();
    let page = open_page(&app).await;
    app.settle().await;
    let connections = newest(&page, "connections", Some(0)).await;
    assert_eq!((connections["readers"].as_u64(), connections["rows"].as_array().unwrap().len()), (Some(1000), 200));
    drop(readers);
}

#[tornadose_test::test]
async fn gaps_and_ends_are_shown_as_they_happen() {
    let (rooms, _ticks, app) = served();
    let page = open_page(&app).await;
    let slow = app.client("slow").buffer_size(64).lenient().sse("/rooms/go").await;
    let gone = app.client("gone").lenient().ws("/rooms/rust").await;
    slow.stall().await;
    page.drain_events().await;
    for number in 0..40 {
        rooms.submit(said("go", &number.to_string().repeat(2000))).await.unwrap();
        app.settle().await;
    }
    slow.resume().await;
    app.settle().await;
    let gaps = happened(&page, "gap").await;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (&gaps[0]["store"], &gaps[0]["reason"], &gaps[0]["transport"]),
        (&json!(0), &json!("lagged"), &json!("sse"))
    );
    assert_eq!((&gaps[0]["keys"], &gaps[0]["key_count"]), (&json!(["\"go\""]), &json!(1)));
    // With `latest` messages beside the others, only a lag is counted.
    let told = slow.drain_events().await.into_iter().find(|event| event.name == "tornadose:gap").unwrap();
    let told: Value = serde_json::from_str(&told.data).unwrap();
    assert_eq!(gaps[0]["missed"], told["missed"]);
    // And it stays the last reason of its connection.
    app.advance(secs(1)).await;
    let connections = newest(&page, "connections", Some(0)).await;
    let row = connections["rows"].as_array().unwrap().iter().find(|row| row["number"] == gaps[0]["number"]).unwrap();
    assert_eq!(row["last_reason"], "lagged");
    gone.close().await;
    app.settle().await;
    let ends = happened(&page, "ended").await;
    assert_eq!((ends.len(), &ends[0]["transport"], &ends[0]["reason"]), (1, &json!("ws"), &json!("left")));
}
