//! A type that depends on a check.

/// Any type, after a check that compiled.
///
/// A check that did not compile is reported, and makes [`Itself`](Self::Itself) a type that rustc knows to be wrong. So
/// rustc reports nothing that follows from the check.
pub trait Checked<const CHECKED: bool> {
    /// The type itself.
    type Itself;
}

impl<T> Checked<true> for T {
    type Itself = T;
}

/// The type `T`, after the check `CHECKED`. See `Checked`.
pub type AfterCheck<T, const CHECKED: bool> = <T as Checked<CHECKED>>::Itself;
