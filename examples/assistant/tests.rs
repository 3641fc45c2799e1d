#[path = "tests/processes.rs"]
mod processes;

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tornadose_test::{Cut, Harness, Response, assert_transcript};

use super::model::Model;
use super::*;

/// Says a token each second. A part in brackets is the reason why it fails, and `…` has no end.
struct Scripted {
    script: &'static str,
    /// Held by each answer that is being written.
    work: Arc<()>,
}

impl Scripted {
    fn new(script: &'static str) -> Self {
        Self { script, work: Arc::new(()) }
    }
}

impl Model for Scripted {
    fn answer(&self, _: &str) -> BoxStream<'static, Result<String, String>> {
        let work = Arc::clone(&self.work);
        let say = move |token: &'static str| {
            let work = Arc::clone(&work);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let said = match token.strip_prefix('[') {
                    _ if token == "…" => std::future::pending().await,
                    Some(reason) => Err(reason.trim_end_matches(']').to_owned()),
                    None => Ok(token.to_owned()),
                };
                drop(work);
                said
            }
        };
        stream::iter(self.script.split_inclusive(' ')).then(say).boxed()
    }
}

fn run(name: &str) -> RunId {
    RunId(name.into())
}

/// An assistant in memory that answers with a script.
fn new_assistant(script: &'static str) -> Assistant {
    let assistant = Assistant::new(Store::new(), Store::new(), Scripted::new(script), "web-1");
    tokio::spawn(assistant.clone().watch_leases());
    assistant
}

async fn start(assistant: &Assistant, name: &str) {
    assistant.start(run(name), "why?".into()).await.unwrap();
}

