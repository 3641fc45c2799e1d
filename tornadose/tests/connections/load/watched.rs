//! Loads of keys that the client of a WebSocket watches.

use serde::Deserialize;
use serde::de::IgnoredAny;
use tornadose_test::{Client, assert_transcript};

use crate::connections::harness::secs;
use crate::connections::table::{Change, ChangeKey, Load, change, change_in, lists};

/// An event that a client sees. Each reset is of one key.
#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Seen {
    #[serde(rename = "tornadose:reset")]
    Reset { key: u32 },
    #[serde(rename = "tornadose:gap")]
    Gap {},
    #[serde(rename = "row")]
    Row { list: u32, id: u32, version: u64 },
    #[serde(rename = "tornadose:watching", alias = "tornadose:unwatched")]
    Confirmed {},
}

fn note(list: u32, text: &str) -> Change {
    Change::Note { list, text: text.into() }
}

#[tornadose_test::test]
async fn a_watched_key_is_reset_and_loaded_before_what_is_kept_of_it() {
    let (store, table, app) = lists();
    table.commit(1, 7, 1);
    table.commit(1, 101, 1);
    table.commit(2, 9, 1);
    store.submit(note(1, "kept")).await.unwrap();
    let page = app.client("page").ws("/watched").await;
    page.watch(&1).await;
    change(&store, &table, 8, 1).await;
    assert_eq!(table.take_calls(), ["loads [1]"]);
    assert_transcript!(page, @r#"
    page > GET /watched upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < tornadose:reset {"key":1}
    page < row {"list":1,"id":7,"version":1}
    page < note at #1 of 1 {"list":1,"text":"kept"}
    page < tornadose:watching {"keys":[1]}
    page < row #2 {"list":1,"id":8,"version":1}
    "#);
}

#[tornadose_test::test]
async fn the_keys_of_the_request_are_loaded_when_the_connection_opens_and_each_is_reset() {
    let (store, table, app) = lists();
    table.commit(1, 7, 1);
    table.commit(2, 9, 1);
    store.submit(note(2, "kept")).await.unwrap();
    let socket = app.client("socket").ws("/watched?list=1&list=2").await;
    let stream = app.client("stream").sse("/watched?list=1&list=2").await;
    assert_eq!(table.take_calls(), ["loads [1, 2]", "loads [1, 2]"]);
    assert_transcript!(app, @r#"
    socket > GET /watched?list=1&list=2 upgrade websocket
    socket ~ open 101
    socket < tornadose:reset {"key":1}
    socket < tornadose:reset {"key":2}
    socket < row {"list":1,"id":7,"version":1}
    socket < row {"list":2,"id":9,"version":1}
    socket < note #1 {"list":2,"text":"kept"}
    stream > GET /watched?list=1&list=2
    stream ~ open 200 text/event-stream
    stream < tornadose:reset {}
    stream < row {"list":1,"id":7,"version":1}
    stream < row {"list":2,"id":9,"version":1}
    stream < note #1 {"list":2,"text":"kept"}
    "#);
    drop((socket, stream));
}

#[tornadose_test::test]
async fn keys_of_one_request_are_loaded_at_once_and_those_with_a_known_id_are_not() {
    let (store, table, app) = lists();
    table.commit(2, 9, 1);
    change(&store, &table, 7, 1).await;
    let since = store.head().to_string();
    change(&store, &table, 7, 2).await;
    let page = app.client("page").ws("/watched").await;
    page.watch_since(&1, &since).await;
    page.send_text(r#"{"tornadose:watch":[2,3,100]}"#).await;
    page.watch_since(&4, "of-another-life").await;
    assert_eq!(table.take_calls(), ["loads [2, 3]", "loads [4]"]);
    assert_transcript!(page, @r##"
    page > GET /watched upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1],"since":"#1"}
    page < row at #2 of 1 {"list":1,"id":7,"version":2}
    page < tornadose:watching {"keys":[1]}
    page > {"tornadose:watch":[2,3,100]}
    page < tornadose:error {"reason":"no list 100","key":100}
    page < tornadose:reset {"key":2}
    page < row {"list":2,"id":9,"version":1}
    page < tornadose:reset {"key":3}
    page < tornadose:watching {"keys":[2,3]}
    page > {"tornadose:watch":[4],"since":"of-another-life"}
    page < tornadose:gap {"reason":"restarted","missed":null,"key":4}
    page < tornadose:reset {"key":4}
    page < tornadose:watching {"keys":[4]}
    "##);
}

#[tornadose_test::test]
async fn while_the_hook_runs_nothing_is_delivered_and_no_text_is_received() {
    let (store, table, app) = lists();
    table.commit(2, 9, 1);
    let page = app.client("page").ws("/watched").await;
    page.watch(&1).await;
    table.takes(secs(3));
    page.watch(&2).await;
    page.send_text(r#"{"tornadose:ask":1,"data":"hello"}"#).await;
    table.take_calls();
    change(&store, &table, 7, 1).await;
    change_in(&store, &table, 2, 9, 2).await;
    app.advance(secs(2)).await;
    assert_eq!(table.take_calls(), Vec::<String>::new());
    app.advance(secs(2)).await;
    assert_eq!(table.take_calls(), ["received hello"]);
    assert_transcript!(page, @r#"
    page > GET /watched upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < tornadose:reset {"key":1}
    page < tornadose:watching {"keys":[1]}
    page > {"tornadose:watch":[2]}
    page > {"tornadose:ask":1,"data":"hello"}
    after 3s
    page < tornadose:reset {"key":2}
    page < row {"list":2,"id":9,"version":2}
    page < tornadose:watching {"keys":[2]}
    page < row #1 {"list":1,"id":7,"version":1}
    page < row #2 {"list":2,"id":9,"version":2}
    page < tornadose:reply 1 "hello"
    "#);
}

#[tornadose_test::test]
async fn after_a_gap_every_key_of_the_connection_is_loaded_again() {
    let (store, table, app) = lists();
    let page = app.client("page").buffer_size(64).ws("/watched?list=1").await;
    page.watch(&2).await;
    page.skip(3).await;
    table.commit(2, 9, 1);
    table.take_calls();
    page.stall().await;
    for version in 0..40 {
        change(&store, &table, 7, version).await;
        app.settle().await;
    }
    page.resume().await;
    app.settle().await;
    assert_eq!(table.take_calls(), ["loads [1, 2]"]);
    let events: Vec<Seen> = page.drain().await;
    let gap = events.iter().position(|event| *event == Seen::Gap {}).unwrap();
    let expected = [
        Seen::Reset { key: 1 },
        Seen::Reset { key: 2 },
        Seen::Row { list: 1, id: 7, version: 39 },
        Seen::Row { list: 2, id: 9, version: 1 },
    ];
    assert_eq!(events[gap + 1..][..4], expected, "{events:?}");
}

#[tornadose_test::test]
async fn a_gap_that_an_unwatch_reports_loads_what_is_left() {
    let (store, table, app) = lists();
    let page = app.client("page").buffer_size(64).ws("/watched?list=1").await;
    page.watch(&2).await;
    page.skip(3).await;
    table.take_calls();
    page.stall().await;
    for version in 0..40 {
        change_in(&store, &table, 2, 9, version).await;
        app.settle().await;
    }
    page.unwatch(&2).await;
    page.resume().await;
    app.settle().await;
    let calls = table.take_calls();
    let events: Vec<Seen> = page.drain().await;
    // The gap is reported while the connection has both keys. Whether they are loaded before the key is given up depends on
    // what was under way.
    assert!(events.contains(&Seen::Gap {}), "{events:?}");
    assert!(calls.iter().all(|call| call == "loads [1, 2]" || call == "loads [1]") && !calls.is_empty(), "{calls:?}");
    let reset = events.iter().rposition(|event| *event == Seen::Reset { key: 1 });
    assert!(reset > events.iter().position(|event| *event == Seen::Gap {}), "{events:?}");
}

#[tornadose_test::test]
async fn messages_that_are_trimmed_while_the_hook_runs_are_a_gap_behind_what_it_loads() {
    let (store, table, app) = lists();
    let page = app.client("page").ws("/watched").await;
    table.takes(secs(1));
    change(&store, &table, 7, 0).await;
    page.watch(&1).await;
    for version in 1..6 {
        change(&store, &table, 7, version).await;
    }
    app.advance(secs(3)).await;
    assert_eq!(table.take_calls(), ["loads [1]", "loads [1]"]);
    assert_transcript!(page, @r#"
    page > GET /watched upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    after 1s
    page < tornadose:reset {"key":1}
    page < row {"list":1,"id":7,"version":5}
    page < tornadose:watching {"keys":[1]}
    page < tornadose:gap {"reason":"lagged","missed":1}
    after 1s
    page < tornadose:reset {"key":1}
    page < row {"list":1,"id":7,"version":5}
    page < row #1 {"list":1,"id":7,"version":2}
    page < row #2 {"list":1,"id":7,"version":3}
    page < row #3 {"list":1,"id":7,"version":4}
    page < row #4 {"list":1,"id":7,"version":5}
    "#);
}

#[tornadose_test::test]
async fn with_lag_close_messages_that_are_trimmed_while_the_hook_runs_end_the_connection() {
    let (store, table, app) = lists();
    let page = app.client("page").lenient().ws("/strict").await;
    table.takes(secs(1));
    page.watch(&1).await;
    for version in 0..6 {
        change(&store, &table, 7, version).await;
    }
    app.advance(secs(3)).await;
    assert_eq!(table.take_calls(), ["loads [1]"]);
    assert!(page.recording().to_string().ends_with("page ~ close 1013 (server) lagged\n"), "{}", page.recording());
}

#[tornadose_test::test]
async fn a_hook_that_fails_or_strays_ends_the_connection() {
    let (_store, table, app) = lists();
    for (load, name) in [(Load::Fails(404), "fails"), (Load::Panics, "panics"), (Load::Strays, "strays")] {
        table.commit(2, 9, 1);
        let page = app.client(name).lenient().ws("/watched").await;
        table.next_loads(load);
        page.watch(&1).await;
        app.settle().await;
        let transcript = page.recording().to_string();
        assert!(transcript.contains("~ close 1011 (server)"), "{transcript}");
        assert!(!transcript.contains("row"), "{transcript}");
        table.next_loads(Load::Reads);
    }
    app.expect_panic("load").await;
    // When the connection opens, the status is the answer.
    table.next_loads(Load::Fails(404));
    let refused = app.client("refused").lenient().ws("/watched?list=1").await;
    assert!(refused.recording().to_string().contains("404"), "{}", refused.recording());
    // Without a key there is nothing to load.
    let open = app.client("open").ws("/watched").await;
    open.quiet().await;
}

#[tornadose_test::test]
async fn a_connection_that_ends_while_the_hook_runs_drops_it() {
    let (store, table, app) = lists();
    let page = app.client("page").ws("/watched").await;
    table.takes(secs(5));
    page.watch(&1).await;
    assert_eq!(table.running(), 1);
    Client::close(&page).await;
    app.settle().await;
    assert_eq!((table.running(), store.subscribers()), (0, 0));
    let other = app.client("other").lenient().ws("/watched").await;
    other.watch(&1).await;
    assert_eq!(table.running(), 1);
    store.close();
    app.settle().await;
    assert_eq!(table.running(), 0);
    assert!(other.recording().to_string().contains("close 1001 (server)"), "{}", other.recording());
}

#[tornadose_test::test]
async fn many_watches_after_one_another_do_not_wait() {
    let (store, table, app) = lists();
    let page = app.client("page").ws("/watched").await;
    for _ in 0..10 {
        // There is always something to read.
        change_in(&store, &table, 3, 1, 1).await;
        page.watch(&3).await;
        change_in(&store, &table, 3, 1, 2).await;
        page.unwatch(&3).await;
    }
    app.settle().await;
    assert_eq!(table.take_loads(), 10);
    page.drain::<IgnoredAny>().await;
}

#[tornadose_test::test]
async fn a_removed_key_is_reset_with_all_keys_of_the_connection() {
    let (store, table, app) = lists();
    let page = app.client("page").ws("/watched").await;
    page.watch(&1).await;
    change(&store, &table, 7, 1).await;
    app.settle().await;
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    assert_eq!(table.take_calls(), ["loads [1]", "loads [1]"]);
    assert_transcript!(page, @r#"
    page > GET /watched upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < tornadose:reset {"key":1}
    page < tornadose:watching {"keys":[1]}
    page < row #1 {"list":1,"id":7,"version":1}
    page < tornadose:gap {"reason":"removed","missed":0}
    page < tornadose:reset {"key":1}
    page < row {"list":1,"id":7,"version":1}
    "#);
}
