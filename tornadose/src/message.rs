//! The trait [`Message`] of the values in a store, their keys and their retention.

pub(crate) mod key_field;
pub(crate) mod key_names;
pub(crate) mod key_values;
pub(crate) mod checked;
pub(crate) mod never;
pub(crate) mod threads;
pub(crate) mod tombstone;
pub(crate) mod slot;
pub(crate) mod snapshot;
pub(crate) mod snapshot_hooks;

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use serde::Serialize;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::message::snapshot::SnapshotRules;
use crate::message::tombstone::Tombstone;

/// The type of the values in a [`Store`](crate::Store).
///
/// The attribute [`#[store]`](macro@crate::store) implements it. An implementation by hand may use any encoding, such
/// as fragments of HTML:
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
    /// The key that routes a message to its readers. [`NoKey`] sends every message to every reader.
    ///
    /// A key is known outside of the process by its JSON: different keys must have different JSON, and equal keys the
    /// same. Its length in bytes is the size of the key, in a store with a backend twice its length. A key longer than [`MAX_KEY`](Self::MAX_KEY) is rejected.
    ///
    /// Every key that a store remembers counts in its `memory`, with its size:
    ///
    /// | the key has | it counts |
    /// |---|---|
    /// | messages kept | its size and [`ENTRY_OVERHEAD`](crate::ENTRY_OVERHEAD) |
    /// | no message kept, and readers | its size |
    /// | neither, but messages of it were trimmed | its size and `ENTRY_OVERHEAD`; all such keys take at most a quarter of what the `latest` values leave of `memory` |
    /// | neither, and it was only looked up | nothing: it is not remembered |
    ///
    /// The store holds a key once, however many messages and readers it has. A key type without fields, such as
    /// [`NoKey`], has the size 0.
    ///
    /// `Eq`, `Hash`, `Serialize` and `Drop` of a key run under the store's lock and must not call the store.
    type Key: Clone + Eq + Hash + Debug + Serialize + Send + Sync + 'static;

    /// Whether any message of this type is [`Retention::Queue`]. When `false`, every message that is not
    /// [`Retention::Ephemeral`] is kept as [`Retention::Latest`] and no gap is ever reported, because the newest values are
    /// the whole state.
    const HAS_QUEUE: bool = true;

    /// Whether any message of this type is [`Retention::Latest`]. When `false`, every message that is not
    /// [`Retention::Ephemeral`] is kept as [`Retention::Queue`], and the messages missing in a gap can be counted.
    const HAS_LATEST: bool = true;

    /// Whether any message of this type is [`Retention::Ephemeral`]. When `false`, a message that is fails with `Encode`.
    const HAS_EPHEMERAL: bool = false;

    /// Whether keys can be finished: [`Store::finish`](crate::Store::finish) is used, or messages
    /// [finish](Self::finishes) their keys. A type with `true` implements [`Finish`] too.
    const CAN_FINISH: bool = false;

    /// Whether any `latest` message of this type has a slot. When `false`, [`slot_json`](Self::slot_json) is never called.
    const HAS_SLOTS: bool = false;

    /// Whether the JSON of each slot is that of a variant of an enum, `{"Reading":{"sensor":"heat"}}`. Clients are then
    /// given what is below the name.
    const SLOTS_NAME_VARIANTS: bool = false;

    /// Whether any `latest` message of this type expires. When `false`, [`latest_ttl`](Self::latest_ttl) is never called.
    ///
    /// The readers of a type with `true` are told of gaps also when no message is [`Retention::Queue`]: an expiry that
    /// is lost would leave a value on a page for ever.
    const HAS_LATEST_TTL: bool = false;

    /// Whether any message of this type is a tombstone. When `false`, [`tombstone`](Self::tombstone) is never called.
    const HAS_TOMBSTONES: bool = false;

    /// The number of queue messages of each key that are kept for slow readers, for `replay` and for resuming. Zero
    /// counts as 1.
    const CAPACITY: usize = 1024;

    /// The encoded bytes that the whole store keeps, plus [`ENTRY_OVERHEAD`](crate::ENTRY_OVERHEAD) for each message
    /// and key, plus the size of each [key](Self::Key). A message counts once, and once more for each transport that a
    /// handler of the store serves, in the longest form that its text can take there.
    const MEMORY: usize = 64 << 20;

    /// The longest JSON of a key, in bytes. A submit with a longer key fails with `KeyTooLong`, and a connection with
    /// one gets the status 400.
    const MAX_KEY: usize = 1024;

    /// How long a queue message is kept at most; `None`, for as long as there is room. An older message is delivered to
    /// nobody, and a reader to whom it was still owed is sent a gap.
    ///
    /// In memory its age counts from the submit, by the clock of the runtime. With a backend it counts from the time that
    /// the engine gives ([`IncomingEntry::with_age`](crate::backend::IncomingEntry::with_age)).
    const QUEUE_TTL: Option<Duration> = None;

    /// How the queue messages of a key are summed to a snapshot, which readers that come late get instead of a gap; `None`,
    /// not at all.
    const SNAPSHOT: Option<SnapshotRules<Self, Self::Key>> = None;

    /// The name of the channel on which processes publish, and under which logs show the store.
    const CHANNEL: &'static str;

    /// Returns the key that routes this message.
    fn key(&self) -> Self::Key;

    /// Returns what the store keeps of this message.
    fn retention(&self) -> Retention;

    /// Returns whether this is the last message of its key. It is not asked of an ephemeral message, and is ignored unless [`CAN_FINISH`](Self::CAN_FINISH) is
    /// `true`.
    fn finishes(&self) -> bool {
        false
    }

    /// Returns the JSON of the slot of a `latest` message, which replaces the one before it of the same key and slot. It
    /// counts in `memory`. Of messages without one, the newest of each key and variant is kept. See
    /// [`Slotted`](crate::Slotted).
    ///
    /// # Errors
    ///
    /// The slot cannot be serialized. `submit` then fails with `Encode`, and nothing was appended.
    fn slot_json(&self) -> Result<Option<String>, EncodeError> {
        Ok(None)
    }

    /// Returns how long this `latest` message is kept, unless another replaces it in its place; `None`, for ever. When
    /// it expires, its readers get the event `tornadose:expired`.
    ///
    /// Its age counts as that of a queue message does, see [`QUEUE_TTL`](Self::QUEUE_TTL). With a backend that supports
    /// [`Features::EXPIRE`](crate::backend::Features::EXPIRE) the engine decides.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::{EncodeError, Event, Message, Retention};
    ///
    /// struct Member {
    ///     user: String,
    /// }
    ///
    /// impl Message for Member {
    ///     type Key = String;
    ///     const HAS_QUEUE: bool = false;
    ///     const HAS_LATEST_TTL: bool = true;
    ///     const CHANNEL: &'static str = "members";
    ///
    ///     fn key(&self) -> String {
    ///         self.user.clone()
    ///     }
    ///     fn retention(&self) -> Retention {
    ///         Retention::Latest
    ///     }
    ///     fn latest_ttl(&self) -> Option<Duration> {
    ///         Some(Duration::from_secs(30))
    ///     }
    ///     fn event(&self) -> Result<Event, EncodeError> {
    ///         Ok(Event::text(&self.user))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let store = tornadose::Store::new();
    /// store.submit(Member { user: "ada".into() }).await.unwrap();
    /// tokio::time::sleep(Duration::from_secs(30)).await;
    /// assert!(store.latest(&"ada".to_string()).is_none());
    /// # }
    /// ```
    fn latest_ttl(&self) -> Option<Duration> {
        None
    }

    /// Returns the `latest` values of its key that this queue message drops, at its place in the log; `None` for a message
    /// that is not a tombstone. A `latest` message cannot be one.
    ///
    /// # Errors
    ///
    /// As those of [`slot_json`](Self::slot_json).
    fn tombstone(&self) -> Result<Option<Tombstone>, EncodeError> {
        Ok(None)
    }

    /// Returns the event that clients receive. Called once per submit, and with a backend once per entry that is decoded.
    ///
    /// # Errors
    ///
    /// The message cannot be encoded. `submit` then fails with `Encode`, and nothing was appended.
    fn event(&self) -> Result<Event, EncodeError>;
}

