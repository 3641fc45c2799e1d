//! Tasks whose futures are boxed. A program of many message types is built with the runtime's code for one type of task.
//! Tasks that are polled for each message are not boxed.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// As [`tokio::spawn`].
pub(crate) fn spawn(future: BoxFuture<'static, ()>) -> JoinHandle<()> {
    tokio::spawn(future)
}

/// As [`Handle::spawn`].
pub(crate) fn spawn_on(runtime: &Handle, future: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(future)
}
