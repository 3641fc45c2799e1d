//! The atomics, locks and notifications of the code that is checked under a model of threads. The crate in `models/`
//! includes that code by path, and has loom's types in a module of this name.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use tokio::sync::Notify;
