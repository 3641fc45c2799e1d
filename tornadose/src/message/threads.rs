//! The bounds `Send` and `Sync` of messages and subscribers. Expansions check them for each field by one trait, so that
//! rustc reports a field once, and where it is written.

use crate::message::never::{Never, Unimplemented};

/// The type of a field of a message or a subscriber.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used by several threads",
    label = "not `Send` and `Sync`",
    note = "use `Arc` instead of `Rc`, and `Mutex` instead of `Cell` or `RefCell`"
)]
pub trait ThreadSafe {
    /// Compiles when the type is thread-safe.
    const CHECKED: bool = true;
}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + 'static> ThreadSafe for T {}

#[diagnostic::do_not_recommend]
impl<T> ThreadSafe for T where Never<T>: Unimplemented {}
