//! What a tombstone drops.

/// The `latest` values that a message drops, see [`Message::tombstone`](crate::Message::tombstone).
///
/// ```
/// use tornadose::Tombstone;
///
/// assert_ne!(Tombstone::Key, Tombstone::Slots(vec![r#"{"sensor":"heat"}"#.into()]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tombstone {
    /// All values of its key.
    Key,
    /// The values of its key in these slots, by their JSON.
    Slots(Vec<String>),
}
