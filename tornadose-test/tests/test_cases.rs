//! Tests that other crates make of one function: each case has its own snapshot files, in both orders of the attributes.
#![cfg(feature = "salvo")]
#![allow(clippy::unwrap_used)]

mod common {
    pub(crate) mod feed;
}

use common::feed::feed;
use rstest::rstest;
use salvo::Router;
use test_case::test_case;
use tornadose_test::{Harness, Transport, assert_transcript};

async fn check(greeting: &'static str) {
    let (_feed, handler) = feed(greeting);
    let app = Harness::new(Router::with_path("feed").get(handler));
    app.sse("/feed").await;
    assert_transcript!(app);
}

#[rstest]
#[case("data: 1\n\n")]
#[case::named("data: 2\n\n")]
#[tornadose_test::test]
async fn rstest_above(#[case] greeting: &'static str) {
    let (_feed, handler) = feed(greeting);
    let app = Harness::new(Router::with_path("feed").get(handler));
    app.sse("/feed").await;
    assert_transcript!(app);
    assert_transcript!("of the case", app);
}

#[tornadose_test::test]
#[rstest]
#[case("data: 1\n\n")]
#[case("data: 2\n\n")]
async fn rstest_below(#[case] greeting: &'static str) {
    check(greeting).await;
}

#[rstest]
#[tornadose_test::test]
async fn rstest_over_both_transports(#[values(Transport::Sse, Transport::Ws)] over: Transport) {
    let (_feed, handler) = feed("");
    let app = Harness::new(Router::with_path("feed").get(handler));
    let client = app.open(over, "/feed").await;
    assert_eq!(client.status(), 200);
}

#[test_case("data: 1\n\n")]
#[test_case("data: 2\n\n"; "named")]
#[tornadose_test::test]
async fn test_case_above(greeting: &'static str) {
    check(greeting).await;
}

#[tornadose_test::test]
#[test_case("data: 1\n\n")]
#[test_case("data: 2\n\n")]
async fn test_case_below(greeting: &'static str) {
    check(greeting).await;
}

#[tornadose_test::test]
async fn one_test_of_a_shared_check() {
    check("data: 1\n\n").await;
}

#[tornadose_test::test]
async fn another_test_of_a_shared_check() {
    check("data: 2\n\n").await;
}
