//! Nothing is looked at while no page is connected.

use crate::harness::secs;
use crate::samples::{RoomKey, happened, newest, open_page, said, served};

#[tornadose_test::test]
async fn stores_are_looked_at_only_while_a_page_is_connected() {
    let (rooms, _ticks, app) = served();
    let reader = rooms.subscribe_to(RoomKey { room: "go".into() });
    let first = open_page(&app).await;
    let second = app.client("second").lenient().sse("/a/inspector/events").await;
    app.settle().await;
    assert_eq!(newest(&second, "stores", None).await["stores"][0]["readers"], 1);
    first.close().await;
    let more = rooms.subscribe();
    app.advance(secs(1)).await;
    assert_eq!(newest(&second, "stores", None).await["stores"][0]["readers"], 2);
    second.close().await;
    app.settle().await;
    // Nothing is left that runs or waits: with a task the end of the test would wait for it.
    drop((reader, more));
    app.advance(secs(60)).await;
    let third = open_page(&app).await;
    app.settle().await;
    let reports = happened(&third, "stores").await;
    assert_eq!(reports.len(), 1, "nothing of what was seen before: {reports:?}");
    assert_eq!(reports[0]["stores"][0]["readers"], 0);
}

#[tornadose_test::test]
async fn what_has_not_changed_is_not_told_again() {
    let (rooms, _ticks, app) = served();
    app.client("go").lenient().sse("/rooms/go").await;
    let page = open_page(&app).await;
    app.settle().await;
    assert!(!page.drain_events().await.is_empty());
    app.advance(secs(10)).await;
    assert!(page.drain_events().await.is_empty());
    rooms.submit(said("go", "hi")).await.unwrap();
    app.advance(secs(1)).await;
    assert_eq!(newest(&page, "stores", None).await["stores"][0]["head"], rooms.head().to_string());
}

#[tornadose_test::test]
async fn a_page_does_not_keep_a_program_from_ending() {
    let (rooms, ticks, app) = served();
    let page = open_page(&app).await;
    app.settle().await;
    rooms.close();
    app.advance(secs(2)).await;
    assert_eq!(newest(&page, "stores", None).await["stores"][0]["state"], "closed");
    ticks.close();
    app.advance(secs(2)).await;
    page.closed().await;
}
