//! Two programs whose streams end, as their own tests would have them: the log of a CI run, and a progress bar.

use tornadose::prelude::*;
use tornadose_test::{Transport, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, capacity = 10_000)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Build {
    Line {
        #[key]
        run: u32,
        text: &'static str,
    },
    #[finish]
    Passed {
        #[key]
        run: u32,
    },
    #[finish]
    Failed {
        #[key]
        run: u32,
        at: &'static str,
    },
}

#[subscriber(sse, store = Build, authorize = public, replay = all)]
struct BuildLog {
    #[key]
    run: u32,
}

/// Runs a build, whose lines come slowly, until it is done or somebody stops it.
async fn build(store: Store<Build>, run: u32) {
    let steps = async {
        for text in ["fetch", "compile", "test"] {
            store.submit(Build::Line { run, text }).await?;
            tokio::time::sleep(secs(10)).await;
        }
        store.submit(Build::Passed { run }).await
    };
    tokio::select! {
        biased;
        _ = store.finished(&BuildKey { run }) => {}
        // It may have been stopped at the same moment.
        done = steps => drop(done),
    }
}

#[tornadose_test::test]
async fn the_log_of_a_run_ends_and_is_there_for_whoever_comes_later() {
    let store = Store::new();
    let app = harness(Router::with_path("builds/{run}").get(BuildLog::handler(&store)));
    let ada = app.client("ada").sse("/builds/7").await;
    tokio::spawn(build(store.clone(), 7));
    app.advance(secs(30)).await;
    ada.skip(4).await;
    ada.finished().await;
    let bob = app.client("bob").once().sse("/builds/7").await;
    bob.skip(4).await;
    bob.finished().await;
    // The browser of the first returns once more, and stops.
    app.advance(secs(10)).await;
    assert_transcript!(app, @r#"
    ada > GET /builds/7
    ada ~ open 200 text/event-stream
    ada < line #1 {"run":7,"text":"fetch"}
    after 10s
    ada < line #2 {"run":7,"text":"compile"}
    after 10s
    ada < line #3 {"run":7,"text":"test"}
    after 10s
    ada < passed #4 {"run":7}
    ada < tornadose:finished #5 {}
    ada < retry 6.708s
    ada ~ end
    bob > GET /builds/7
    bob ~ open 200 text/event-stream
    bob < line #1 {"run":7,"text":"fetch"}
    bob < line #2 {"run":7,"text":"compile"}
    bob < line #3 {"run":7,"text":"test"}
    bob < passed #4 {"run":7}
    bob < tornadose:finished #5 {}
    bob < retry 4.416s
    bob ~ end
    after 6.708s
    ada > GET /builds/7 last-event-id #5
    ada ~ answer 204
    "#);
}

#[tornadose_test::test]
async fn a_run_is_stopped_by_whoever_finishes_it() {
    let store = Store::new();
    let app = harness(Router::with_path("builds/{run}").get(BuildLog::handler(&store)));
    let ada = app.client("ada").once().sse("/builds/7").await;
    let running = tokio::spawn(build(store.clone(), 7));
    app.advance(secs(12)).await;
    store.submit(Build::Failed { run: 7, at: "compile" }).await.unwrap();
    app.settle().await;
    assert!(running.is_finished());
    ada.skip(3).await;
    ada.finished().await;
}

#[store(latest, finish)]
#[derive(Serialize)]
struct Progress {
    #[key]
    upload: u32,
    percent: u8,
}

#[subscriber(sse, ws, store = Progress, authorize = public)]
struct ProgressBar {
    #[key]
    upload: u32,
}

#[tornadose_test::test]
async fn a_progress_bar_shows_the_newest_value_and_ends() {
    for transport in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::with_path("uploads/{upload}").get(ProgressBar::handler(&store)));
        store.submit(Progress { upload: 7, percent: 10 }).await.unwrap();
        let bar = app.client("bar").once().open(transport, "/uploads/7").await;
        for percent in [40, 100] {
            store.submit(Progress { upload: 7, percent }).await.unwrap();
        }
        store.finish(&ProgressKey { upload: 7 }).await.unwrap();
        for percent in [10, 100] {
            bar.next_containing(serde_json::json!({ "percent": percent })).await;
        }
        bar.finished().await;
        // A page that comes later shows that it is complete.
        let late = app.client("late").once().open(transport, "/uploads/7").await;
        late.next_containing(serde_json::json!({ "percent": 100 })).await;
        late.finished().await;
    }
}
