//! Servers whose streams are attached, or detached if the environment says so.

use std::cell::Cell;
use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use salvo::fuse::FuseConfig;
use salvo::{Router, Server, Service};
use tokio::task::JoinHandle;
use tornadose::Handover;
use tornadose_test::Harness;

/// The environment variable that says which streams a test process has.
pub(crate) const STREAMS: &str = "TORNADOSE_STREAMS";

/// Returns whether the streams of this process are detached, by a `tornadose::Handover` as under `tornadose::serve`.
pub(crate) fn is_detached() -> bool {
    env::var_os(STREAMS).is_some_and(|streams| streams == "detached")
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Leaves `connection: close` out of the snapshots of this thread. It is the only header that differs.
fn leave_out_connection_close() {
    thread_local! {
        static IS_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    }
    // Once per thread: a property test makes many harnesses, and each binding would stay in memory.
    if !IS_LEFT_OUT.replace(true) {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\n\S+ ~ connection: close", "");
        std::mem::forget(settings.bind_to_scope());
    }
}

pub(crate) fn harness(service: impl Into<Service>) -> Harness {
    harness_with_fuse(service, FuseConfig::default())
}

pub(crate) fn harness_with_fuse(service: impl Into<Service>, fuse: FuseConfig) -> Harness {
    if is_detached() {
        leave_out_connection_close();
        let handover = Handover::new();
        let service = handover.wrap_service(service);
        Harness::with_server(service, move |pipes| Server::new(handover.wrap_acceptor(pipes)).fuse_config(fuse))
    } else {
        Harness::with_fuse(service, fuse)
    }
}

/// Serves on a real socket. The server ends when its task is aborted.
pub(crate) async fn serve_on_socket(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.local_addr().unwrap();
    let serving = if is_detached() {
        let handover = Handover::new();
        let service = handover.wrap_service(router);
        tokio::spawn(Server::new(handover.wrap_acceptor(acceptor)).serve(service))
    } else {
        tokio::spawn(Server::new(acceptor).serve(router))
    };
    (addr, serving)
}
