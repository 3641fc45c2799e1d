//! What a store holds: the trait `Message`, its keys, and what is kept of it. How it is kept is the log's affair.

use std::fmt::Debug;
use std::hash::Hash;

use crate::event::Event;
use crate::event::error::EncodeError;

/// What a [`Store`](crate::Store) holds. The attribute [`#[store]`](macro@crate::store) implements it; by hand it takes any
/// encoding, here fragments of HTML:
///
/// ```
/// use tornadose::{EncodeError, Event, Message, Retention};
///
/// struct Fragment {
///     page: String,
///     html: String,
/// }
///
/// impl Message for Fragment {
///     type Key = String;
///     const CHANNEL: &'static str = "fragments";
///
///     fn key(&self) -> String {
///         self.page.clone()
///     }
///     fn retention(&self) -> Retention {
///         Retention::Latest
///     }
///     fn event(&self) -> Result<Event, EncodeError> {
///         Ok(Event::text(&self.html))
///     }
/// }
///
/// let store = tornadose::Store::new();
/// store.try_submit(Fragment { page: "home".into(), html: "<b>hi</b>".into() }).unwrap();
/// assert_eq!(store.latest(&"home".to_string()).unwrap().html, "<b>hi</b>");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message of a store",
    label = "not a message",
    note = "put `#[store(latest)]` or `#[store(queue)]` on `{Self}`"
)]
pub trait Message: Send + Sync + Sized + 'static {
    /// What routes a message to its readers; [`NoKey`] when every reader gets every message.
    ///
    /// Keep keys short: a store counts [`ENTRY_OVERHEAD`](crate::ENTRY_OVERHEAD) for a key, whatever its own size, and remembers 65,536 keys
    /// with nothing kept. A key of 12 characters with one small `latest` value was measured at about 780 bytes, one of which nothing
    /// is kept any more at 350; one that was merely asked for leaves nothing. `Eq`, `Hash`, `Clone` and `Drop` of a key run under the store's lock, and must not call the store.
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// Whether any message of this type is [`Retention::Queue`]. When `false`, every message is kept as
    /// [`Retention::Latest`] and no reader is ever told of a gap: the newest values are all there is to know.
    const HAS_QUEUE: bool = true;

    /// Whether any message of this type is [`Retention::Latest`]. When `false`, what is missing at a hole can be counted.
    const HAS_LATEST: bool = true;

    /// How many queue messages of each key are kept for slow readers, for `replay` and for resuming; 0 counts as 1.
    const CAPACITY: usize = 1024;

    /// How many encoded bytes the whole store keeps, with [`ENTRY_OVERHEAD`](crate::ENTRY_OVERHEAD) for each message and key.
    const MEMORY: usize = 64 << 20;

    /// The channel's name where other processes publish; unused in memory.
    const CHANNEL: &'static str;

    /// The key that routes this message.
    fn key(&self) -> Self::Key;

    /// What is kept of this message.
    fn retention(&self) -> Retention;

    /// What a client is to see of this message. Called once per submit.
    ///
    /// # Errors
    ///
    /// When the message cannot be encoded; `submit` then answers `Encode` and nothing was appended.
    fn event(&self) -> Result<Event, EncodeError>;
}

/// What a store keeps of a message.
///
/// ```
/// assert_ne!(tornadose::Retention::Latest, tornadose::Retention::Queue);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retention {
    /// Only the newest of its key and variant: a new reader gets it at once, a slow reader skips what it replaced.
    Latest,
    /// Every message, in order, up to the store's capacity and memory.
    Queue,
}

/// The key of a message without one: every reader gets every message.
///
/// ```
/// assert_eq!(tornadose::NoKey, tornadose::NoKey {});
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoKey;

/// Whose messages a connection receives.
///
/// ```
/// use tornadose::Keys;
///
/// let rooms = Keys::Set(vec!["rust", "go"]);
/// assert_ne!(rooms, Keys::All);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys<K> {
    /// Those of one key.
    One(K),
    /// Those of several keys, in the order of the log; a key that is named twice counts once.
    Set(Vec<K>),
    /// All.
    All,
}
