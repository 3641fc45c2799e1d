//! Loads after gaps, and loads during which messages are trimmed.

use tornadose_test::{Client, assert_transcript};

use crate::connections::harness::secs;
use crate::connections::table::{Change, ChangeKey, Seen, change, lists};

#[tornadose_test::test]
async fn a_client_that_lags_is_told_reset_and_loaded_again() {
    let (store, table, app) = lists();
    let ada = app.client("ada").buffer_size(64).sse("/lists/1").await;
    let bob = app.client("bob").buffer_size(64).ws("/lists/1").await;
    for client in [&ada, &*bob] {
        client.skip(1).await;
        client.stall().await;
    }
    table.take_loads();
    for version in 0..40 {
        change(&store, &table, 7, version).await;
        app.settle().await;
    }
    assert_eq!(table.take_loads(), 0);
    for client in [&ada, &*bob] {
        client.resume().await;
        app.settle().await;
        let events: Vec<Seen> = client.drain().await;
        let gap = events.iter().position(Seen::is_gap).unwrap();
        // The state is that of the table.
        assert_eq!(events[gap + 1..][..2], [Seen::Reset {}, Seen::Row { list: 1, id: 7, version: 39 }], "{events:?}");
    }
    assert_eq!(table.take_loads(), 2);
}

