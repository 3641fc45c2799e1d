//! The kinds of a message, as the attribute's words and as the truth.

/// What is kept of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Latest,
    Queue,
}
