//! Two crates with types of one name on one Redis: this one, and the benchmark itself.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../tornadose/tests/redis/server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod server;

use std::process::{Command, Stdio};

use tornadose::prelude::*;

use crate::server::Server;

/// The benchmark has a type of this name on this channel.
#[store(queue, channel = "bench-readers")]
#[derive(Serialize, Deserialize)]
struct Entry {
    text: String,
}

/// Opens the store of the benchmark in a process of its own. Returns what it says.
fn open_elsewhere(server: &Server) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tornadose-bench"))
        .args(["redis-reader", &server.url()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn refusal(found: &str, wanted: &str) -> String {
    format!(
        "the channel `bench-readers` holds messages of the type `{found}`, not `{wanted}`; choose another channel or \
         prefix, or delete the keys `{{tornadose:bench-readers}}:owner` and `{{tornadose:bench-readers}}:type`"
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_second_of_two_crates_with_a_type_of_one_name_is_refused_in_one_sentence() {
    let server = Server::start();
    let store = Store::<Entry>::redis(server.url()).await.unwrap();
    let said = open_elsewhere(&server);
    let (ours, theirs) = ("redis::Entry", "tornadose_bench::Entry");
    assert!(said.contains(&refusal(ours, theirs)) && !said.contains("ready"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    drop(store);

    // The other way round.
    server.cli(&["FLUSHALL"]);
    assert_eq!(open_elsewhere(&server), "ready\n");
    let error = Store::<Entry>::redis(server.url()).await.unwrap_err().to_string();
    assert!(error.ends_with(&refusal(theirs, ours)), "{error}");
    assert_eq!(server.cli(&["XLEN", "{tornadose:bench-readers}"]), "0");
}