#[tornadose_test::test]
async fn what_is_loaded_is_thrown_away_when_messages_are_trimmed_meanwhile() {
    let (store, table, app) = lists();
    table.takes(secs(1));
    let ada = app.client("ada").without_waiting().sse("/lists/1").await;
    let bob = app.client("bob").without_waiting().ws("/lists/1").await;
    for version in 0..6 {
        change(&store, &table, 7, version).await;
    }
    app.advance(secs(1)).await;
    // One more of the kept messages is trimmed, which the second load has.
    change(&store, &table, 8, 0).await;
    app.advance(secs(2)).await;
    assert_eq!(table.take_loads(), 4);
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    bob > GET /lists/1 upgrade websocket
    after 1s
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:gap {"reason":"lagged","missed":2}
    bob ~ open 101
    bob < tornadose:gap {"reason":"lagged","missed":2}
    after 1s
    ada < tornadose:gap {"reason":"lagged","missed":1}
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":5}
    ada < row {"list":1,"id":8,"version":0}
    ada < row #1 {"list":1,"id":7,"version":3}
    ada < row #2 {"list":1,"id":7,"version":4}
    ada < row #3 {"list":1,"id":7,"version":5}
    ada < row #4 {"list":1,"id":8,"version":0}
    bob < tornadose:gap {"reason":"lagged","missed":1}
    bob < tornadose:reset {}
    bob < row {"list":1,"id":7,"version":5}
    bob < row {"list":1,"id":8,"version":0}
    bob < row #1 {"list":1,"id":7,"version":3}
    bob < row #2 {"list":1,"id":7,"version":4}
    bob < row #3 {"list":1,"id":7,"version":5}
    bob < row #4 {"list":1,"id":8,"version":0}
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn a_load_that_is_thrown_away_again_and_again_waits_longer_and_longer() {
    let (store, table, app) = lists();
    table.takes(secs(1));
    let ada = app.client("ada").without_waiting().sse("/lists/1").await;
    let bob = app.client("bob").without_waiting().ws("/lists/1").await;
    let mut starts = Vec::new();
    for second in 0..120_u64 {
        let before = table.loads();
        for version in 0..6 {
            change(&store, &table, 7, second * 6 + version).await;
        }
        app.advance(secs(1)).await;
        starts.extend((table.loads() > before).then_some(second + 1));
    }
    // After that of the opening: the second at once, then 1, 2, 4, 8, 16 and 30 s after the start of the one before.
    assert_eq!(starts, [1, 2, 4, 8, 16, 32, 62, 92]);
    // It is quiet: the next load is delivered, and the keep-alives have gone on.
    app.advance(secs(31)).await;
    for client in [&ada, &*bob] {
        let events: Vec<Seen> = client.drain().await;
        assert_eq!(events.iter().filter(|event| **event == Seen::Reset {}).count(), 1);
        assert!(events.iter().filter(|event| event.is_gap()).count() > 7);
        client.quiet().await;
    }
    assert!(ada.recording().to_string().contains("ada < : keep-alive"));
    assert!(bob.recording().to_string().contains("bob < ping"));
    // The waits begin again.
    let before = table.loads();
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.advance(secs(2)).await;
    assert_eq!(table.loads(), before + 2);
    for client in [&ada, &*bob] {
        client.skip(3).await;
    }
    Client::close(&bob).await;
}

#[tornadose_test::test]
async fn with_lag_close_a_client_whose_messages_are_trimmed_meanwhile_ends() {
    let (store, table, app) = lists();
    table.takes(secs(1));
    let ada = app.client("ada").without_waiting().once().sse("/hooked/1").await;
    let bob = app.client("bob").without_waiting().ws("/hooked/1").await;
    for version in 0..6 {
        change(&store, &table, 7, version).await;
    }
    app.advance(secs(2)).await;
    assert_eq!(store.subscribers(), 0);
    assert_transcript!(app, @r"
    ada > GET /hooked/1
    bob > GET /hooked/1 upgrade websocket
    after 1s
    ada ~ open 200 text/event-stream, retry 4.472s
    ada ~ end
    bob ~ open 101
    bob ~ close 1013 (server) lagged
    ");
    drop((ada, bob));
}

#[tornadose_test::test]
async fn a_removal_resets_its_readers() {
    let (store, table, app) = lists();
    change(&store, &table, 7, 1).await;
    let ada = app.client("ada").sse("/lists/1").await;
    let other = app.client("other").ws("/lists/2").await;
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    change(&store, &table, 7, 2).await;
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":1}
    other > GET /lists/2 upgrade websocket
    other ~ open 101
    other < tornadose:reset {}
    ada < tornadose:gap {"reason":"removed","missed":0}
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":2}
    ada < row #1 {"list":1,"id":7,"version":2}
    "#);
    drop((ada, other));
}

#[tornadose_test::test]
async fn a_large_state_arrives_whole_in_several_pieces() {
    let (store, table, app) = lists();
    for id in (0..10_000).step_by(2).filter(|id| *id != 66) {
        table.commit(1, id, 1);
    }
    let ada = app.client("ada").buffer_size(256).sse("/lists/1").await;
    let bob = app.client("bob").buffer_size(256).ws("/lists/1").await;
    change(&store, &table, 10_000, 1).await;
    for client in [&ada, &*bob] {
        let events: Vec<Seen> = client.drain().await;
        assert_eq!(events.len(), 1 + 4999 + 1);
        let transcript = client.recording().to_string();
        let with_ids: Vec<&str> = transcript.lines().filter(|line| line.contains('#')).collect();
        assert_eq!(with_ids.len(), 1, "only the last one carries an id");
        assert!(with_ids[0].ends_with(r#"row #1 {"list":1,"id":10000,"version":1}"#));
    }
}

#[tornadose_test::test]
async fn after_a_reset_the_kept_state_is_sent_again() {
    let (store, table, app) = lists();
    store.submit(Change::Note { list: 1, text: "kept".into() }).await.unwrap();
    change(&store, &table, 7, 0).await;
    let ada = app.client("ada").buffer_size(64).sse("/lists/1").await;
    let bob = app.client("bob").buffer_size(64).ws("/lists/1").await;
    for client in [&ada, &*bob] {
        client.skip(3).await;
        client.stall().await;
    }
    for version in 1..40 {
        change(&store, &table, 7, version).await;
        app.settle().await;
    }
    for client in [&ada, &*bob] {
        client.resume().await;
        app.settle().await;
        let events: Vec<Seen> = client.drain().await;
        let reset = events.iter().position(|event| *event == Seen::Reset {}).unwrap();
        let row = |version| Seen::Row { list: 1, id: 7, version };
        // The note was sent before, and the page has dropped it.
        let note = Seen::Note { list: 1, text: "kept".into() };
        assert_eq!(events[reset + 1..], [row(39), note, row(36), row(37), row(38), row(39)], "{events:?}");
    }
}
