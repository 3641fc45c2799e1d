//! The clients of several processes, as the fake client sees them.

use tornadose::prelude::*;
use tornadose::simulation::Engine;
use tornadose_test::{Harness, assert_transcript};

use crate::{Line, line};

#[subscriber(sse, store = Line)]
struct Lines;

#[tornadose_test::test]
async fn a_client_that_moves_to_another_process_resumes_there() {
    let (engine, mut stores, mut router) = (Engine::new(7), Vec::new(), Router::new());
    for name in ["one", "two", "three"] {
        let store = Store::open(engine.process(name).backend()).await.unwrap();
        router = router.push(Router::with_path(name).get(Lines::handler(&store)));
        stores.push(store);
    }
    let app = Harness::new(router);
    let ada = app.client("ada").once().sse("/one").await;
    stores[1].submit(line("seen")).await.unwrap();
    ada.cut().await;
    stores[2].submit(line("missed")).await.unwrap();
    app.client("ada again").last_event_id(ada.last_event_id().unwrap()).sse("/two").await;
    assert_transcript!(app, @r#"
    ada > GET /one
    ada ~ open 200 text/event-stream
    ada < message #1 "seen"
    ada ! cut
    ada again > GET /two last-event-id #1
    ada again ~ open 200 text/event-stream
    ada again < message #2 "missed"
    "#);
}

#[test]
fn the_guide_of_the_fake_client_shows_the_program_of_the_documentation() {
    let guide = include_str!("../../../tornadose-test/doc/guide.md");
    let documentation = include_str!("../../src/simulation.rs");
    let section = guide.split("# Several processes").nth(1).unwrap();
    let program = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let documented: String = documentation
        .lines()
        .map(|line| line.trim_start_matches("//!").trim_start_matches(' ').to_owned() + "\n")
        .collect();
    let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert!(flat(&documented).contains(flat(program).trim()), "{program}");
}
