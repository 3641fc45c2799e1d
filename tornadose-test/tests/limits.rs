//! The limits of a test: its time on the wall clock, and tasks that never end.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod feed;
}

use std::process::Command;
use std::time::Duration;

use common::feed::feed;
use salvo::Router;
use tornadose_test::Harness;

#[tornadose_test::test(timeout = "100ms")]
#[ignore = "it never ends: another test runs it in a process of its own"]
async fn a_test_that_never_yields() {
    loop {
        std::hint::spin_loop();
    }
}

#[test]
fn a_test_that_never_yields_is_named_past_the_capture() {
    let test = "a_test_that_never_yields";
    let run = Command::new(std::env::current_exe().unwrap()).args([test, "--exact", "--ignored"]).output().unwrap();
    let printed = String::from_utf8(run.stderr).unwrap();
    assert!(!run.status.success());
    assert!(
        printed.contains("limits::a_test_that_never_yields: it is inside one poll that never returns"),
        "{printed}"
    );
    assert!(printed.contains("it has not ended after 100ms of real time"), "{printed}");
}

#[tornadose_test::test(timeout = "100ms", clock = real)]
#[should_panic(expected = "it has not ended after 100ms of real time")]
async fn a_timeout_is_on_the_wall_clock() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tornadose_test::test(leftover_tasks = deny)]
async fn tasks_that_end_with_the_clients_and_the_server_are_not_left_over() {
    let (_feed, handler) = feed("data: 1\n\n");
    let app = Harness::new(Router::with_path("feed").get(handler));
    app.sse("/feed").await.skip(1).await;
    app.ws("/elsewhere").await.status();
    // It ends in time.
    tokio::spawn(tokio::time::sleep(Duration::from_secs(50)));
}

#[tornadose_test::test(leftover_tasks = deny)]
#[should_panic(expected = "1 tasks and 0 blocking tasks are still running, 1m after every client has disconnected")]
async fn a_task_that_never_ends_is_left_over() {
    tokio::spawn(std::future::pending::<()>());
}

#[tornadose_test::test(leftover_tasks = deny, clock = real, timeout = "2s")]
#[should_panic(expected = "0 tasks and 1 blocking tasks are still running")]
async fn a_blocking_task_is_left_over_too() {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || ended.recv());
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(60));
        drop(end);
    });
}
