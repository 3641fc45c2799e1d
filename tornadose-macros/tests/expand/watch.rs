//! Keys that a client watches while it is connected.

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    run: u64,
    #[key]
    host: String,
    text: String,
}

#[subscriber(ws, store = Line, watch = Self::may_watch)]
struct Chosen;

#[subscriber(sse, ws, store = Line, watch = public, authorize = public, max_keys = 16)]
struct Listed {
    #[keys(run)]
    #[query]
    runs: Option<Vec<u64>>,
    #[key]
    host: String,
}
