//! Losses that the engine reports, and entries that it sends twice or broken.

use tornadose::backend::{IncomingEntry, Ingested, Offset};
use tornadose_test::assert_transcript;

use crate::connections::harness::secs;
use crate::connections::link::{at, entry, ingest};

use super::empty_app;

#[tornadose_test::test]
async fn trimmed_messages_are_reported_at_their_position() {
    let (app, link) = empty_app().await;
    app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    ingest(&link, 1, "a");
    link.report_trimmed(Some(3));
    ingest(&link, 5, "b");
    app.settle().await;
    app.client("resumes").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    app.client("knows").last_event_id("aaaaaaaa-7.5").sse("/lines").await;
    assert_transcript!(app, @r#"
    sse > GET /lines
    sse ~ open 200 text/event-stream
    ws > GET /lines upgrade websocket
    ws ~ open 101
    sse < message #1 {"text":"a"}
    sse < tornadose:gap {"reason":"trimmed","missed":3}
    sse < message #2 {"text":"b"}
    ws < message #1 {"text":"a"}
    ws < tornadose:gap {"reason":"trimmed","missed":3}
    ws < message #2 {"text":"b"}
    resumes > GET /lines last-event-id #1
    resumes ~ open 200 text/event-stream
    resumes < tornadose:gap {"reason":"trimmed","missed":null}
    resumes < message #2 {"text":"b"}
    knows > GET /lines last-event-id #2
    knows ~ open 200 text/event-stream
    "#);
}

/// Another process has given out the id of a `latest` value, and may have messages after it that were trimmed here.
#[tornadose_test::test]
async fn a_client_that_resumes_from_among_trimmed_entries_is_told() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    link.report_trimmed(Some(3));
    link.mark_trimmed_through(at(4));
    ingest(&link, 3, "kept elsewhere");
    ingest(&link, 5, "b");
    app.client("among").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    app.client("after").last_event_id("aaaaaaaa-7.5").sse("/lines").await;
    assert_transcript!(app, @r#"
    among > GET /lines last-event-id #1
    among ~ open 200 text/event-stream
    among < tornadose:gap {"reason":"trimmed","missed":null}
    among < message #2 {"text":"b"}
    after > GET /lines last-event-id #2
    after ~ open 200 text/event-stream
    "#);
}

#[tornadose_test::test]
async fn an_outage_is_reported_once() {
    let (app, link) = empty_app().await;
    link.ingest_unplaced(entry(r#"{"text":"a"}"#));
    let here = app.client("here").sse("/lines").await;
    link.report_disconnected("a test");
    app.advance(secs(20)).await;
    app.client("late").sse("/lines").await;
    link.report_outage();
    link.caught_up();
    app.settle().await;
    link.ingest_unplaced(entry(r#"{"text":"b"}"#));
    app.settle().await;
    app.client("back").last_event_id(here.last_event_id().unwrap()).sse("/lines").await;
    app.client("before").last_event_id("aaaaaaaa-1").sse("/lines").await;
    app.client("new").sse("/lines").await;
    assert_transcript!(app, @r#"
    here > GET /lines
    here ~ open 200 text/event-stream
    here < message #1 {"text":"a"}
    after 15s
    here < : keep-alive
    after 5s
    late > GET /lines
    late ~ open 200 text/event-stream
    late < message #1 {"text":"a"}
    here < tornadose:gap {"reason":"outage","missed":null}
    late < tornadose:gap {"reason":"outage","missed":null}
    here < message #2 {"text":"b"}
    late < message #2 {"text":"b"}
    back > GET /lines last-event-id #2
    back ~ open 200 text/event-stream
    before > GET /lines last-event-id #1
    before ~ open 200 text/event-stream
    before < tornadose:gap {"reason":"trimmed","missed":null}
    before < message #2 {"text":"b"}
    new > GET /lines
    new ~ open 200 text/event-stream
    new < message {"text":"a"}
    new < message #2 {"text":"b"}
    "#);
}

#[tornadose_test::test]
async fn after_a_reset_every_reader_gets_one_gap_and_the_kept_state() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "a");
    let sse = app.client("sse").sse("/lines").await;
    app.client("ws").ws("/lines").await;
    app.settle().await;
    let former = sse.last_event_id().unwrap();
    ingest(&link, 2, "unread");
    link.reset("bbbbbbbb".parse().unwrap(), Offset::START);
    for seq in 1..=6 {
        ingest(&link, seq, "again");
        tokio::task::yield_now().await;
    }
    app.settle().await;
    app.client("meanwhile").sse("/lines").await;
    link.caught_up();
    app.settle().await;
    ingest(&link, 7, "live");
    app.client("former").last_event_id(former).sse("/lines").await;
    assert_transcript!(app, @r#"
    sse > GET /lines
    sse ~ open 200 text/event-stream
    sse < message #1 {"text":"a"}
    ws > GET /lines upgrade websocket
    ws ~ open 101
    ws < message #1 {"text":"a"}
    meanwhile > GET /lines
    meanwhile ~ open 200 text/event-stream
    sse < tornadose:gap {"reason":"restarted","missed":null}
    sse < message #2 {"text":"again"}
    sse < message #3 {"text":"again"}
    sse < message #4 {"text":"again"}
    sse < message #5 {"text":"again"}
    ws < tornadose:gap {"reason":"restarted","missed":null}
    ws < message #2 {"text":"again"}
    ws < message #3 {"text":"again"}
    ws < message #4 {"text":"again"}
    ws < message #5 {"text":"again"}
    meanwhile < message #2 {"text":"again"}
    meanwhile < message #3 {"text":"again"}
    meanwhile < message #4 {"text":"again"}
    meanwhile < message #5 {"text":"again"}
    sse < message #6 {"text":"live"}
    ws < message #6 {"text":"live"}
    meanwhile < message #6 {"text":"live"}
    former > GET /lines last-event-id #1
    former ~ open 200 text/event-stream
    former < tornadose:gap {"reason":"restarted","missed":null}
    former < message #3 {"text":"again"}
    former < message #4 {"text":"again"}
    former < message #5 {"text":"again"}
    former < message #6 {"text":"live"}
    "#);
}

#[tornadose_test::test]
async fn a_duplicate_is_dropped_and_its_offset_is_known() {
    let (app, link) = empty_app().await;
    app.sse("/lines").await;
    let ingest_from = |seq, sender_id, number, text: &str| {
        let payload = format!(r#"{{"text":"{text}"}}"#);
        link.ingest(at(seq), IncomingEntry::new(payload.as_bytes()).with_sender(sender_id, number))
    };
    assert_eq!(ingest_from(1, "me", 1, "a"), Ingested::Queue);
    assert_eq!(ingest_from(2, "me", 2, "b"), Ingested::Queue);
    assert_eq!(ingest_from(3, "you", 1, "yours"), Ingested::Queue);
    assert_eq!(ingest_from(4, "me", 1, "a"), Ingested::Ignored);
    assert_eq!(ingest_from(5, "me", 2, "b"), Ingested::Ignored);
    app.client("back").last_event_id("aaaaaaaa-7.4").sse("/lines").await;
    assert_eq!(ingest_from(6, "me", 3, "c"), Ingested::Queue);
    assert_transcript!(app, @r#"
    lines > GET /lines
    lines ~ open 200 text/event-stream
    lines < message #1 {"text":"a"}
    lines < message #2 {"text":"b"}
    lines < message #3 {"text":"yours"}
    back > GET /lines last-event-id #4
    back ~ open 200 text/event-stream
    lines < message #5 {"text":"c"}
    back < message #5 {"text":"c"}
    "#);
}

#[tornadose_test::test]
async fn an_unreadable_entry_is_a_gap() {
    let (app, link) = empty_app().await;
    app.sse("/lines").await;
    app.client("ws").ws("/lines").await;
    ingest(&link, 1, "before");
    for (seq, payload) in [(2, &b"{"[..]), (3, br#"{"txt":"a"}"#), (4, b"{\"text\":\"\xff\"}"), (5, b"")] {
        assert_eq!(link.ingest(at(seq), IncomingEntry::new(payload)), Ingested::Unreadable);
    }
    link.skip_unreadable(at(6), "no field `data`");
    assert_eq!(ingest(&link, 6, "an earlier offset"), Ingested::Ignored);
    ingest(&link, 7, "after");
    assert_transcript!(app, @r#"
    lines > GET /lines
    lines ~ open 200 text/event-stream
    ws > GET /lines upgrade websocket
    ws ~ open 101
    lines < message #1 {"text":"before"}
    lines < tornadose:gap {"reason":"unreadable","missed":1}
    lines < tornadose:gap {"reason":"unreadable","missed":1}
    lines < tornadose:gap {"reason":"unreadable","missed":1}
    lines < tornadose:gap {"reason":"unreadable","missed":1}
    lines < tornadose:gap {"reason":"unreadable","missed":1}
    lines < message #2 {"text":"after"}
    ws < message #1 {"text":"before"}
    ws < tornadose:gap {"reason":"unreadable","missed":1}
    ws < tornadose:gap {"reason":"unreadable","missed":1}
    ws < tornadose:gap {"reason":"unreadable","missed":1}
    ws < tornadose:gap {"reason":"unreadable","missed":1}
    ws < tornadose:gap {"reason":"unreadable","missed":1}
    ws < message #2 {"text":"after"}
    "#);
}

/// A client that has received the message from a process that can read it has missed nothing.
#[tornadose_test::test]
async fn a_client_that_resumes_is_told_of_the_unreadable_entries_after_its_id() {
    let (app, link) = empty_app().await;
    ingest(&link, 1, "before");
    assert_eq!(link.ingest(at(2), IncomingEntry::new(b"{}")), Ingested::Unreadable);
    ingest(&link, 3, "after");
    app.client("before").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    app.client("it").last_event_id("aaaaaaaa-7.2").sse("/lines").await;
    app.client("after").last_event_id("aaaaaaaa-7.3").sse("/lines").await;
    link.report_trimmed(Some(1));
    ingest(&link, 5, "last");
    app.settle().await;
    app.client("trimmed").last_event_id("aaaaaaaa-7.1").sse("/lines").await;
    assert_transcript!(app, @r#"
    before > GET /lines last-event-id #1
    before ~ open 200 text/event-stream
    before < tornadose:gap {"reason":"unreadable","missed":null}
    before < message #2 {"text":"after"}
    it > GET /lines last-event-id #3
    it ~ open 200 text/event-stream
    it < message #2 {"text":"after"}
    after > GET /lines last-event-id #2
    after ~ open 200 text/event-stream
    before < tornadose:gap {"reason":"trimmed","missed":1}
    before < message #4 {"text":"last"}
    it < tornadose:gap {"reason":"trimmed","missed":1}
    it < message #4 {"text":"last"}
    after < tornadose:gap {"reason":"trimmed","missed":1}
    after < message #4 {"text":"last"}
    trimmed > GET /lines last-event-id #1
    trimmed ~ open 200 text/event-stream
    trimmed < tornadose:gap {"reason":"trimmed","missed":null}
    trimmed < message {"text":"after"}
    trimmed < message #4 {"text":"last"}
    "#);
}