/// A message type whose keys can be finished, by [`Store::finish`](crate::Store::finish).
///
/// The attribute [`#[store]`](macro@crate::store) implements it for an enum with `#[finish]` on a variant, and with the
/// option `finish`. An implementation by hand sets [`Message::CAN_FINISH`] too:
///
/// ```
/// use tornadose::{EncodeError, Event, Finish, Message, Retention, Store};
///
/// struct Line {
///     run: u64,
///     text: &'static str,
/// }
///
/// impl Message for Line {
///     type Key = u64;
///     const CAN_FINISH: bool = true;
///     const CHANNEL: &'static str = "lines";
///
///     fn key(&self) -> u64 {
///         self.run
///     }
///     fn retention(&self) -> Retention {
///         Retention::Queue
///     }
///     fn finishes(&self) -> bool {
///         self.text == "done"
///     }
///     fn event(&self) -> Result<Event, EncodeError> {
///         Ok(Event::text(self.text))
///     }
/// }
///
/// impl Finish for Line {}
///
/// let store = Store::new();
/// store.try_submit(Line { run: 7, text: "done" }).unwrap();
/// assert!(store.try_submit(Line { run: 7, text: "late" }).is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "the keys of `{Self}` cannot be finished",
    label = "cannot be finished",
    note = "write `#[store(..., finish)]` on `{Self}`, or `#[finish]` on the variants that are last"
)]
pub trait Finish: Message {}

/// What a store keeps of a message.
///
/// ```
/// assert_ne!(tornadose::Retention::Latest, tornadose::Retention::Queue);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retention {
    /// Only the newest of its key and variant, or of its key and [slot](Message::slot_json). A new reader gets it at once; a slow reader skips those it replaced.
    Latest,
    /// Every message, in order, up to the store's capacity and memory.
    Queue,
    /// Every message, in order, for those who read it within 5 s and before 1,024 newer ephemeral messages have come. It
    /// has no id, and no gap reports its loss. A new or resumed reader does not get it.
    Ephemeral,
}

/// The key of a message without one: every reader gets every message.
///
/// ```
/// assert_eq!(tornadose::NoKey, tornadose::NoKey {});
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NoKey;

/// The keys whose messages a connection receives.
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
    /// One key.
    One(K),
    /// Several keys, at most [`max_keys`](crate::subscriber::Options::max_keys). Their messages arrive in the order of the
    /// log. A key that is listed twice counts once.
    Set(Vec<K>),
    /// Every key.
    All,
}
