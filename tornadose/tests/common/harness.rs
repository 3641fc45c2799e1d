//! The harness of these tests. Over HTTP/1.1 a stream lives in two ways: its server writes it, or it goes on by itself, as under
//! `tornadose::serve`. A client must not see a difference, so `./test` runs the tests in both: `TORNADOSE_DIRECT` asks for the second.

use std::cell::Cell;

use salvo::fuse::FuseConfig;
use salvo::{Server, Service};
use tornadose::Handover;
use tornadose_test::Harness;

/// Whether streams go on by themselves.
pub(crate) fn is_direct() -> bool {
    std::env::var_os("TORNADOSE_DIRECT").is_some()
}

/// The one line of the head that differs is left out of every snapshot of this thread, which is this test's.
fn leave_the_difference_out() {
    thread_local! {
        static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    }
    // Once, for a fuzzer makes many harnesses, and settings upon settings would take all memory.
    if !LEFT_OUT.replace(true) {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\n\S+ ~ connection: close", "");
        std::mem::forget(settings.bind_to_scope());
    }
}

pub(crate) fn harness(service: impl Into<Service>) -> Harness {
    harness_with_fuse(service, FuseConfig::default())
}

pub(crate) fn harness_with_fuse(service: impl Into<Service>, fuse: FuseConfig) -> Harness {
    if is_direct() {
        leave_the_difference_out();
        let handover = Handover::new();
        let service = handover.service(service);
        Harness::with_server(service, move |pipes| Server::new(handover.acceptor(pipes)).fuse_config(fuse))
    } else {
        Harness::with_fuse(service, fuse)
    }
}
