//! The hook `load`: when it runs, what clients see of it, and what of it does not reach them.

mod backend;
mod by_hand;
mod closing;
mod gaps;
mod pages;
mod programs;
mod refusals;
mod turns;
mod watched;

use salvo::Router;
use tornadose::prelude::*;
use tornadose_test::{Client, assert_transcript};

use super::harness::secs;
use super::log::CapturedLog;
use super::table::{Change, change, lists};

#[tornadose_test::test]
async fn a_new_client_is_reset_and_gets_what_is_loaded_before_what_is_kept() {
    let (store, table, app) = lists();
    table.commit(1, 7, 1);
    table.commit(1, 101, 1);
    table.commit(2, 9, 1);
    store.submit(Change::Note { list: 1, text: "kept".into() }).await.unwrap();
    let ada = app.client("ada").sse("/lists/1").await;
    let bob = app.client("bob").ws("/lists/1").await;
    change(&store, &table, 8, 1).await;
    assert_eq!(table.take_loads(), 2);
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":1}
    ada < note #1 {"list":1,"text":"kept"}
    bob > GET /lists/1 upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    bob < row {"list":1,"id":7,"version":1}
    bob < note #1 {"list":1,"text":"kept"}
    ada < row #2 {"list":1,"id":8,"version":1}
    bob < row #2 {"list":1,"id":8,"version":1}
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn a_loaded_message_carries_no_id_and_the_ids_begin_behind_it() {
    let (store, table, app) = lists();
    table.commit(1, 7, 1);
    let stream = app.client("stream").sse("/lists/1").await;
    let socket = app.client("socket").ws("/lists/1").await;
    let wire = app.recording().wire();
    let frames = wire.lines().filter(|line| line.contains(" < "));
    insta::assert_snapshot!(frames.collect::<Vec<_>>().join("\n"), @r##"
    stream < retry: 2000\n: tornadose\nevent: tornadose:reset\ndata: {}\n\n
    stream < event: row\ndata: {"list":1,"id":7,"version":1}\n\n
    stream < id: #1\n\n
    socket < text {"event":"tornadose:reset","data":{}}
    socket < text {"event":"row","data":{"list":1,"id":7,"version":1}}
    socket < text {"id":"#1"}
    "##);
    for client in [&stream, &*socket] {
        client.skip(2).await;
    }
    drop(store);
}

#[tornadose_test::test]
async fn a_client_that_resumes_after_a_known_id_is_not_reset() {
    let (store, table, app) = lists();
    change(&store, &table, 7, 1).await;
    let ada = app.client("ada").once().sse("/lists/1").await;
    change(&store, &table, 8, 1).await;
    ada.skip(3).await;
    ada.cut().await;
    change(&store, &table, 9, 1).await;
    assert_eq!(table.take_loads(), 1);
    let id = ada.last_event_id().unwrap();
    let again = app.client("again").last_event_id(&id).sse("/lists/1").await;
    let socket = app.client("socket").last_event_id(&id).ws("/lists/1").await;
    for client in [&again, &*socket] {
        assert_eq!(client.next_now::<Change>().await, Change::Row { list: 1, id: 9, version: 1 });
        client.quiet().await;
    }
    assert_eq!(table.take_loads(), 0);
}

#[tornadose_test::test]
async fn a_client_with_an_unknown_id_is_told_of_the_gap_and_then_reset() {
    let (store, table, app) = lists();
    change(&store, &table, 7, 1).await;
    let ada = app.client("ada").last_event_id("of-another-life").sse("/lists/1").await;
    let bob = app.client("bob").last_event_id("of-another-life").ws("/lists/1").await;
    assert_eq!(table.take_loads(), 2);
    assert_transcript!(app, @r#"
    ada > GET /lists/1 last-event-id "of-another-life"
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:gap {"reason":"restarted","missed":null}
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":1}
    ada < row #1 {"list":1,"id":7,"version":1}
    bob > GET /lists/1 upgrade websocket last-event-id "of-another-life"
    bob ~ open 101
    bob < tornadose:gap {"reason":"restarted","missed":null}
    bob < tornadose:reset {}
    bob < row {"list":1,"id":7,"version":1}
    bob < row #1 {"list":1,"id":7,"version":1}
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn what_is_submitted_while_the_hook_runs_follows_what_it_loads() {
    let (store, table, app) = lists();
    table.takes(secs(3));
    let ada = app.client("ada").without_waiting().sse("/lists/1").await;
    let bob = app.client("bob").without_waiting().ws("/lists/1").await;
    assert_eq!(store.subscribers(), 2, "they are subscribed before the hook starts");
    change(&store, &table, 7, 1).await;
    app.advance(secs(4)).await;
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    bob > GET /lists/1 upgrade websocket
    after 3s
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":1}
    ada < row #1 {"list":1,"id":7,"version":1}
    bob ~ open 101
    bob < tornadose:reset {}
    bob < row {"list":1,"id":7,"version":1}
    bob < row #1 {"list":1,"id":7,"version":1}
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn load_runs_after_authorize_and_before_opened_whose_messages_follow() {
    let (_store, table, app) = lists();
    table.commit(1, 7, 1);
    let ada = app.client("ada").sse("/hooked/1").await;
    assert_eq!(table.take_calls(), ["loaded", "opened"]);
    ada.close().await;
    let bob = app.client("bob").ws("/hooked/1").await;
    Client::close(&bob).await;
    assert_eq!(table.take_calls(), ["closed", "loaded", "opened", "closed"]);
    assert_transcript!(app, @r#"
    ada > GET /hooked/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    ada < row {"list":1,"id":7,"version":1}
    ada < note #1 {"list":1,"text":"opened"}
    ada ~ close (client)
    bob > GET /hooked/1 upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    bob < row {"list":1,"id":7,"version":1}
    bob < note #2 {"list":1,"text":"opened"}
    bob ~ close (client)
    "#);
    let plain = app.client("plain").sse("/lists/1").await;
    assert_eq!(table.take_calls(), ["authorized", "loaded"]);
    plain.skip(3).await;
}

#[tornadose_test::test]
async fn a_websocket_is_accepted_after_load_and_a_stream_begins_after_opened() {
    let (_store, table, app) = lists();
    table.takes(secs(3));
    let ada = app.client("ada").without_waiting().sse("/hooked/1").await;
    let bob = app.client("bob").without_waiting().ws("/hooked/2").await;
    app.advance(secs(2)).await;
    assert_transcript!(app, @r"
    ada > GET /hooked/1
    bob > GET /hooked/2 upgrade websocket
    ");
    app.advance(secs(2)).await;
    ada.skip(2).await;
    bob.skip(2).await;
}

#[tornadose_test::test]
async fn a_store_of_latest_values_loads_too() {
    #[store(latest)]
    #[derive(Serialize)]
    struct Tick(u32);

    #[subscriber(sse, ws, store = Tick, load = Self::stored)]
    struct Ticks;

    impl Ticks {
        async fn stored(&self, store: &Store<Tick>) -> Result<Option<Tick>, StatusError> {
            assert_eq!(store.head().to_string().split_once('-').map(|(_, offset)| offset), Some("1"));
            Ok(Some(Tick(0)))
        }
    }

    let store = Store::new();
    store.submit(Tick(1)).await.unwrap();
    let app = super::harness::harness(Router::with_path("ticks").get(Ticks::handler(&store)));
    let new = app.client("new").sse("/ticks").await;
    let known = app.client("known").last_event_id(store.head()).ws("/ticks").await;
    let unknown = app.client("unknown").last_event_id("of-another-life").ws("/ticks").await;
    known.quiet().await;
    assert_transcript!(app, @r#"
    new > GET /ticks
    new ~ open 200 text/event-stream
    new < tornadose:reset {}
    new < message 0
    new < message #1 1
    known > GET /ticks upgrade websocket last-event-id #1
    known ~ open 101
    unknown > GET /ticks upgrade websocket last-event-id "of-another-life"
    unknown ~ open 101
    unknown < tornadose:reset {}
    unknown < message 0
    unknown < message #1 1
    "#);
    drop((new, unknown));
}

#[tornadose_test::test]
async fn the_log_shows_what_was_loaded_beside_the_ledger() {
    let (store, table, app) = lists();
    let (log, _guard) = CapturedLog::start();
    for id in [7, 8, 101] {
        table.commit(1, id, 1);
    }
    let ada = app.client("ada").lenient().once().sse("/lists/1").await;
    store.submit(Change::Note { list: 1, text: "new".into() }).await.unwrap();
    ada.close().await;
    let lines = log.take();
    let closed = lines.iter().find(|line| line.contains("connection closed")).unwrap();
    let ledger = closed.split(" owed=").nth(1).unwrap();
    // Neither of the loaded messages was owed; the one that the filter withholds is not loaded.
    assert_eq!(ledger, "1 delivered=1 filtered=0 conflated=0 missed=0 unread=0 loaded=2");
}
