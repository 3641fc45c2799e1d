use tornadose::simulation::{Engine, Process};
use tornadose_test::{Harness, assert_transcript, resume_at_every_byte};

use super::*;

async fn publish(app: &Harness, body: &str) {
    app.client("writer").header("content-type", "application/json").post("/stream", body).await;
}

#[tornadose_test::test]
async fn a_published_message_reaches_every_reader_under_the_same_id() {
    let app = Harness::new(router(&Store::new()));
    publish(&app, r#"{"author":"ada","text":"first"}"#).await;
    app.client("one").sse("/stream").await;
    app.client("two").sse("/stream").await;
    publish(&app, r#"{"author":"bob","text":"second\nand third line"}"#).await;
    assert_transcript!(app, @r#"
    writer > POST /stream
    writer ~ answer 201 #1\n
    one > GET /stream
    one ~ open 200 text/event-stream
    one < message #1 {"author":"ada","text":"first"}
    two > GET /stream
    two ~ open 200 text/event-stream
    two < message #1 {"author":"ada","text":"first"}
    writer > POST /stream
    one < message #2 {"author":"bob","text":"second\nand third line"}
    two < message #2 {"author":"bob","text":"second\nand third line"}
    writer ~ answer 201 #2\n
    "#);
}

#[tornadose_test::test]
async fn a_client_that_reconnects_gets_the_news_it_missed() {
    let app = Harness::new(router(&Store::new()));
    let reader = app.client("reader").sse("/stream").await;
    publish(&app, r#"{"author":"ada","text":"seen"}"#).await;
    reader.cut().await;
    publish(&app, r#"{"author":"ada","text":"missed"}"#).await;
    reader.reconnected().await;
    assert_transcript!(app, @r#"
    reader > GET /stream
    reader ~ open 200 text/event-stream
    writer > POST /stream
    reader < message #1 {"author":"ada","text":"seen"}
    writer ~ answer 201 #1\n
    reader ! cut
    writer > POST /stream
    writer ~ answer 201 #2\n
    after 3s
    reader > GET /stream last-event-id #1
    reader ~ open 200 text/event-stream
    reader < message #2 {"author":"ada","text":"missed"}
    "#);
}

#[tornadose_test::test]
async fn a_feed_resumes_at_every_byte() {
    let new_app = || {
        let store = Store::new();
        (router(&store), store)
    };
    let submit_news = async |store: Store<News>| {
        for text in ["one", "two\nlines", "three"] {
            store.submit(News { author: "ada".into(), text: text.into() }).await.unwrap();
        }
    };
    resume_at_every_byte(new_app, "/stream", submit_news).await;
}

#[tornadose_test::test]
async fn a_body_that_is_not_news_is_rejected_with_the_reason() {
    let app = Harness::new(router(&Store::new()));
    publish(&app, r#"{"author":"ada""#).await;
    publish(&app, r#"{"author":"ada"}"#).await;
    app.client("form").post("/stream", "author=ada").await;
    assert_transcript!(app, @r#"
    writer > POST /stream
    writer ~ answer 400 expected `content-type: application/json` and {"author":"…","text":"…"}: serde json error: EOF while parsing an object at line 1 column 15\n
    writer > POST /stream
    writer ~ answer 400 expected `content-type: application/json` and {"author":"…","text":"…"}: serde json error: missing field `text` at line 1 column 16\n
    form > POST /stream
    form ~ answer 400 expected `content-type: application/json` and {"author":"…","text":"…"}: the request did not have a valid Content-Type header\n
    "#);
}

#[tornadose_test::test]
async fn a_client_that_reconnects_to_a_restarted_server_gets_a_gap() {
    let app = Harness::new(router(&Store::new()));
    let reader = app.client("reader").sse("/stream").await;
    publish(&app, r#"{"author":"ada","text":"in its former life"}"#).await;
    app.server().stop().await;
    app.server().start(router(&Store::new())).await;
    publish(&app, r#"{"author":"ada","text":"in this life"}"#).await;
    reader.reconnected().await;
    assert_transcript!(app, @r#"
    reader > GET /stream
    reader ~ open 200 text/event-stream
    writer > POST /stream
    reader < message #1 {"author":"ada","text":"in its former life"}
    writer ~ answer 201 #1\n
    server ! stop
    reader ~ abort
    server ! start
    writer > POST /stream
    writer ~ answer 201 #2\n
    after 3s
    reader > GET /stream last-event-id #1
    reader ~ open 200 text/event-stream
    reader < tornadose:gap {"reason":"restarted","missed":null}
    reader < message #2 {"author":"ada","text":"in this life"}
    "#);
}

/// Serves the app of each process under the process' name.
async fn serve_all(processes: &[Process]) -> Harness {
    let mut service = Router::new();
    for process in processes {
        let store = Store::open(process.backend()).await.unwrap();
        service = service.push(Router::with_path(process.name()).push(router(&store)));
    }
    Harness::new(service)
}

#[tornadose_test::test]
async fn every_process_shows_the_same_news_also_those_of_another_program() {
    let engine = Engine::new(7);
    let processes = ["one", "two", "three"].map(|name| engine.process(name));
    let app = serve_all(&processes).await;
    app.client("ada").sse("/one/stream").await;
    app.client("bob").sse("/two/stream").await;
    let writer = app.client("writer").header("content-type", "application/json");
    writer.post("/three/stream", r#"{"author":"eve","text":"hello"}"#).await;
    engine.append_foreign("news", r#"{"author":"redis-cli","text":"from a shell"}"#);
    app.advance(std::time::Duration::ZERO).await;
    assert_transcript!(app, @r#"
    ada > GET /one/stream
    ada ~ open 200 text/event-stream
    bob > GET /two/stream
    bob ~ open 200 text/event-stream
    writer > POST /three/stream
    ada < message #1 {"author":"eve","text":"hello"}
    bob < message #1 {"author":"eve","text":"hello"}
    writer ~ answer 201 #1\n
    ada < message #2 {"author":"redis-cli","text":"from a shell"}
    bob < message #2 {"author":"redis-cli","text":"from a shell"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_moves_to_another_process_gets_what_it_missed_or_a_gap() {
    let engine = Engine::new(7);
    let processes = ["one", "two"].map(|name| engine.process(name));
    let app = serve_all(&processes).await;
    let reader = app.client("reader").once().sse("/one/stream").await;
    let publish = |text: &str| {
        let body = format!(r#"{{"author":"ada","text":"{text}"}}"#);
        app.client("writer").header("content-type", "application/json").post("/two/stream", body)
    };
    publish("seen").await;
    reader.cut().await;
    let last_id = reader.last_event_id().unwrap();
    publish("missed").await;
    app.client("moved").last_event_id(&last_id).once().sse("/two/stream").await;
    // A failover to an older state: what was published since is lost.
    let snapshot = engine.snapshot();
    publish("lost").await;
    engine.restore(&snapshot);
    publish("kept").await;
    assert_transcript!(app, @r#"
    reader > GET /one/stream
    reader ~ open 200 text/event-stream
    writer > POST /two/stream
    reader < message #1 {"author":"ada","text":"seen"}
    writer ~ answer 201 #1\n
    reader ! cut
    writer > POST /two/stream
    writer ~ answer 201 #2\n
    moved > GET /two/stream last-event-id #1
    moved ~ open 200 text/event-stream
    moved < message #2 {"author":"ada","text":"missed"}
    writer > POST /two/stream
    moved < message #3 {"author":"ada","text":"lost"}
    writer ~ answer 201 #3\n
    moved < tornadose:gap {"reason":"restarted","missed":null}
    moved < message #4 {"author":"ada","text":"seen"}
    moved < message #5 {"author":"ada","text":"missed"}
    writer > POST /two/stream
    moved < message #6 {"author":"ada","text":"kept"}
    writer ~ answer 201 #6\n
    "#);
}

#[test]
fn the_types_of_the_page_are_current() {
    let streams = tornadose::schema().title("News").route::<NewsFeed>("/stream");
    streams.typescript().assert_committed("redis_feed/tornadose.d.ts");
    streams.asyncapi().assert_committed("redis_feed/asyncapi.json");
}
