//! Where a log comes from beyond this process: the trait `Backend`, and the link that it talks through. What is kept, and for whom,
//! is the store's affair; a backend moves bytes.

pub(crate) mod outbox;
#[cfg(feature = "redis")]
mod backoff;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::outbox::{Outbox, Outgoing};
use crate::id::{Epoch, Offset};

#[doc = include_str!("docs/backend.md")]
pub trait Backend: Send + Sized + 'static {
    /// How long a submit waits for its acknowledgement before it fails with `Unavailable`; 3 s.
    fn deadline(&self) -> Duration {
        Duration::from_secs(3)
    }

    /// Carries messages both ways until the store is closed, when it is dropped.
    ///
    /// It is expected to mend what breaks by itself, for ever. An error before the first [`Link::caught_up`] is that of
    /// [`Store::open`](crate::Store::open); one after it is logged, and leaves the store cut off.
    fn run(self, link: Link) -> impl Future<Output = Result<(), OpenError>> + Send;
}

/// Why a store could not be opened.
///
/// ```
/// let error = tornadose::OpenError::new("connection refused");
/// assert_eq!(error.to_string(), "connection refused");
/// ```
#[derive(Debug)]
pub struct OpenError(Box<dyn std::error::Error + Send + Sync>);

impl OpenError {
    /// An error of a backend.
    ///
    /// ```
    /// let error = tornadose::OpenError::new(std::io::Error::other("no route"));
    /// assert_eq!(error.to_string(), "no route");
    /// ```
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// So that `main` may return `std::io::Result`.
impl From<OpenError> for std::io::Error {
    fn from(error: OpenError) -> Self {
        Self::other(error)
    }
}

/// A message that a backend has heard.
///
/// ```
/// let heard = tornadose::Heard { payload: br#"{"text":"hi"}"#, from: None };
/// assert!(heard.from.is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The message, as `serde_json` writes its type.
    pub payload: &'a [u8],
    /// Which life of which process has sent it and under which number ([`Link::by`], [`Outgoing::number`]), when that is known. A
    /// number that is not above the highest heard of the same life is that of a copy, and dropped.
    pub from: Option<(&'a str, u64)>,
}

/// What became of a message that was heard.
///
/// ```
/// assert_ne!(tornadose::Taken::Queue, tornadose::Taken::Unfit);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// It was appended, one of a queue.
    Queue,
    /// It was appended as the newest value of this field.
    Latest {
        /// Its key and its event's name, as in [`Kind::Latest`](crate::Kind::Latest).
        field: String,
    },
    /// It was a copy.
    Copy,
    /// It is no message of this store; that was counted and logged.
    Unfit,
}

/// What a store hears, whatever its messages are.
pub(crate) trait Inlet: Send + Sync {
    fn channel(&self) -> &'static str;
    fn type_name(&self) -> &'static str;
    fn memory(&self) -> usize;
    fn begin(&self, epoch: Epoch, floor: Offset);
    /// Without an offset it takes the next. Answers the place, and what became of it.
    fn entry(&self, offset: Option<Offset>, heard: Heard<'_>) -> (Offset, Taken);
    fn unfit(&self, offset: Offset, reason: &str);
    fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String>;
    fn reach(&self, offset: Offset);
    fn hole(&self, missed: Option<u64>);
    fn outage(&self);
    fn lost(&self, why: &str);
    fn caught_up(&self);
}

/// What a [`Backend`] talks to its store through, in both directions. A cheap clone.
///
/// ```
/// use futures_util::StreamExt;
/// use tornadose::prelude::*;
/// use tornadose::{Backend, Epoch, Heard, Link, Offset, OpenError, Received, Taken};
///
/// /// What an engine might tell: some entries, and its troubles.
/// struct Script;
///
/// impl Backend for Script {
///     async fn run(self, link: Link) -> Result<(), OpenError> {
///         assert_eq!((link.channel(), link.type_name(), link.by().len()), ("lines", "Line", 8));
///         assert!(link.memory() > 0 && link.deadline() == self.deadline());
///         let at = |seq| Offset::new(7, seq);
///         let tell = |seq, payload| link.entry(at(seq), Heard { payload, from: None });
///
///         // What there was before.
///         link.begin(Epoch::fresh(), Offset::START);
///         assert_eq!(tell(1, br#""one""#), Taken::Queue);
///         assert_eq!(tell(2, b"{}"), Taken::Unfit);
///         link.caught_up();
///
///         // What is submitted, and heard back.
///         for outgoing in link.outgoing(100).await.into_iter().flatten() {
///             let from = Some((link.by(), outgoing.number()));
///             link.entry(at(3), Heard { payload: outgoing.payload(), from });
///             // Sent twice, it is a copy.
///             assert_eq!(link.entry(at(4), Heard { payload: outgoing.payload(), from }), Taken::Copy);
///             outgoing.appended(at(3));
///         }
///
///         // The connection breaks, and is mended; two messages were trimmed meanwhile, and a foreign entry has no data.
///         link.lost("connection reset");
///         link.hole(Some(2));
///         link.unfit(at(7), "no field `data`");
///         tell(8, br#""eight""#);
///         assert!(link.forget(None, "()").is_empty(), "there are no latest values");
///         link.caught_up();
///
///         // Some were sent that nobody heard; then one without a place takes the next.
///         link.outage();
///         link.reach(at(20));
///         assert_eq!(link.append(Heard { payload: br#""last""#, from: None }), (at(21), Taken::Queue));
///         std::future::pending().await
///     }
/// }
///
/// #[store(queue, channel = "lines")]
/// #[derive(Serialize, Deserialize)]
/// struct Line(String);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::<Line>::open(Script).await?;
/// let mut reader = store.subscribe();
/// store.submit(Line("mine".into())).await?;
/// let mut seen = Vec::new();
/// while seen.last().is_none_or(|last| last != "last") {
///     match reader.next().await {
///         Some(Received::Message { message, .. }) => seen.push(message.0.clone()),
///         Some(Received::Gap { reason, missed, .. }) => seen.push(format!("{reason:?} {missed:?}")),
///         _ => break,
///     }
/// }
/// assert_eq!(seen, ["mine", "Trimmed Some(2)", "eight", "Outage None", "last"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Link {
    inlet: Arc<dyn Inlet>,
    outbox: Arc<Outbox>,
    deadline: Duration,
}

