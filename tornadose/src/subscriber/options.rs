//! The options of a subscriber: how its connections are served. [`StreamHandler`](crate::StreamHandler) can override
//! them per route.

use std::time::Duration;

/// How the connections of a subscriber are served.
///
/// Start from [`Options::new`] and override what differs. Every method is a `const fn`, because
/// [`Subscriber::OPTIONS`](crate::Subscriber::OPTIONS) is a constant:
///
/// ```
/// use tornadose::subscriber::{Lag, Options};
///
/// const OPTIONS: Options = Options::new().replay(20).lag(Lag::Close);
/// # assert_ne!(OPTIONS, Options::new());
/// ```
///
/// | option | default | off |
/// |---|---|---|
/// | [`transports`](Self::transports) | [`Transports::Both`] | – |
/// | [`replay`](Self::replay) | 0 messages | 0 |
/// | [`lag`](Self::lag) | [`Lag::Skip`] | – |
/// | [`keep_alive`](Self::keep_alive) | 15 s | [`no_keep_alive`](Self::no_keep_alive) |
/// | [`retry`](Self::retry) | 3 s | – |
/// | [`origins`](Self::origins) | [`Origins::SameHost`] | [`Origins::Any`] |
/// | [`max_connections`](Self::max_connections) | no limit | leave it out |
/// | [`max_keys`](Self::max_keys) | 256 | – |
/// | [`max_loads`](Self::max_loads) | 16 | – |
/// | [`max_age`](Self::max_age) | no limit | leave it out |
/// | [`protocols`](Self::protocols) | none | `&[]` |
/// | [`max_message`](Self::max_message) | 64 KiB | – |
/// | [`throttle`](Self::throttle) | every message at once | leave it out |
/// | [`snapshots`](Self::snapshots) | [`Snapshots::Unfiltered`] | [`Snapshots::Withheld`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    pub(crate) transports: Transports,
    pub(crate) replay: usize,
    pub(crate) lag: Lag,
    /// `None` when it is off.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) retry: Duration,
    pub(crate) origins: Origins,
    /// `None` for no limit.
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_keys: usize,
    pub(crate) max_loads: usize,
    /// `None` for no limit.
    pub(crate) max_age: Option<Duration>,
    pub(crate) protocols: &'static [&'static str],
    pub(crate) max_message: usize,
    /// `None` to write every message at once.
    pub(crate) throttle: Option<Duration>,
    pub(crate) snapshots: Snapshots,
}

