//! The metrics of the feature `metrics`.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tornadose::prelude::*;

use super::harness::{is_detached, secs};
use super::member::room;
use super::table::{ChangeKey, Load, change, change_in, lists};
use super::watched_room::{Note, RoomKey, ScriptedBackend, said, topic, watched_room};

/// Counters and gauges by name and labels.
#[derive(Default)]
pub(super) struct Counts(Mutex<BTreeMap<String, Arc<Count>>>);

#[derive(Default)]
struct Count {
    sum: AtomicU64,
    additions: AtomicU64,
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.sum.fetch_add(value, Relaxed);
        self.additions.fetch_add(1, Relaxed);
    }
    fn absolute(&self, _: u64) {
        unreachable!("a counter only grows");
    }
}

impl GaugeFn for Count {
    fn increment(&self, _: f64) {
        self.sum.fetch_add(1, Relaxed);
    }
    fn decrement(&self, _: f64) {
        self.sum.fetch_sub(1, Relaxed);
    }
    fn set(&self, _: f64) {
        unreachable!("the gauge goes up and down");
    }
}

impl Counts {
    fn of(&self, key: &Key) -> Arc<Count> {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().unwrap().entry(name.trim_end().to_owned()).or_default())
    }

    /// Returns every sum by name and labels, without the label `detached`, which differs between the
    /// test binaries.
    pub(super) fn lines(&self) -> String {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (name, count) in &*self.0.lock().unwrap() {
            let name = name.split(" detached=").next().unwrap().to_owned();
            *sums.entry(name).or_default() += count.sum.load(Relaxed);
        }
        sums.iter().map(|(name, sum)| format!("{name}: {sum}")).collect::<Vec<_>>().join("\n")
    }

    fn additions(&self, name: &str) -> u64 {
        self.0.lock().unwrap()[name].additions.load(Relaxed)
    }

    fn sum(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |count| count.sum.load(Relaxed))
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("there are no histograms")
    }
}

#[tornadose_test::test]
async fn the_counters_match_what_the_clients_saw() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let (store, app) = watched_room();
    for text in ["1", "2", "3"] {
        store.submit(said(text)).await.unwrap();
    }
    let first = store.head();
    store.submit(topic("cats")).await.unwrap();
    let ada = app.client("ada").lenient().sse("/rooms/cellar").await;
    let bob = app.client("bob").lenient().last_event_id("of no log").ws("/rooms/cellar").await;
    let eve = app.client("eve").lenient().last_event_id(first).ws("/rooms/cellar").await;
    for text in ["secret", "5"] {
        store.submit(said(text)).await.unwrap();
        app.settle().await;
    }
    for _ in 0..6 {
        store.try_submit(said("fast")).unwrap();
        store.try_submit(topic("dogs")).unwrap();
    }
    app.settle().await;
    insta::assert_snapshot!(counts.lines(), @"
    tornadose_connections: 3
    tornadose_connections_opened_total transport=sse: 1
    tornadose_connections_opened_total transport=ws: 2
    tornadose_delivered_total: 26
    tornadose_filtered_total: 3
    tornadose_gaps_total reason=lagged: 3
    tornadose_gaps_total reason=restarted: 1
    tornadose_missed_total: 6
    tornadose_resumes_total outcome=known: 1
    tornadose_resumes_total outcome=restarted: 1
    tornadose_submitted_total: 18
    ");
    bob.send(&"a reason that a user wrote").await;
    ada.close().await;
    store.disconnect(&RoomKey { room: "cellar".into() });
    eve.closed().await;
    insta::assert_snapshot!(counts.lines(), @"
    tornadose_conflated_total: 15
    tornadose_connections: 0
    tornadose_connections_closed_total transport=sse reason=left: 1
    tornadose_connections_closed_total transport=ws reason=disconnected: 1
    tornadose_connections_closed_total transport=ws reason=refused: 1
    tornadose_connections_opened_total transport=sse: 1
    tornadose_connections_opened_total transport=ws: 2
    tornadose_delivered_total: 26
    tornadose_filtered_total: 3
    tornadose_gaps_total reason=lagged: 3
    tornadose_gaps_total reason=restarted: 1
    tornadose_missed_total: 6
    tornadose_resumes_total outcome=known: 1
    tornadose_resumes_total outcome=restarted: 1
    tornadose_submitted_total: 18
    ");
}

#[tornadose_test::test]
async fn connections_are_counted_by_whether_they_are_detached() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let (store, app) = watched_room();
    let open = |detached: bool| counts.sum(&format!("tornadose_connections detached={detached}"));
    let _disconnected = app.client("disconnected").lenient().sse("/rooms/cellar").await;
    let sse = app.client("sse").lenient().sse("/rooms/cellar").await;
    let ws = app.client("ws").lenient().ws("/rooms/cellar").await;
    assert_eq!((open(is_detached()), open(!is_detached())), (3, 0));
    sse.close().await;
    ws.close().await;
    assert_eq!((open(is_detached()), open(!is_detached())), (1, 0));
    store.disconnect(&RoomKey { room: "cellar".into() });
    app.settle().await;
    assert_eq!((open(true), open(false)), (0, 0));
    for labels in ["transport=sse reason=disconnected", "transport=sse reason=left", "transport=ws reason=left"] {
        let closed =
            |detached: bool| counts.sum(&format!("tornadose_connections_closed_total {labels} detached={detached}"));
        assert_eq!((closed(is_detached()), closed(!is_detached())), (1, 0), "{labels}");
    }
}

