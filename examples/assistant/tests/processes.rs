//! Several processes, and runs whose producer is gone.

use tornadose::simulation::{Engine, Process};
use tornadose_test::{Harness, assert_transcript};

use super::*;

/// Assistants as `/one` and `/two`, in two processes.
async fn two_processes(engine: &Engine, script: &'static str) -> (Harness, [Process; 2], [Assistant; 2]) {
    let processes = ["one", "two"].map(|name| engine.process(name));
    let mut assistants = Vec::new();
    let mut service = Router::new();
    for process in &processes {
        let (answers, runs) =
            (Store::open(process.backend()).await.unwrap(), Store::open(process.backend()).await.unwrap());
        let assistant = Assistant::new(answers, runs, Scripted::new(script), process.name());
        tokio::spawn(assistant.clone().watch_leases());
        service = service.push(Router::with_path(process.name()).push(router(&assistant)));
        assistants.push(assistant);
    }
    (Harness::new(service), processes, assistants.try_into().ok().unwrap())
}

#[tornadose_test::test]
async fn an_answer_is_read_and_stopped_at_another_process() {
    let (app, _processes, [one, _two]) = two_processes(&Engine::new(7), "one two …").await;
    start(&one, "one").await;
    app.settle().await;
    app.client("page").sse("/two/runs/one/answer").await;
    app.advance(Duration::from_secs(2)).await;
    app.client("stop").post("/two/runs/one/stop", "").await;
    app.client("list").ws("/one/runs").await;
    assert_transcript!(app, @r#"
    page > GET /two/runs/one/answer
    page ~ open 200 text/event-stream
    page < question #1 {"run":"one","text":"why?"}
    after 1s
    page < token #2 {"run":"one","text":"one "}
    after 1s
    page < token #3 {"run":"one","text":"two "}
    stop > POST /two/runs/one/stop
    page < stopped #4 {"run":"one"}
    page < tornadose:finished #5 {}
    page < retry 6.708s
    page ~ end
    stop ~ answer 200 stopped\n
    list > GET /one/runs upgrade websocket
    list ~ open 101
    list < answering #6 {"run":"one","process":"one"}
    list < asked #7 {"run":"one","question":"why?"}
    list < ended #8 {"run":"one","outcome":"stopped"}
    "#);
}

#[tornadose_test::test]
async fn the_answers_of_a_process_that_is_killed_are_finished_by_another() {
    let (app, processes, [one, _two]) = two_processes(&Engine::new(7), "one two …").await;
    start(&one, "one").await;
    app.settle().await;
    app.client("page").sse("/two/runs/one/answer").await;
    app.client("list").ws("/two/runs").await;
    app.advance(Duration::from_millis(4500)).await;
    processes[0].kill();
    app.advance(Duration::from_secs(10)).await;
    assert_transcript!(app, @r#"
    page > GET /two/runs/one/answer
    page ~ open 200 text/event-stream
    page < question #1 {"run":"one","text":"why?"}
    list > GET /two/runs upgrade websocket
    list ~ open 101
    list < answering #2 {"run":"one","process":"one"}
    list < asked #3 {"run":"one","question":"why?"}
    after 1s
    page < token #4 {"run":"one","text":"one "}
    after 1s
    page < token #5 {"run":"one","text":"two "}
    after 1s
    list < answering #6 {"run":"one","process":"one"}
    after 10s
    page < failed #7 {"run":"one","why":"the process that wrote it is gone"}
    page < tornadose:finished #8 {}
    page < retry 6.708s
    page ~ end
    list < tornadose:expired #9 {"key":null,"slot":"one","event":"answering"}
    list < ended #10 {"run":"one","outcome":"failed"}
    "#);
}

#[tornadose_test::test]
async fn when_all_processes_were_killed_the_next_one_finishes_their_answers() {
    let engine = Engine::new(7);
    let (app, processes, [one, two]) = two_processes(&engine, "one two …").await;
    start(&one, "one").await;
    start(&two, "two").await;
    app.advance(Duration::from_secs(2)).await;
    for process in &processes {
        process.kill();
    }
    app.advance(Duration::from_secs(60)).await;
    let three = engine.process("three");
    let stores = (Store::open(three.backend()).await.unwrap(), Store::open(three.backend()).await.unwrap());
    let assistant = Assistant::new(stores.0, stores.1, Scripted::new("one"), "three");
    let app = Harness::new(router(&assistant));
    // Late enough that the store has dropped the leases before.
    app.advance(Duration::from_secs(5)).await;
    tokio::spawn(assistant.watch_leases());
    app.settle().await;
    for run in ["one", "two"] {
        let tab = app.client(run).sse(format!("/runs/{run}/answer")).await;
        let why = "the process that wrote it is gone".into();
        assert_eq!(fold(tab.drain().await), ("one two ".into(), Some(Seen::Failed { why })));
        tab.closed().await;
    }
}

#[tornadose_test::test]
async fn an_answer_goes_on_while_its_lease_is_renewed() {
    let assistant = new_assistant("one …");
    let app = Harness::new(router(&assistant));
    start(&assistant, "one").await;
    let tab = app.client("page").sse("/runs/one/answer").await;
    tab.skip(2).await;
    app.advance(Duration::from_secs(600)).await;
    tab.quiet().await;
}

#[tornadose_test::test]
async fn a_run_without_a_producer_fails_also_if_its_process_has_only_just_begun() {
    let assistant = new_assistant("because");
    let app = Harness::new(router(&assistant));
    // As if the process had been killed between the lease and the rest.
    let lease = Run::Answering { run: run("one"), process: "web-2".into() };
    assistant.runs().submit(lease).await.unwrap();
    let text = "why?".into();
    assistant.answers().submit(Answer::Question { run: run("one"), text }).await.unwrap();
    let tab = app.client("page").sse("/runs/one/answer").await;
    tab.skip(1).await;
    app.advance(Duration::from_secs(9)).await;
    tab.quiet().await;
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(tab.next_now::<Seen>().await, Seen::Failed { why: "the process that wrote it is gone".into() });
    tab.finished().await;
}