#[tornadose_test::test]
async fn an_answer_comes_token_by_token_to_every_tab_and_the_list_knows() {
    let assistant = new_assistant("because it is");
    let app = Harness::new(router(&assistant));
    app.client("list").ws("/runs").await;
    start(&assistant, "one").await;
    app.client("tab").sse("/runs/one/answer").await;
    app.advance(Duration::from_millis(2500)).await;
    app.client("other").ws("/runs/one/answer").await;
    app.advance(Duration::from_secs(2)).await;
    assert_transcript!(app, @r#"
    list > GET /runs upgrade websocket
    list ~ open 101
    list < answering #1 {"run":"one","process":"web-1"}
    list < asked #2 {"run":"one","question":"why?"}
    tab > GET /runs/one/answer
    tab ~ open 200 text/event-stream
    tab < question #3 {"run":"one","text":"why?"}
    after 1s
    tab < token #4 {"run":"one","text":"because "}
    after 1s
    tab < token #5 {"run":"one","text":"it "}
    after 500ms
    other > GET /runs/one/answer upgrade websocket
    other ~ open 101
    other < question {"run":"one","text":"why?"}
    other < text #5 {"run":"one","text":"because it "}
    after 500ms
    list < answering #6 {"run":"one","process":"web-1"}
    list < ended #7 {"run":"one","outcome":"done"}
    tab < token #8 {"run":"one","text":"is"}
    tab < done #9 {"run":"one"}
    tab < tornadose:finished #10 {}
    tab < retry 6.708s
    tab ~ end
    other < token #8 {"run":"one","text":"is"}
    other < done #9 {"run":"one"}
    other < tornadose:finished #10 {}
    other ~ close 1000 (server) finished
    "#);
}

#[tornadose_test::test]
async fn who_comes_later_gets_the_whole_answer_at_once() {
    let assistant = new_assistant("because it is");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    app.advance(Duration::from_secs(600)).await;
    app.client("late").sse("/runs/one/answer").await;
    assert_transcript!(app, @r#"
    late > GET /runs/one/answer
    late ~ open 200 text/event-stream
    late < question {"run":"one","text":"why?"}
    late < text #1 {"run":"one","text":"because it is"}
    late < done #2 {"run":"one"}
    late < tornadose:finished #3 {}
    late < retry 6.708s
    late ~ end
    "#);
}

#[tornadose_test::test]
async fn an_answer_of_more_tokens_than_are_kept_is_one_text_and_the_rest() {
    let whole = "word ".repeat(2000);
    let assistant = new_assistant(whole.clone().leak());
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    app.advance(Duration::from_secs(1900)).await;
    let tab = app.client("page").lenient().sse("/runs/one/answer").await;
    app.advance(Duration::from_secs(101)).await;
    let events: Vec<Seen> = tab.drain().await;
    let text = Seen::Text { text: "word ".repeat(1900) };
    assert_eq!(events[..2], [Seen::Question { text: "why?".into() }, text]);
    assert_eq!(events.len(), 2 + 100 + 2, "and a hundred tokens, the last word and the finish");
    assert_eq!(fold(events), (whole, Some(Seen::Done {})));
}

#[tornadose_test::test]
async fn after_an_hour_an_answer_is_forgotten_and_the_list_knows() {
    let assistant = new_assistant("because");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    app.advance(Duration::from_secs(60)).await;
    let list = app.client("list").sse("/runs").await;
    app.client("early").sse("/runs/one/answer").await;
    app.advance(Duration::from_secs(3600)).await;
    app.client("late").once().sse("/runs/one/answer").await;
    let expired = |event: &str| Listed::Expired { slot: "one".into(), event: event.into() };
    assert_eq!(list.drain::<Listed>().await, [Listed::Asked {}, Listed::Ended {}, expired("asked"), expired("ended")]);
    assert_transcript!(app, only(["early", "late"]), @r#"
    early > GET /runs/one/answer
    early ~ open 200 text/event-stream
    early < question {"run":"one","text":"why?"}
    early < text #1 {"run":"one","text":"because"}
    early < done #2 {"run":"one"}
    early < tornadose:finished #3 {}
    early < retry 6.708s
    early ~ end
    after 6.708s
    early > GET /runs/one/answer last-event-id #3
    early ~ answer 204
    after 59m 53.292s
    late > GET /runs/one/answer
    late ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: no such run, or it is not kept any more
    "#);
}

#[tornadose_test::test]
async fn a_reload_goes_on_in_mid_sentence_and_a_cut_loses_nothing() {
    let assistant = new_assistant("one two three four");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    let tab = app.client("page").sse("/runs/one/answer").await;
    app.advance(Duration::from_secs(2)).await;
    tab.close().await;
    app.client("reloaded").sse("/runs/one/answer").await;
    let moved = app.client("moved").lenient().sse("/runs/one/answer").await;
    moved.cut().await;
    moved.reconnected().await;
    assert_transcript!(app, @r#"
    page > GET /runs/one/answer
    page ~ open 200 text/event-stream
    page < question #1 {"run":"one","text":"why?"}
    after 1s
    page < token #2 {"run":"one","text":"one "}
    after 1s
    page < token #3 {"run":"one","text":"two "}
    page ~ close (client)
    reloaded > GET /runs/one/answer
    reloaded ~ open 200 text/event-stream
    reloaded < question {"run":"one","text":"why?"}
    reloaded < text #3 {"run":"one","text":"one two "}
    moved > GET /runs/one/answer
    moved ~ open 200 text/event-stream
    moved < question {"run":"one","text":"why?"}
    moved < text #3 {"run":"one","text":"one two "}
    moved ! cut
    after 1s
    reloaded < token #4 {"run":"one","text":"three "}
    after 1s
    reloaded < token #5 {"run":"one","text":"four"}
    reloaded < done #6 {"run":"one"}
    reloaded < tornadose:finished #7 {}
    reloaded < retry 4.416s
    reloaded ~ end
    after 1s
    moved > GET /runs/one/answer last-event-id #3
    moved ~ open 200 text/event-stream
    moved < token #4 {"run":"one","text":"three "}
    moved < token #5 {"run":"one","text":"four"}
    moved < done #6 {"run":"one"}
    moved < tornadose:finished #7 {}
    moved < retry 5.832s
    moved ~ end
    "#);
}

/// Tokens from before the cut come again as one text that replaces them, so the text is compared, not the events.
#[tornadose_test::test]
async fn a_cut_at_any_byte_loses_and_doubles_nothing_of_the_text() {
    let mut byte = 0;
    loop {
        let assistant = new_assistant("because it is");
        let app = Harness::new(router(&assistant));
        start(&assistant, "one").await;
        let tab = app.client("tab").lenient().fault(Cut::at_byte(byte)).sse("/runs/one/answer").await;
        app.advance(Duration::from_secs(30)).await;
        assert_eq!(fold(tab.drain().await), ("because it is".into(), Some(Seen::Done {})), "cut at byte {byte}");
        if !tab.recording().to_string().contains(" ! cut") {
            break;
        }
        byte += 1;
    }
    assert!(byte > 300, "only {byte} bytes");
}

#[tornadose_test::test]
async fn any_tab_stops_an_answer_and_the_model_works_no_more() {
    let model = Scripted::new("one two …");
    let work = Arc::downgrade(&model.work);
    let assistant = Assistant::new(Store::new(), Store::new(), model, "web-1");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    app.client("page").sse("/runs/one/answer").await;
    app.advance(Duration::from_secs(2)).await;
    assert_eq!(work.strong_count(), 3, "the model, its answer, and the token in hand");
    for _ in 0..2 {
        app.client("other").post("/runs/one/stop", "").await;
    }
    assert_eq!(work.strong_count(), 1, "the model alone");
    app.client("nobody").post("/runs/two/stop", "").await;
    assert_transcript!(app, @r#"
    page > GET /runs/one/answer
    page ~ open 200 text/event-stream
    page < question #1 {"run":"one","text":"why?"}
    after 1s
    page < token #2 {"run":"one","text":"one "}
    after 1s
    page < token #3 {"run":"one","text":"two "}
    other > POST /runs/one/stop
    page < stopped #4 {"run":"one"}
    page < tornadose:finished #5 {}
    page < retry 6.708s
    page ~ end
    other ~ answer 200 stopped\n
    other > POST /runs/one/stop
    other ~ answer 200 it had ended before\n
    nobody > POST /runs/two/stop
    nobody ~ answer 404 no such run, or it is not kept any more\n
    "#);
}

#[tornadose_test::test]
async fn a_model_that_fails_says_why() {
    let assistant = new_assistant("because [overloaded]");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    app.client("page").sse("/runs/one/answer").await;
    app.advance(Duration::from_secs(3)).await;
    assert_transcript!(app, @r#"
    page > GET /runs/one/answer
    page ~ open 200 text/event-stream
    page < question #1 {"run":"one","text":"why?"}
    after 1s
    page < token #2 {"run":"one","text":"because "}
    after 1s
    page < failed #3 {"run":"one","why":"overloaded"}
    page < tornadose:finished #4 {}
    page < retry 6.708s
    page ~ end
    "#);
}

#[tornadose_test::test]
async fn a_graceful_stop_lets_answers_finish_and_ends_those_that_take_too_long() {
    let assistant = new_assistant("one two three four");
    let app = Harness::new(router(&assistant));
    start(&assistant, "early").await;
    app.advance(Duration::from_secs(3)).await;
    start(&assistant, "late").await;
    app.client("early").sse("/runs/early/answer").await;
    app.client("late").sse("/runs/late/answer").await;
    let drain = tokio::spawn({
        let assistant = assistant.clone();
        async move { assistant.drain(Duration::from_secs(2)).await }
    });
    app.settle().await;
    ask(&app, r#"{"question":"too late?"}"#).await;
    app.advance(Duration::from_secs(2)).await;
    drain.await.unwrap();
    assert_transcript!(app, @r#"
    early > GET /runs/early/answer
    early ~ open 200 text/event-stream
    early < question {"run":"early","text":"why?"}
    early < text #1 {"run":"early","text":"one two three "}
    late > GET /runs/late/answer
    late ~ open 200 text/event-stream
    late < question #1 {"run":"late","text":"why?"}
    asking > POST /runs
    asking ~ answer 503 this server is about to stop: ask again in a moment\n
    after 1s
    early < token #2 {"run":"early","text":"four"}
    early < done #3 {"run":"early"}
    early < tornadose:finished #4 {}
    early < retry 6.708s
    early ~ end
    late < token #5 {"run":"late","text":"one "}
    after 1s
    late < failed #6 {"run":"late","why":"the server was stopped"}
    late < tornadose:finished #7 {}
    late < retry 4.416s
    late ~ end
    "#);
}

async fn ask(app: &Harness, body: &str) -> Response {
    app.client("asking").header("content-type", "application/json").post("/runs", body).await
}

#[tornadose_test::test]
async fn a_question_is_answered_with_its_run() {
    let assistant = new_assistant("because");
    let app = Harness::new(router(&assistant));
    let response = ask(&app, r#"{"question":" Why is the sea salty? "}"#).await;
    assert_eq!((response.status(), response.text().len()), (201, 12));
    let tab = app.client("page").sse(format!("/runs/{}/answer", response.text())).await;
    assert_eq!(tab.next::<Seen>().await, Seen::Question { text: "Why is the sea salty?".into() });
    app.advance(Duration::from_secs(2)).await;
    assert_eq!(fold(tab.drain().await), ("because".into(), Some(Seen::Done {})));
    tab.closed().await;
}

#[tornadose_test::test]
async fn what_is_no_question_and_what_is_no_run_is_refused() {
    let app = Harness::new(router(&new_assistant("because")));
    ask(&app, r#"{"question":" "}"#).await;
    ask(&app, r#"{"answer":"because"}"#).await;
    ask(&app, &format!(r#"{{"question":"{}?"}}"#, "why ".repeat(125))).await;
    app.client("page").once().sse("/runs/one/answer").await;
    assert_transcript!(app, @r#"
    asking > POST /runs
    asking ~ answer 400 there is no question\n
    asking > POST /runs
    asking ~ answer 400 expected `content-type: application/json` and {"question":"…"}: serde json error: missing field `question` at line 1 column 20\n
    asking > POST /runs
    asking ~ answer 400 the question has more than 500 letters\n
    page > GET /runs/one/answer
    page ~ answer 404 code: 404\n\nname: Not Found\n\nbrief: no such run, or it is not kept any more
    "#);
}

#[tornadose_test::test]
async fn the_simulated_model_says_the_same_to_the_same_question() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let start = tokio::time::Instant::now();
        let tokens: Vec<_> =
            SimulatedModel::new(Duration::from_millis(45)).answer("Why is the SEA salty?").collect().await;
        answers.push((tokens, start.elapsed()));
    }
    assert_eq!(answers[0], answers[1]);
    let (tokens, took) = &answers[0];
    let text: String = tokens.iter().map(|token| token.as_deref().unwrap()).collect();
    assert_eq!(text, prose::answer("Why is the sea salty?"));
    assert!((5..30).contains(&took.as_secs()), "{took:?}");
}

/// An event of an answer that a page is sent.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seen {
    Question {
        text: String,
    },
    Token {
        text: String,
    },
    Text {
        text: String,
    },
    Done {},
    Stopped {},
    Failed {
        why: String,
    },
    #[serde(rename = "tornadose:finished")]
    Finished {},
}

/// An event of the list.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Listed {
    Asked {},
    Ended {},
    #[serde(rename = "tornadose:expired")]
    Expired {
        slot: String,
        event: String,
    },
}

/// Returns the text that a page shows after these events, and its last word.
fn fold(events: Vec<Seen>) -> (String, Option<Seen>) {
    let (mut answer, mut last) = (String::new(), None);
    for event in events {
        match event {
            Seen::Question { .. } | Seen::Finished {} => {}
            Seen::Token { text } => answer += &text,
            Seen::Text { text } => answer = text,
            end => last = Some(end),
        }
    }
    (answer, last)
}

#[test]
fn the_types_of_the_page_are_current() {
    let streams = tornadose::schema().title("Assistant").route::<Runs>("/runs").route::<Reading>("/runs/{run}/answer");
    streams.typescript().assert_committed("assistant/tornadose.d.ts");
    streams.asyncapi().assert_committed("assistant/asyncapi.json");
}
