//! The atomics and locks of the code that is checked under a model of threads. Such a build replaces this module's
//! imports.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
