//! All suites once more, with detached streams.

use std::env;
use std::process::Command;

use super::harness::{STREAMS, is_detached};

#[test]
fn every_test_holds_with_detached_streams() {
    if is_detached() {
        return;
    }
    let this_test = "every_test_holds_with_detached_streams";
    let run = Command::new(env::current_exe().unwrap()).args(["--skip", this_test]).env(STREAMS, "detached").output();
    let run = run.unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "with {STREAMS}=detached:\n{out}{err}");
    assert!(out.contains("test result: ok."), "{out}");
}