impl Options {
    /// Returns the defaults.
    ///
    /// ```
    /// use tornadose::subscriber::{Lag, Options, Origins, Transports};
    ///
    /// let spelled_out = Options::new().transports(Transports::Both).replay(0).lag(Lag::Skip);
    /// assert_eq!(spelled_out.origins(Origins::SameHost), Options::new());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            transports: Transports::Both,
            replay: 0,
            lag: Lag::Skip,
            keep_alive: Some(Duration::from_secs(15)),
            retry: Duration::from_secs(3),
            origins: Origins::SameHost,
            max_connections: None,
            max_keys: 256,
            max_loads: 16,
            max_age: None,
            protocols: &[],
            max_message: 64 << 10,
            throttle: None,
            snapshots: Snapshots::Unfiltered,
        }
    }

    /// Sets whether connections get the snapshots of their keys, of a type that has them. Default:
    /// [`Snapshots::Unfiltered`]. A subscriber whose filter withholds messages that a snapshot would show sets
    /// [`Snapshots::Withheld`].
    ///
    /// ```
    /// use tornadose::subscriber::{Options, Snapshots};
    ///
    /// const OPTIONS: Options = Options::new().snapshots(Snapshots::Withheld);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn snapshots(mut self, snapshots: Snapshots) -> Self {
        self.snapshots = snapshots;
        self
    }

    /// Sets the transports that the handler serves. Default: [`Transports::Both`].
    ///
    /// ```
    /// use tornadose::subscriber::{Options, Transports};
    ///
    /// const OPTIONS: Options = Options::new().transports(Transports::Ws);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn transports(mut self, transports: Transports) -> Self {
        self.transports = transports;
        self
    }

    /// Sets the number of kept queue messages that a new connection receives first: the newest of all its keys
    /// together, counted before the filter. Default: 0, which sends none; `usize::MAX` sends all.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().replay(20);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn replay(mut self, messages: usize) -> Self {
        self.replay = messages;
        self
    }

    /// Sets what happens to a reader that lagged. Default: [`Lag::Skip`].
    ///
    /// ```
    /// use tornadose::subscriber::{Lag, Options};
    ///
    /// const OPTIONS: Options = Options::new().lag(Lag::Close);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn lag(mut self, lag: Lag) -> Self {
        self.lag = lag;
        self
    }

    /// Sets the silence after which a comment (SSE) or a ping (WebSocket) is sent. Default: 15 s. Clamped to
    /// 1 ms ..= 365 days, so zero is 1 ms; [`no_keep_alive`](Self::no_keep_alive) turns it off.
    ///
    /// A client that takes no bytes, or a WebSocket that does not answer a ping, is ended after about twice this time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().keep_alive(Duration::from_secs(25));
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = Some(after);
        self
    }

    /// Turns the keep-alive off: nothing is sent during silence. A client that vanished is then noticed only when a
    /// write makes no progress for 30 s.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().no_keep_alive();
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn no_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }

    /// Sets the reconnection delay sent to `EventSource` clients (`retry:`) at every open, in whole milliseconds.
    /// Default: 3 s. At most 365 days; zero lets clients reconnect at once. When the server ends a stream, it sends
    /// `retry:` again, spread over one to three times this value, so that clients do not return all at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().retry(Duration::from_secs(1));
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn retry(mut self, after: Duration) -> Self {
        self.retry = after;
        self
    }

    /// Sets the origins whose pages may open a WebSocket, and get CORS headers for SSE. Default:
    /// [`Origins::SameHost`].
    ///
    /// ```
    /// use tornadose::subscriber::{Options, Origins};
    ///
    /// const OPTIONS: Options = Options::new().origins(Origins::List(&["https://app.example"]));
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets how many connections the handler serves at once, counted after
    /// [`Subscriber::authorize`](crate::Subscriber::authorize). Default: no limit. Zero serves none. A client beyond it
    /// gets a stream that ends after its `retry:`, or the status 503 instead of a WebSocket.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().max_connections(10_000);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets how many keys a connection with a [set of keys](crate::Keys::Set) may have; doubles count once. Default: 256.
    /// Zero refuses every set. A request with more gets the status 400. Of a connection that
    /// [watches](crate::Subscriber::watch) keys, how many it has at once.
    ///
    /// What a read of such a connection costs grows with its keys, see the documentation of
    /// [`#[subscriber]`](macro@crate::subscriber#several-keys).
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().max_keys(50);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets how many [`load`](crate::Subscriber::load) hooks of the handler run at once. Default: 16. Zero is 1. The
    /// connections beyond it wait for their turn, in order, with keep-alives.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().max_loads(4);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn max_loads(mut self, loads: usize) -> Self {
        self.max_loads = loads;
        self
    }

    /// Sets the maximum age of a connection, jittered by ±10 %. The client then reconnects, is authorized again and
    /// resumes. Default: no limit. Clamped to 1 ms ..= 365 days.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().max_age(Duration::from_secs(600));
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the WebSocket subprotocols on offer (RFC 6455 §1.9). Of the client's, in its order, the first that is on
    /// offer is chosen; without one the connection opens without a subprotocol. Default: none.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().protocols(&["v2", "v1"]);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn protocols(mut self, protocols: &'static [&'static str]) -> Self {
        self.protocols = protocols;
        self
    }

    /// Sets the greatest length of a WebSocket text from the client, in bytes. Default: 64 KiB. Zero accepts empty
    /// texts only. A longer one ends the connection with 1009, and a binary message, which no hook receives, with 1003.
    ///
    /// ```
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().max_message(1 << 20);
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Writes messages to a connection at most once in this period. Default: every message at once. Clamped to
    /// 1 ms ..= 365 days.
    ///
    /// After a quiet period a message is written at once. Messages that come within the period are written together at
    /// its end; of `latest` messages only the newest. These do not wait: what a connection is sent when it opens, replies,
    /// and an end of the connection, which takes along what waits. When half of the store's capacity of one key waits, it
    /// is written, so that a throttled connection does not lag for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::subscriber::Options;
    ///
    /// const OPTIONS: Options = Options::new().throttle(Duration::from_millis(500));
    /// # assert_ne!(OPTIONS, Options::new());
    /// ```
    #[must_use]
    pub const fn throttle(mut self, period: Duration) -> Self {
        self.throttle = Some(period);
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// The transports that a handler serves.
///
/// ```
/// use tornadose::subscriber::{Options, Transports};
///
/// const OPTIONS: Options = Options::new().transports(Transports::Sse);
/// # assert_ne!(OPTIONS, Options::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transports {
    /// Server-Sent Events only; an upgrade request gets a stream.
    Sse,
    /// WebSocket only; any other request gets the status 426.
    Ws,
    /// A WebSocket for an upgrade request, Server-Sent Events for any other.
    Both,
}

/// What happens to a reader that lagged: an unread message of its keys was trimmed.
///
/// ```
/// use tornadose::subscriber::{Lag, Options};
///
/// assert_eq!(Options::new().lag(Lag::Skip), Options::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// The gap is reported to it. It then receives what a resume from its position would bring.
    Skip,
    /// Its connection ends (WebSocket: 1013). The client reconnects and resumes.
    Close,
}

/// Whether connections get the snapshots of their keys, of a type that has them.
///
/// ```
/// use tornadose::subscriber::{Options, Snapshots};
///
/// assert_eq!(Options::new().snapshots(Snapshots::Unfiltered), Options::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Snapshots {
    /// They get snapshots. A snapshot sums all messages of its key, also those that
    /// [`filter`](crate::Subscriber::filter) withholds. The filter is asked about it as about a message, and one that it
    /// withholds is told as a gap.
    Unfiltered,
    /// They get gaps, as those of any queue. `#[subscriber]` sets this for a subscriber with a `filter`, unless it says
    /// `snapshots = unfiltered`.
    Withheld,
}

/// The origins whose pages may open a WebSocket, and get CORS headers for SSE.
///
/// ```
/// use tornadose::subscriber::{Options, Origins};
///
/// const OPTIONS: Options = Options::new().origins(Origins::List(&["https://app.example"]));
/// # assert_ne!(OPTIONS, Options::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Pages of the host and port that the request names, and clients that send no `Origin`.
    SameHost,
    /// Every page. It reads SSE without credentials (`access-control-allow-origin: *`), but its WebSocket is opened
    /// with the browser's cookies: check a token in [`authorize`](crate::Subscriber::authorize).
    Any,
    /// Pages of these origins (`scheme://host[:port]`), and clients that send no `Origin`.
    List(&'static [&'static str]),
}
