//! Why Redis refuses commands of one kind.

/// The reason of the last refusal; `None` when the commands were executed.
#[derive(Default)]
pub(super) struct Refusal(Option<String>);

impl Refusal {
    /// Replaces the reason. Returns it when it is another one, so that it is logged once.
    pub(super) fn replace(&mut self, reason: Option<String>) -> Option<&str> {
        if self.0 == reason {
            return None;
        }
        self.0 = reason;
        self.0.as_deref()
    }
}
