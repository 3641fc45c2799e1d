//! Clients of a store that a backend fills, in virtual time.

mod gaps;
mod resume;

use tornadose::backend::BackendLink;
use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::harness;
use super::link::{Line, open_empty};

#[subscriber(sse, ws, store = Line, replay = 10)]
struct Lines;

fn app(store: &Store<Line>) -> Harness {
    harness(Router::with_path("lines").get(Lines::handler(store)))
}

/// An application that serves an empty store at `/lines`.
async fn empty_app() -> (Harness, BackendLink) {
    let (store, link) = open_empty().await;
    (app(&store), link)
}
