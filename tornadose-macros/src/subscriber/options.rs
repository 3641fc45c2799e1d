//! What the words among an option's values stand for, in the attribute and in the truth.

/// What a reader that lagged gets.
#[derive(Clone, Copy)]
pub(crate) enum Lag {
    Skip,
    Close,
}

#[derive(Clone, Copy)]
pub(crate) enum KeepAlive {
    Off,
    Milliseconds(u64),
}

#[derive(Clone)]
pub(crate) enum Origins {
    Any,
    List(Vec<String>),
}