#[tornadose_test::test]
async fn a_batch_is_one_addition_and_the_counts_balance() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let store = tornadose::Store::new();
    let mut all = store.subscribe();
    for number in 0..10 {
        store.try_submit(said(&number.to_string())).unwrap();
        store.try_submit(topic(&number.to_string())).unwrap();
    }
    // A gap, then what is kept: four said and the last topic.
    for _ in 0..6 {
        all.next().await.unwrap();
    }
    drop(all);
    assert_eq!(counts.additions("tornadose_delivered_total"), 1);
    let named = |name: &str| counts.sum(&format!("tornadose_{name}_total"));
    assert_eq!(named("submitted"), named("delivered") + named("conflated") + named("missed"));
    assert_eq!((named("submitted"), named("delivered"), named("filtered")), (20, 5, 0));
}

#[store(queue)]
#[derive(Serialize)]
enum Moves {
    #[ephemeral]
    Moved(u32),
}

#[tornadose_test::test]
async fn ephemeral_messages_that_were_missed_are_counted_when_the_reader_ends() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let store = Store::new();
    let (mut fast, slow) = (store.subscribe(), store.subscribe());
    for x in 0..3 {
        store.try_submit(Moves::Moved(x)).unwrap();
        fast.next().await.unwrap();
    }
    tokio::time::sleep(secs(6)).await;
    drop((fast, slow));
    let named = |name: &str| counts.sum(&format!("tornadose_{name}_total"));
    assert_eq!((named("submitted"), named("delivered"), named("ephemeral_missed")), (3, 3, 3));
    assert_eq!((named("missed"), named("conflated")), (0, 0));
}

#[tornadose_test::test]
async fn unreadable_entries_are_counted() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let _store = tornadose::Store::<Note>::open(ScriptedBackend).await.unwrap();
    insta::assert_snapshot!(counts.lines(), @"tornadose_unreadable_total channel=note: 4");
}

#[tornadose_test::test]
async fn hooks_that_refuse_hang_or_panic_are_counted() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let (_store, app, _) = room();
    app.client("refused").lenient().ws("/room?user=refused&opened=4003").await;
    app.client("panics").lenient().ws("/room?user=panics&opened=panic").await;
    app.expect_panic("opened").await;
    app.client("hangs").lenient().ws("/room?user=hangs&opened=60s").await;
    for (closed, name) in [("panic", "closed-panics"), ("60s", "closed-hangs")] {
        let path = format!("/room?user={name}&opened=silently&closed={closed}");
        app.client(name).once().lenient().sse(path).await.close().await;
    }
    app.expect_panic("closed").await;
    app.advance(secs(10)).await;
    let lines = counts.lines();
    let failed: Vec<&str> = lines.lines().filter(|line| line.contains("hooks_failed")).collect();
    insta::assert_snapshot!(failed.join("\n"), @"
    tornadose_hooks_failed_total hook=closed outcome=panicked: 1
    tornadose_hooks_failed_total hook=closed outcome=timed_out: 1
    tornadose_hooks_failed_total hook=opened outcome=panicked: 1
    tornadose_hooks_failed_total hook=opened outcome=refused: 1
    tornadose_hooks_failed_total hook=opened outcome=timed_out: 1
    ");
}

#[tornadose_test::test]
async fn what_is_watched_is_counted_with_its_past() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let (store, table, app) = lists();
    change(&store, &table, 7, 1).await;
    change(&store, &table, 101, 1).await;
    let since = store.head();
    change(&store, &table, 8, 1).await;
    change(&store, &table, 103, 1).await;
    let page = app.client("page").lenient().ws("/watched").await;
    // Of what came since, one message is withheld. One key is refused, and one is loaded.
    page.watch_since(&1, since.to_string()).await;
    page.send_text(r#"{"tornadose:watch":[2,100]}"#).await;
    page.watch_since(&3, "of no log").await;
    change_in(&store, &table, 3, 9, 1).await;
    page.unwatch(&3).await;
    change_in(&store, &table, 3, 9, 2).await;
    tornadose_test::Client::close(&page).await;
    insta::assert_snapshot!(counts.lines(), @"
    tornadose_conflated_total: 0
    tornadose_connections: 0
    tornadose_connections_closed_total transport=ws reason=left: 1
    tornadose_connections_opened_total transport=ws: 1
    tornadose_delivered_total: 2
    tornadose_filtered_total: 1
    tornadose_gaps_total reason=restarted: 1
    tornadose_loaded_total: 0
    tornadose_loads_total outcome=delivered: 2
    tornadose_missed_total: 0
    tornadose_submitted_total: 6
    tornadose_watches_total outcome=allowed: 3
    tornadose_watches_total outcome=refused: 1
    ");
}

#[tornadose_test::test]
async fn loads_and_what_was_loaded_are_counted() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let (store, table, app) = lists();
    table.commit(1, 7, 1);
    table.commit(1, 9, 1);
    table.takes(secs(1));
    let page = app.client("page").without_waiting().lenient().sse("/lists/1").await;
    for version in 0..6 {
        change(&store, &table, 7, version).await;
    }
    app.advance(secs(3)).await;
    table.next_loads(Load::Strays);
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    table.commit(2, 1, 1);
    app.advance(secs(1)).await;
    page.close().await;
    table.next_loads(Load::Fails(404));
    app.client("refused").lenient().ws("/lists/1").await;
    let lines = counts.lines();
    let of_loads = ["hooks_failed", "loads", "loaded", "delivered"];
    let shown: Vec<&str> = lines.lines().filter(|line| of_loads.iter().any(|name| line.contains(name))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    tornadose_delivered_total: 4
    tornadose_hooks_failed_total hook=load outcome=invalid_message: 1
    tornadose_hooks_failed_total hook=load outcome=refused: 1
    tornadose_loaded_total: 2
    tornadose_loads_total outcome=delivered: 1
    tornadose_loads_total outcome=dropped: 1
    ");
}
