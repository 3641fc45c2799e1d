//! Loads of a store that a backend fills: ids that have yet to arrive, new epochs, outages, other processes.

use std::time::Duration;

use salvo::Router;
use tornadose::backend::{BackendLink, Offset};
use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use crate::connections::harness::{harness, secs};
use crate::connections::link::{Line, ingest, open_empty};

#[subscriber(sse, ws, store = Line, replay = 10, load = Self::stored, opened = Self::opened)]
struct Lines;

impl Lines {
    async fn stored(&self, _: &Store<Line>) -> Result<[Line; 2], StatusError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(["x", "y"].map(|text| Line { text: text.into() }))
    }

    async fn opened(&mut self, _: &Store<Line>) {}
}

async fn app() -> (Harness, BackendLink) {
    let (store, link) = open_empty::<Line>().await;
    (harness(Router::with_path("lines").get(Lines::handler(&store))), link)
}

#[tornadose_test::test]
async fn a_client_that_is_ahead_is_loaded_only_if_its_id_does_not_arrive() {
    let (app, link) = app().await;
    ingest(&link, 1, "a");
    let known = app.client("known").last_event_id("aaaaaaaa-7.2").sse("/lines").await;
    let ahead = app.client("ahead").ws("/lines?last_event_id=aaaaaaaa-7.9").await;
    app.advance(secs(1)).await;
    ingest(&link, 2, "b");
    app.settle().await;
    ingest(&link, 3, "c");
    app.advance(secs(2)).await;
    assert_transcript!(app, @r#"
    known > GET /lines last-event-id #1
    known ~ open 200 text/event-stream
    ahead > GET /lines?last_event_id=#2 upgrade websocket
    ahead ~ open 101
    after 1s
    known < message #3 {"text":"c"}
    after 1s
    ahead < tornadose:gap {"reason":"restarted","missed":null}
    after 1ms
    ahead < tornadose:reset {}
    ahead < message {"text":"x"}
    ahead < message {"text":"y"}
    ahead < message #4 {"text":"a"}
    ahead < message #1 {"text":"b"}
    ahead < message #3 {"text":"c"}
    "#);
    drop((known, ahead));
}

#[tornadose_test::test]
async fn a_new_epoch_and_an_outage_load_again() {
    let (app, link) = app().await;
    ingest(&link, 1, "a");
    let ada = app.client("ada").sse("/lines").await;
    let bob = app.client("bob").ws("/lines").await;
    app.advance(secs(1)).await;
    link.report_outage();
    link.caught_up();
    app.advance(secs(1)).await;
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    app.advance(secs(1)).await;
    // While the log is loaded again, nothing else is.
    ingest(&link, 1, "b");
    app.advance(secs(1)).await;
    link.caught_up();
    app.advance(secs(1)).await;
    assert_transcript!(app, @r#"
    ada > GET /lines
    after 1ms
    ada ~ open 200 text/event-stream
    ada < tornadose:reset {}
    ada < message {"text":"x"}
    ada < message {"text":"y"}
    ada < message #1 {"text":"a"}
    bob > GET /lines upgrade websocket
    after 1ms
    bob ~ open 101
    bob < tornadose:reset {}
    bob < message {"text":"x"}
    bob < message {"text":"y"}
    bob < message #1 {"text":"a"}
    after 1s
    ada < tornadose:gap {"reason":"outage","missed":null}
    bob < tornadose:gap {"reason":"outage","missed":null}
    after 1ms
    ada < tornadose:reset {}
    ada < message {"text":"x"}
    ada < message {"text":"y"}
    ada < message {"text":"a"}
    bob < tornadose:reset {}
    bob < message {"text":"x"}
    bob < message {"text":"y"}
    bob < message {"text":"a"}
    after 2.999s
    ada < tornadose:gap {"reason":"restarted","missed":null}
    bob < tornadose:gap {"reason":"restarted","missed":null}
    after 1ms
    ada < tornadose:reset {}
    ada < message {"text":"x"}
    ada < message {"text":"y"}
    ada < message #2 {"text":"b"}
    bob < tornadose:reset {}
    bob < message {"text":"x"}
    bob < message {"text":"y"}
    bob < message #2 {"text":"b"}
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn in_front_of_a_later_reset_stands_an_id_that_no_process_knows() {
    let (app, link) = app().await;
    ingest(&link, 1, "a");
    let ada = app.client("ada").sse("/lines").await;
    let bob = app.client("bob").ws("/lines").await;
    app.advance(secs(1)).await;
    link.report_trimmed(Some(1));
    ingest(&link, 3, "b");
    app.advance(secs(1)).await;
    let wire = app.recording().wire();
    let frames = wire.lines().filter(|line| line.contains(" < "));
    insta::assert_snapshot!(frames.collect::<Vec<_>>().join("\n"), @r##"
    ada < retry: 3000\n: tornadose\nevent: tornadose:reset\ndata: {}\n\n
    ada < data: {"text":"x"}\n\n
    ada < data: {"text":"y"}\n\n
    ada < id: #1\ndata: {"text":"a"}\n\n
    bob < text {"event":"tornadose:reset","data":{}}
    bob < text {"data":{"text":"x"}}
    bob < text {"data":{"text":"y"}}
    bob < text {"id":"#1","data":{"text":"a"}}
    ada < event: tornadose:gap\ndata: {"reason":"trimmed","missed":1}\n\n
    bob < text {"event":"tornadose:gap","data":{"reason":"trimmed","missed":1}}
    ada < id: #2\n\n
    ada < event: tornadose:reset\ndata: {}\n\n
    ada < data: {"text":"x"}\n\n
    ada < data: {"text":"y"}\n\n
    ada < data: {"text":"a"}\n\n
    ada < id: #3\ndata: {"text":"b"}\n\n
    bob < text {"id":"#2"}
    bob < text {"event":"tornadose:reset","data":{}}
    bob < text {"data":{"text":"x"}}
    bob < text {"data":{"text":"y"}}
    bob < text {"data":{"text":"a"}}
    bob < text {"id":"#3","data":{"text":"b"}}
    "##);
    assert_eq!(ada.last_event_id().as_deref(), Some("aaaaaaaa-7.3"));
    for client in [&ada, &*bob] {
        client.skip(10).await;
    }
    let nowhere = app.client("nowhere").last_event_id("00000000-0").sse("/lines").await;
    app.advance(secs(1)).await;
    assert_transcript!(nowhere, @r#"
    nowhere > GET /lines last-event-id #1
    after 1ms
    nowhere ~ open 200 text/event-stream
    nowhere < tornadose:gap {"reason":"restarted","missed":null}
    nowhere < tornadose:reset {}
    nowhere < message {"text":"x"}
    nowhere < message {"text":"y"}
    nowhere < message {"text":"a"}
    nowhere < message #2 {"text":"b"}
    "#);
}