impl Link {
    pub(crate) fn new(inlet: Arc<dyn Inlet>, outbox: Arc<Outbox>, deadline: Duration) -> Self {
        Self { inlet, outbox, deadline }
    }

    /// The channel's name, as the type of the messages declares it.
    pub fn channel(&self) -> &'static str {
        self.inlet.channel()
    }

    /// The name of the messages' type, without its path.
    pub fn type_name(&self) -> &'static str {
        self.inlet.type_name()
    }

    /// How many bytes the store keeps; a payload that is longer can be no message of it.
    pub fn memory(&self) -> usize {
        self.inlet.memory()
    }

    /// The name of this life of the process.
    pub fn by(&self) -> &str {
        self.outbox.by()
    }

    /// How long a submit waits for its acknowledgement.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes what is to be sent, at most so many messages, waiting for the first. None when the store is closed and all is taken.
    ///
    /// What is not taken is not sent: take only when there is a connection to send on.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has taken nothing.
    pub async fn outgoing(&self, at_most: usize) -> Option<Vec<Outgoing>> {
        self.outbox.take(at_most).await
    }

    /// Begins a life of the log, with nothing in it; the first call before all others. At a later one readers hear
    /// `restarted`, and then what the backend tells anew. Messages at or below `floor` may have been there before.
    pub fn begin(&self, epoch: Epoch, floor: Offset) {
        self.inlet.begin(epoch, floor);
    }

    /// A message at its place, which is above all before.
    pub fn entry(&self, offset: Offset, heard: Heard<'_>) -> Taken {
        self.inlet.entry(Some(offset), heard).1
    }

    /// A message without a place of its own, which takes the next: for a backend that keeps nothing.
    pub fn append(&self, heard: Heard<'_>) -> (Offset, Taken) {
        self.inlet.entry(None, heard)
    }

    /// An entry at its place that is no message, and why. It is counted and logged.
    pub fn unfit(&self, offset: Offset, reason: &str) {
        self.inlet.unfit(offset, reason);
    }

    /// The word that a key's `latest` values are to be dropped ([`Kind::Forget`](crate::Kind::Forget)), at its place if it
    /// has one. Answers the fields in which it had values.
    pub fn forget(&self, offset: Option<Offset>, key: &str) -> Vec<String> {
        self.inlet.forget(offset, key)
    }

    /// The log has come as far as this place, where nothing stands.
    pub fn reach(&self, offset: Offset) {
        self.inlet.reach(offset);
    }

    /// Messages that stood behind what was told so far are gone, so many when that is known: `trimmed`.
    pub fn hole(&self, missed: Option<u64>) {
        self.inlet.hole(missed);
    }

    /// Messages may have been sent that were not heard: `outage`. To be said when messages are heard again.
    pub fn outage(&self) {
        self.inlet.outage();
    }

    /// The other side cannot be reached, for this reason. Readers stay.
    pub fn lost(&self, why: &str) {
        self.inlet.lost(why);
    }

    /// All there is was told. The first time it opens the store; after [`lost`](Self::lost) it ends that.
    pub fn caught_up(&self) {
        self.inlet.caught_up();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("channel", &self.channel()).finish_non_exhaustive()
    }
}
