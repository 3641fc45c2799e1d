//! Streams that finish, over both transports: what their clients get, how their connections end, and that nobody
//! comes back.

use std::time::Duration;

use tornadose::prelude::*;
use tornadose_test::{Client, Ending, Harness, Transport, assert_transcript};

use super::harness::{harness, is_detached, secs};

#[store(queue, capacity = 4)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Run {
    Line {
        #[key]
        run: u32,
        text: String,
    },
    #[latest]
    Progress {
        #[key]
        run: u32,
        percent: u8,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

fn line(run: u32, text: &str) -> Run {
    Run::Line { run, text: text.into() }
}

fn progress(run: u32, percent: u8) -> Run {
    Run::Progress { run, percent }
}

fn done(run: u32) -> Run {
    Run::Done { run }
}

fn key(run: u32) -> RunKey {
    RunKey { run }
}

#[subscriber(sse, ws, store = Run, authorize = Self::may_read, replay = all, retry = "2s")]
struct RunFeed {
    #[key]
    run: u32,
    #[query]
    user: Option<String>,
}

impl RunFeed {
    async fn may_read(&self) -> Result<(), StatusError> {
        if self.user.as_deref() == Some("eve") { Err(StatusError::forbidden().brief("not eve")) } else { Ok(()) }
    }
}

#[subscriber(sse, ws, store = Run, authorize = public, replay = all, filter = Self::is_wanted)]
struct Runs {
    #[keys(run)]
    #[query("run")]
    runs: Vec<u32>,
}

impl Runs {
    #[expect(clippy::unused_self, reason = "a hook takes it")]
    fn is_wanted(&self, run: &Run) -> bool {
        !matches!(run, Run::Done { .. })
    }
}

#[subscriber(sse, ws, store = Run, all_keys, authorize = public, replay = all)]
struct AllRuns;

fn runs() -> (Store<Run>, Harness) {
    let store = Store::new();
    let router = Router::new()
        .push(Router::with_path("runs/{run}").get(RunFeed::handler(&store)))
        .push(Router::with_path("throttled/{run}").get(RunFeed::handler(&store).throttle(secs(10))))
        .push(Router::with_path("one/{run}").get(RunFeed::handler(&store).max_connections(1)))
        .push(Router::with_path("runs").get(Runs::handler(&store)))
        .push(Router::with_path("all").get(AllRuns::handler(&store)));
    (store, harness(router))
}

#[tornadose_test::test]
async fn a_finish_ends_the_connections_that_have_no_other_key() {
    let (store, app) = runs();
    app.client("ada").sse("/runs/1").await;
    app.client("bob").ws("/runs/1").await;
    let set = app.client("set").sse("/runs?run=1&run=2").await;
    let all = app.client("all").ws("/all").await;
    store.submit(line(1, "hi")).await.unwrap();
    store.submit(done(1)).await.unwrap();
    app.settle().await;
    store.submit(line(2, "still here")).await.unwrap();
    // An `EventSource` returns with the id of the finish, and stops.
    app.advance(secs(10)).await;
    assert_eq!(store.subscribers(), 2);
    assert_transcript!(app, @r#"
    ada > GET /runs/1
    ada ~ open 200 text/event-stream, retry 2s
    bob > GET /runs/1 upgrade websocket
    bob ~ open 101
    set > GET /runs?run=1&run=2
    set ~ open 200 text/event-stream
    all > GET /all upgrade websocket
    all ~ open 101
    ada < line #1 {"run":1,"text":"hi"}
    ada < done #2 {"run":1}
    ada < tornadose:finished #3 {}
    ada < retry 4.472s
    ada ~ end
    bob < line #1 {"run":1,"text":"hi"}
    bob < done #2 {"run":1}
    bob < tornadose:finished #3 {}
    bob ~ close 1000 (server) finished
    set < line #1 {"run":1,"text":"hi"}
    set < tornadose:finished #3 {"key":1}
    all < line #1 {"run":1,"text":"hi"}
    all < done #2 {"run":1}
    all < tornadose:finished #3 {"key":1}
    set < line #4 {"run":2,"text":"still here"}
    all < line #4 {"run":2,"text":"still here"}
    after 4.472s
    ada > GET /runs/1 last-event-id #3
    ada ~ answer 204
    "#);
    set.quiet().await;
    all.quiet().await;
}

#[tornadose_test::test]
async fn a_connection_of_several_keys_ends_with_the_last_of_them() {
    for transport in [Transport::Sse, Transport::Ws] {
        let (store, app) = runs();
        let set = app.client("set").open(transport, "/runs?run=1&run=2&run=1").await;
        store.finish(&key(2)).await.unwrap();
        set.next_containing(serde_json::json!({ "key": 2 })).await;
        set.quiet().await;
        store.submit(line(1, "last")).await.unwrap();
        let finish = store.finish(&key(1)).await.unwrap();
        set.skip(1).await;
        set.finished().await;
        assert_eq!(set.last_event_id(), Some(finish.to_string()));
        assert_eq!(store.subscribers(), 0);
    }
}

/// Opens a client that resumes from an id.
async fn resume(app: &Harness, transport: Transport, id: &str, path: &str) -> Client {
    app.client("again").once().open(transport, format!("{path}?last_event_id={id}")).await
}

#[tornadose_test::test]
async fn a_client_that_has_seen_all_is_sent_away_for_good() {
    let (store, app) = runs();
    let before = store.submit(line(1, "hi")).await.unwrap().to_string();
    let finish = store.submit(done(1)).await.unwrap();
    let finished = store.finish(&key(1)).await.unwrap();
    assert_ne!(finish, finished, "the finish has an offset of its own");
    store.submit(line(2, "another run")).await.unwrap();
    for id in [finished, store.head()] {
        let id = id.to_string();
        let again = resume(&app, Transport::Sse, &id, "/runs/1").await;
        assert_eq!(
            (again.status(), &again.headers()["cache-control"]),
            (204, &"no-cache, no-transform".parse().unwrap())
        );
        let again = resume(&app, Transport::Ws, &id, "/runs/1").await;
        assert_eq!(again.closed().await, Ending::Close { code: 1000, reason: "finished".into() });
    }
    // Elsewhere Salvo routes no HEAD to it.
    if is_detached() {
        let head = app.client("head").last_event_id(finished.to_string()).request("HEAD", "/runs/1", "").await;
        assert_eq!(head.status(), 204);
    }
    // Whoever has not seen the finish gets what is missing.
    for id in [before, finish.to_string()] {
        for transport in [Transport::Sse, Transport::Ws] {
            let again = resume(&app, transport, &id, "/runs/1").await;
            again.skip(usize::from(id != finish.to_string())).await;
            again.finished().await;
        }
    }
    assert_eq!(store.subscribers(), 0);
}

#[tornadose_test::test]
async fn whoever_has_seen_all_is_told_after_authorize_and_before_limits() {
    let (store, app) = runs();
    let finish = store.submit(done(1)).await.unwrap();
    let finish = (store.finish(&key(1)).await.unwrap() > finish).then(|| store.head().to_string()).unwrap();
    let full = app.client("full").sse("/one/2").await;
    assert_eq!(resume(&app, Transport::Sse, &finish, "/one/1").await.status(), 204);
    assert_eq!(resume(&app, Transport::Ws, &finish, "/one/1").await.status(), 101);
    let refused = app.client("eve").last_event_id(finish).sse("/runs/1?user=eve").await;
    assert_eq!(refused.status(), 403);
    // One that has not is counted.
    let rejected = app.client("new").once().sse("/one/1").await;
    assert_eq!(rejected.closed().await, Ending::End);
    full.quiet().await;
    app.settle().await;
}

#[tornadose_test::test]
async fn a_newcomer_and_a_client_with_an_unknown_id_get_what_is_kept_and_the_finish() {
    for transport in [Transport::Sse, Transport::Ws] {
        let (store, app) = runs();
        for number in 0..4 {
            store.submit(line(1, &number.to_string())).await.unwrap();
        }
        store.submit(progress(1, 100)).await.unwrap();
        // The first line is trimmed.
        store.submit(done(1)).await.unwrap();
        let new = app.client("new").once().open(transport, "/runs/1").await;
        new.skip(5).await;
        new.finished().await;
        let lost = resume(&app, transport, "abcdefgh-7", "/runs/1").await;
        assert_eq!(lost.next_event().await.data, r#"{"reason":"restarted","missed":null}"#);
        lost.skip(5).await;
        lost.finished().await;
    }
}

#[tornadose_test::test]
async fn an_id_is_judged_by_the_finish_alone_whether_or_not_it_is_known() {
    let (store, app) = runs();
    let first = store.submit(line(1, "0")).await.unwrap().to_string();
    store.submit(done(1)).await.unwrap();
    // The finish is remembered when its messages are trimmed, by whatever.
    let finish = store.finish(&key(1)).await.unwrap().to_string();
    let set = "/runs?run=1&run=2&last_event_id=";
    store.finish(&key(2)).await.unwrap();
    let last = store.head().to_string();
    assert_eq!(app.client("last").sse(format!("{set}{last}")).await.status(), 204);
    let again = app.client("again").once().sse(format!("{set}{finish}")).await;
    again.finished().await;
    let again = app.client("first").once().sse(format!("{set}{first}")).await;
    again.next_containing(serde_json::json!({ "key": 1 })).await;
    again.finished().await;
}

#[tornadose_test::test]
async fn a_finish_does_not_wait_for_a_throttle_and_takes_along_what_waits() {
    for transport in [Transport::Sse, Transport::Ws] {
        let (store, app) = runs();
        let page = app.client("page").once().open(transport, "/throttled/1").await;
        store.submit(line(1, "first")).await.unwrap();
        app.settle().await;
        page.skip(1).await;
        app.advance(secs(1)).await;
        store.submit(line(1, "waits")).await.unwrap();
        store.submit(progress(1, 99)).await.unwrap();
        page.quiet().await;
        store.finish(&key(1)).await.unwrap();
        app.settle().await;
        page.skip(2).await;
        page.finished().await;
    }
}

#[tornadose_test::test]
async fn a_client_that_takes_nothing_for_a_while_gets_everything_and_the_finish() {
    for transport in [Transport::Sse, Transport::Ws] {
        let (store, app) = runs();
        let page = app.client("page").buffer_size(64).once().lenient().open(transport, "/runs/1").await;
        page.stall().await;
        for number in 0..3 {
            store.submit(line(1, &number.to_string().repeat(1000))).await.unwrap();
            app.settle().await;
        }
        store.submit(done(1)).await.unwrap();
        app.advance(secs(20)).await;
        page.resume().await;
        page.skip(4).await;
        page.finished().await;
        assert_eq!(store.subscribers(), 0);
    }
}

#[tornadose_test::test]
async fn a_finish_comes_before_the_end_of_a_closed_store_or_a_disconnect() {
    for transport in [Transport::Sse, Transport::Ws] {
        for disconnects in [true, false] {
            let (store, app) = runs();
            let page = app.client("page").once().open(transport, "/runs/1").await;
            store.submit(done(1)).await.unwrap();
            if disconnects {
                store.disconnect(&key(1));
            } else {
                store.close();
            }
            app.settle().await;
            page.skip(1).await;
            page.finished().await;
        }
    }
}

#[tornadose_test::test]
async fn a_key_of_two_fields_is_told_as_an_object() {
    #[store(latest, finish)]
    #[derive(Serialize)]
    struct Job {
        #[key]
        tenant: &'static str,
        #[key]
        number: u32,
    }

    #[subscriber(sse, store = Job, all_keys, authorize = public)]
    struct Jobs;

    let store = Store::new();
    let app = harness(Router::with_path("jobs").get(Jobs::handler(&store)));
    app.client("jobs").sse("/jobs").await;
    store.submit(Job { tenant: "a", number: 7 }).await.unwrap();
    store.finish(&JobKey { tenant: "a", number: 7 }).await.unwrap();
    assert_transcript!(app, @r#"
    jobs > GET /jobs
    jobs ~ open 200 text/event-stream
    jobs < message #1 {"tenant":"a","number":7}
    jobs < tornadose:finished #2 {"key":{"tenant":"a","number":7}}
    "#);
}

#[tornadose_test::test]
async fn readers_of_a_removed_key_are_told_what_they_missed_and_stay() {
    for transport in [Transport::Sse, Transport::Ws] {
        let (store, app) = runs();
        let page = app.client("page").once().open(transport, "/runs/1").await;
        let set = app.client("set").once().buffer_size(64).lenient().open(transport, "/runs?run=1&run=2").await;
        set.stall().await;
        let before = store.submit(line(1, &"x".repeat(2000))).await.unwrap();
        app.settle().await;
        for text in ["a", "b"] {
            store.submit(line(1, text)).await.unwrap();
            store.submit(line(2, text)).await.unwrap();
        }
        app.settle().await;
        page.skip(3).await;
        store.remove(&key(1)).await.unwrap();
        store.submit(line(1, "new")).await.unwrap();
        app.settle().await;
        assert_eq!(page.next_event().await.data, r#"{"reason":"removed","missed":0}"#);
        page.skip(1).await;
        page.quiet().await;
        set.resume().await;
        // The long line was on its way, and where the server writes also those that follow it. The lines of the other
        // key stay.
        let mut lines = Vec::new();
        let gap = loop {
            let event = set.next_event().await;
            if event.name == "tornadose:gap" {
                break event.data;
            }
            lines.push(event.data);
        };
        let of_run = |run: u32| lines.iter().filter(|line| line.starts_with(&format!("{{\"run\":{run}"))).count();
        assert_eq!(of_run(2), 2);
        assert_eq!(gap, format!(r#"{{"reason":"removed","missed":{}}}"#, 3 - of_run(1)));
        assert!(!is_detached() || of_run(1) == 1);
        set.skip(1).await;
        set.quiet().await;
        // An id before the removal.
        let again = resume(&app, transport, &before.to_string(), "/runs/1").await;
        assert_eq!(again.next_event().await.data, r#"{"reason":"trimmed","missed":null}"#);
        again.skip(1).await;
        again.quiet().await;
    }
}

#[tornadose_test::test]
async fn a_removed_key_is_open_again() {
    let (store, app) = runs();
    store.submit(done(1)).await.unwrap();
    let finish = store.finish(&key(1)).await.unwrap().to_string();
    store.remove(&key(1)).await.unwrap();
    let page = resume(&app, Transport::Sse, &finish, "/runs/1").await;
    assert_eq!(page.next_event().await.data, r#"{"reason":"trimmed","missed":null}"#);
    store.submit(line(1, "again")).await.unwrap();
    page.skip(1).await;
    page.quiet_for(Duration::from_secs(60)).await;
}
