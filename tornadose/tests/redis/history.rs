//! A process that starts on a long history reads what its store has room for, and needs little more memory.

use std::process::{Command, Stdio};

use tornadose::prelude::*;

use crate::server::Server;

const MIB: u64 = 1 << 20;

#[store(queue, memory = "16MiB", channel = "history")]
#[derive(Debug, Serialize, Deserialize)]
struct Chapter(String);

/// Returns the most memory that this process has ever had.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is a process of the test below, and does nothing by itself"]
async fn opens_as_a_process() {
    let Ok(url) = std::env::var("TORNADOSE_TEST_HISTORY") else { return };
    let before = peak_memory();
    let store = Store::<Chapter>::redis(url).await.unwrap();
    eprintln!("head {} grown by {} bytes", store.head(), peak_memory() - before);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_on_60_megabytes_of_history_stays_within_4_times_the_memory_of_the_store() {
    let server = Server::start_with(&[]);
    let script =
        "for i = 1, 600 do redis.call('XADD', KEYS[1], '*', 'data', '\"' .. string.rep('x', 100000) .. '\"') end";
    server.cli(&["EVAL", script, "1", "{tornadose:history}"]);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["history::opens_as_a_process", "--exact", "--ignored", "--nocapture"])
        .env("TORNADOSE_TEST_HISTORY", server.url())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    eprintln!("{output}");
    let grown = output.split_once("grown by ").unwrap().1.split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(grown < 4 * 16 * MIB, "{} MiB", grown / MIB);
}
