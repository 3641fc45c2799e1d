//! What one connection is: the trait `Subscriber` and its options. How it is served is the handler's affair.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::time::Duration;

use salvo::{Depot, Request, http::StatusError};

use crate::message::{Keys, Message};
use crate::store::Store;

/// One connection to the messages of a store. The attribute [`#[subscriber]`](macro@crate::subscriber) implements it; by
/// hand it takes what the attribute does not offer, here a set of keys:
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Quote {
///     #[key]
///     symbol: String,
///     bid: f64,
/// }
///
/// /// `GET /quotes?symbols=AAPL,MSFT`
/// struct Watchlist(Vec<QuoteKey>);
///
/// impl Subscriber for Watchlist {
///     type Message = Quote;
///
///     fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
///         let symbols: String = request.query("symbols").ok_or_else(StatusError::bad_request)?;
///         Ok(Self(symbols.split(',').map(|symbol| QuoteKey { symbol: symbol.into() }).collect()))
///     }
///     fn keys(&self) -> Keys<QuoteKey> {
///         Keys::Set(self.0.clone())
///     }
/// }
///
/// let router = Router::with_path("quotes").get(Live::<Watchlist>::new(&Store::new()));
/// # drop(router);
/// ```
///
/// The struct lives as long as its connection and is dropped once: `impl Drop` is the disconnect hook.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a subscriber",
    label = "not a subscriber",
    note = "put `#[subscriber(sse, store = …)]` on `{Self}`"
)]
pub trait Subscriber: Sized + Send + Sync + 'static {
    /// What it receives.
    type Message: Message;

    /// How it is served.
    const OPTIONS: Options = Options::DEFAULT;

    /// Reads the connection off its request.
    ///
    /// # Errors
    ///
    /// Becomes the HTTP answer; nothing was subscribed.
    fn from_request(request: &Request, depot: &Depot) -> Result<Self, StatusError>;

    /// Whose messages it receives; asked once, after [`on_open`](Self::on_open).
    fn keys(&self) -> Keys<KeyOf<Self>>;

    /// Decides whether the connection may open, and may complete it. Runs before the first byte.
    ///
    /// # Errors
    ///
    /// Becomes the HTTP answer; nothing was subscribed.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client leaves while it runs.
    fn on_open(&mut self) -> impl Future<Output = Result<(), StatusError>> + Send {
        ready(Ok(()))
    }

    /// Whether this message goes to the client; `false` withholds it. Called once per message and connection.
    #[expect(unused_variables, reason = "the names are for those who write it")]
    fn on_send(&self, message: &Self::Message) -> bool {
        true
    }

    /// Takes a text that the client sent over a WebSocket. Texts come one at a time; nothing is delivered while it runs.
    ///
    /// # Errors
    ///
    /// [`Refusal::Say`] tells the client why and keeps the connection, [`Refusal::Close`] ends it.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connection ends while it runs.
    #[expect(unused_variables, reason = "the names are for those who write it")]
    fn on_text(
        &mut self,
        text: &str,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        ready(Ok(()))
    }
}

/// The key type of a subscriber's messages.
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, store = Tick)]
/// struct Ticks;
///
/// let _: tornadose::KeyOf<Ticks> = tornadose::NoKey;
/// ```
pub type KeyOf<S> = <<S as Subscriber>::Message as Message>::Key;

/// How a connection is served. Every option has a default and can be set on the handler too
/// ([`Live`](crate::Live)).
///
/// ```
/// use tornadose::{Lag, Options};
///
/// let options = Options { replay: 20, lag: Lag::Close, ..Options::DEFAULT };
/// assert_eq!(options.keep_alive, Some(std::time::Duration::from_secs(15)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the handler speaks.
    pub transports: Transports,
    /// How many of the last kept queue messages of all its keys together a new connection gets, counted before the filter.
    pub replay: usize,
    /// What happens to a reader for whom an unread message was trimmed.
    pub lag: Lag,
    /// After how much silence a comment (SSE) or a ping (WebSocket) is sent; `None` for never.
    pub keep_alive: Option<Duration>,
    /// When an `EventSource` is to come back after a stream has ended, sent in whole milliseconds at every open.
    pub retry: Duration,
    /// Whose pages may open a WebSocket, and get CORS headers for SSE.
    pub origins: Origins,
    /// How many connections the handler serves at once, counted after [`Subscriber::on_open`]; `None` for any number.
    pub max_connections: Option<usize>,
    /// How long a connection lasts, give or take a tenth; the client then comes back, is authorized again and resumes.
    pub max_age: Option<Duration>,
    /// The WebSocket subprotocols on offer; the client's first that is listed is taken (RFC 6455 §1.9).
    pub protocols: &'static [&'static str],
    /// How many bytes a message from the client may have; more ends the connection with 1009.
    pub max_message: usize,
}

impl Options {
    /// Both transports, no replay, [`Lag::Skip`], a keep-alive every 15 s, `retry` 3 s, pages of the same host, no limits
    /// but 64 KiB for a message from the client.
    pub const DEFAULT: Self = Self {
        transports: Transports::Both,
        replay: 0,
        lag: Lag::Skip,
        keep_alive: Some(Duration::from_secs(15)),
        retry: Duration::from_secs(3),
        origins: Origins::SameHost,
        max_connections: None,
        max_age: None,
        protocols: &[],
        max_message: 64 << 10,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a handler speaks.
///
/// ```
/// assert_eq!(tornadose::Options::DEFAULT.transports, tornadose::Transports::Both);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    /// Server-Sent Events only; a request to upgrade is answered by a stream.
    Sse,
    /// WebSocket only; any other request is answered 426.
    Ws,
    /// A WebSocket for an upgrade request, Server-Sent Events for any other.
    Both,
}

/// What happens to a reader that lagged: one for whom an unread message of its keys was trimmed.
///
/// ```
/// assert_eq!(tornadose::Options::DEFAULT.lag, tornadose::Lag::Skip);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// It is told of the gap and goes on with what a resume from its place would bring.
    Skip,
    /// Its connection ends (WebSocket 1013); it comes back and resumes.
    Close,
}

/// Whose pages may open a WebSocket, and get CORS headers for SSE.
///
/// ```
/// use tornadose::{Options, Origins};
///
/// let options = Options { origins: Origins::List(&["https://app.example"]), ..Options::DEFAULT };
/// # drop(options);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the host and port that is asked for, and clients that send no `Origin`.
    SameHost,
    /// Every page, without credentials.
    Any,
    /// Pages of these origins (`scheme://host[:port]`) too.
    List(&'static [&'static str]),
}

/// Ends a WebSocket with this code and reason (RFC 6455 §7.4). An SSE stream just ends.
///
/// A code that may not be sent (RFC 6455 §7.4.1) becomes 1011; a reason of more than 123 bytes is cut.
///
/// ```
/// use tornadose::Close;
///
/// let close = Close { code: 4003, reason: "muted".into() };
/// assert_eq!(close.code, 4003);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 to 4999; an application's own start at 4000.
    pub code: u16,
    /// At most 123 bytes reach the client.
    pub reason: Cow<'static, str>,
}

/// Why a text from the client was not taken.
///
/// ```
/// use tornadose::Refusal;
///
/// let refusal = Refusal::Say("not now".into());
/// assert!(matches!(refusal, Refusal::Say(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client gets `tornadose:error` with this reason; the connection stays.
    Say(String),
    /// The connection ends.
    Close(Close),
}
