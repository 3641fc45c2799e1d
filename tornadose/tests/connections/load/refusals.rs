//! What clients are answered when `load` fails.

use tornadose_test::{Client, assert_transcript};

use crate::connections::harness::secs;
use crate::connections::log::CapturedLog;
use crate::connections::table::{Change, ChangeKey, Load, Seen, lists};

/// Takes the lines that name a reason or a hook, without what differs between the test binaries.
fn take(log: &CapturedLog) -> String {
    let lines = log.take();
    let shown = lines.iter().map(|line| line.split(" detached=").next().unwrap());
    shown.filter(|line| ["reason=", "hook="].iter().any(|field| line.contains(field))).collect::<Vec<_>>().join("\n")
}

#[tornadose_test::test]
async fn at_the_opening_a_4xx_is_the_response_and_anything_else_that_of_a_full_handler() {
    let (store, table, app) = lists();
    let (log, _guard) = CapturedLog::start();
    for load in [Load::Fails(404), Load::Fails(500)] {
        table.next_loads(load);
        let ada = app.client("ada").once().sse("/lists/1").await;
        let bob = app.client("bob").ws("/hooked/1").await;
        drop((ada, bob));
    }
    assert_eq!(store.subscribers(), 0);
    assert_eq!(table.take_calls(), ["authorized", "loaded", "loaded", "authorized", "loaded", "loaded"]);
    assert_transcript!(app, @r"
    ada > GET /lists/1
    ada ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: as asked
    bob > GET /hooked/1 upgrade websocket
    bob ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: as asked
    ada-2 > GET /lists/1
    ada-2 ~ open 200 text/event-stream, retry 2.944s
    ada-2 ~ end
    bob-2 > GET /hooked/1 upgrade websocket
    bob-2 ~ answer 503 code: 503\n\nname: Service Unavailable\n\nbrief: the server is closing or full: try again later
    ");
    insta::assert_snapshot!(take(&log), @r#"
    DEBUG connection closed: transport="sse" number=1 reason="refused"
    DEBUG connection closed: transport="ws" number=1 reason="refused"
    DEBUG connection closed: transport="sse" number=2 reason="refused"
    DEBUG connection closed: transport="ws" number=2 reason="refused"
    "#);
}

#[tornadose_test::test]
async fn at_the_opening_a_panic_and_a_message_of_another_key_are_500() {
    let (store, table, app) = lists();
    let (log, _guard) = CapturedLog::start();
    table.commit(2, 1, 1);
    for load in [Load::Panics, Load::Strays] {
        table.next_loads(load);
        let ada = app.client("ada").once().sse("/lists/1").await;
        let bob = app.client("bob").ws("/hooked/1").await;
        drop((ada, bob));
    }
    app.expect_panic("load").await;
    app.expect_panic("load").await;
    assert_eq!((store.subscribers(), table.take_calls().contains(&"opened".to_owned())), (0, false));
    assert_transcript!(app, @r"
    ada > GET /lists/1
    ada ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    server ! panicked: load
    bob > GET /hooked/1 upgrade websocket
    bob ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    server ! panicked: load
    ada-2 > GET /lists/1
    ada-2 ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    bob-2 > GET /hooked/1 upgrade websocket
    bob-2 ~ answer 500 code: 500\n\nname: Internal Server Error\n\nbrief: The server encountered an internal error while processing this request.
    ");
    insta::assert_snapshot!(take(&log), @r#"
    ERROR hook panicked: transport="sse" number=1 hook="load"
    DEBUG connection closed: transport="sse" number=1 reason="panicked"
    ERROR hook panicked: transport="ws" number=1 hook="load"
    DEBUG connection closed: transport="ws" number=1 reason="panicked"
    ERROR loaded message invalid: transport="sse" number=2 reason="key"
    DEBUG connection closed: transport="sse" number=2 reason="invalid_message"
    ERROR loaded message invalid: transport="ws" number=2 reason="key"
    DEBUG connection closed: transport="ws" number=2 reason="invalid_message"
    "#);
}

#[tornadose_test::test]
async fn a_load_that_hangs_is_given_up_after_10_seconds() {
    let (store, table, app) = lists();
    let (log, _guard) = CapturedLog::start();
    table.takes(secs(60));
    let ada = app.client("ada").without_waiting().once().sse("/lists/1").await;
    let bob = app.client("bob").without_waiting().ws("/lists/1").await;
    app.advance(secs(9)).await;
    assert_eq!(store.subscribers(), 2);
    app.advance(secs(1)).await;
    assert_eq!((store.subscribers(), table.running()), (0, 0));
    assert_transcript!(app, @r"
    ada > GET /lists/1
    bob > GET /lists/1 upgrade websocket
    after 10s
    ada ~ open 200 text/event-stream, retry 4.472s
    ada ~ end
    bob ~ answer 503 code: 503\n\nname: Service Unavailable\n\nbrief: the server is closing or full: try again later
    ");
    insta::assert_snapshot!(take(&log), @r#"
    WARN hook timed out: transport="sse" number=1 hook="load"
    DEBUG connection closed: transport="sse" number=1 reason="timed_out"
    WARN hook timed out: transport="ws" number=2 hook="load"
    DEBUG connection closed: transport="ws" number=2 reason="timed_out"
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn after_a_gap_every_failure_ends_the_connection_and_its_closed_hook_follows() {
    for load in [Load::Fails(404), Load::Fails(500), Load::Panics, Load::Strays] {
        let (store, table, app) = lists();
        let (log, _guard) = CapturedLog::start();
        table.commit(2, 1, 1);
        let ada = app.client("ada").once().sse("/hooked/1").await;
        let bob = app.client("bob").ws("/hooked/1").await;
        for client in [&ada, &*bob] {
            client.drain::<Seen>().await;
        }
        table.take_calls();
        table.next_loads(load);
        store.remove(&ChangeKey { list: 1 }).await.unwrap();
        app.settle().await;
        if let Load::Panics = load {
            app.expect_panic("load").await;
            app.expect_panic("load").await;
        }
        assert_eq!((store.subscribers(), table.running()), (0, 0));
        let calls = table.take_calls();
        assert_eq!(calls.iter().filter(|call| *call == "closed").count(), 2, "{calls:?}");
        for (client, end) in [(&ada, "ada ~ end"), (&*bob, "bob ~ close 1011 (server) not loaded")] {
            assert_eq!(client.next_event().await.data, r#"{"reason":"removed","missed":0}"#);
            client.closed().await;
            let transcript = client.recording().to_string();
            assert!(transcript.contains(end), "{transcript}");
        }
        let log = take(&log);
        let reasons: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("DEBUG connection closed")).collect();
        let expected = match load {
            Load::Panics => "panicked",
            Load::Strays => "invalid_message",
            Load::Fails(_) | Load::Reads => "refused",
        };
        let expected = format!("reason={expected:?}");
        assert!(reasons.len() == 2 && reasons.iter().all(|reason| reason.contains(&expected)), "{log}");
    }
}

#[tornadose_test::test]
async fn after_a_gap_a_load_that_hangs_ends_the_connection() {
    let (store, table, app) = lists();
    let ada = app.client("ada").sse("/lists/1").await;
    let bob = app.client("bob").ws("/lists/1").await;
    for client in [&ada, &*bob] {
        client.skip(1).await;
    }
    table.takes(secs(60));
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.advance(secs(9)).await;
    assert_eq!(store.subscribers(), 2);
    table.takes(secs(0));
    // The client of the stream returns and is loaded.
    app.advance(secs(20)).await;
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    bob > GET /lists/1 upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    ada < tornadose:gap {"reason":"removed","missed":0}
    bob < tornadose:gap {"reason":"removed","missed":0}
    after 10s
    ada < retry 4.472s
    ada ~ end
    bob ~ close 1011 (server) not loaded
    after 4.472s
    ada > GET /lists/1 last-event-id #1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:gap {"reason":"trimmed","missed":null}
    ada < tornadose:reset {}
    "#);
    assert_eq!(table.running(), 0);
    Client::close(&bob).await;
}

#[tornadose_test::test]
async fn the_filter_of_what_is_loaded_may_panic() {
    let (store, table, app) = lists();
    table.commit(1, 66, 1);
    let ada = app.client("ada").once().sse("/lists/1").await;
    let bob = app.client("bob").ws("/lists/1").await;
    app.expect_panic("filter").await;
    app.expect_panic("filter").await;
    assert_eq!(store.subscribers(), 0);
    assert_transcript!(app, @r"
    ada > GET /lists/1
    ada ~ open 200 text/event-stream, retry 4.472s
    ada ~ end
    server ! panicked: filter
    bob > GET /lists/1 upgrade websocket
    bob ~ open 101
    bob ~ close 1011 (server) internal error
    server ! panicked: filter
    ");
    drop((ada, bob, Change::Note { list: 1, text: String::new() }));
}
