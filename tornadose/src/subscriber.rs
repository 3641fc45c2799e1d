//! What an implementation of [`Subscriber`] by hand names: the trait, its options and its errors.
//!
//! A program that uses the attribute [`#[subscriber]`](macro@crate::subscriber) alone needs nothing of this module.
//! [`StreamHandler`](crate::StreamHandler) serves a subscriber.

pub(crate) mod options;
pub(crate) mod close;
pub(crate) mod reply;
pub(crate) mod hooks;
pub(crate) mod watch;
pub(crate) mod parse_key;
pub(crate) mod checks;
pub(crate) mod no_hook;
pub(crate) mod connection_id;

use std::future::{Future, ready};

use salvo::{Depot, Request, http::StatusError};

use crate::message::{Keys, Message};
use crate::store::Store;
use crate::subscriber::no_hook::{NoClosed, NoLoad, NoOpened, NoWatch};

pub use crate::subscriber::close::{Close, CloseCode, CloseCodeError, ReceiveError};
pub use crate::subscriber::connection_id::{ConnectionId, ConnectionIdError};
pub use crate::subscriber::options::{Lag, Options, Origins, Snapshots, Transports};
pub use crate::subscriber::parse_key::ParseKey;
pub use crate::subscriber::reply::Reply;

/// One connection to the messages of a store.
///
/// The attribute [`#[subscriber]`](macro@crate::subscriber) implements it. An implementation by hand may do what the
/// attribute does not offer, such as receive all keys or some of them, as the client asks:
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
/// /// `GET /quotes` for all symbols, `GET /quotes?symbols=AAPL,MSFT` for two
/// struct Quotes(Keys<QuoteKey>);
///
/// impl Subscriber for Quotes {
///     type Message = Quote;
///     const KEYS_FROM: Option<&'static str> = Some("query parameter `symbols`");
///
///     fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
///         let Some(symbols) = request.query::<String>("symbols") else { return Ok(Self(Keys::All)) };
///         let keys = symbols.split(',').map(|symbol| QuoteKey { symbol: symbol.into() });
///         Ok(Self(Keys::Set(keys.collect())))
///     }
///     fn keys(&self) -> Keys<QuoteKey> {
///         self.0.clone()
///     }
/// }
///
/// let router = Router::with_path("quotes").get(StreamHandler::<Quotes>::new(&Store::new()));
/// # drop(router);
/// ```
///
/// Each connection has one value. What is to happen when the connection opens and when it ends belongs into the hooks
/// [`opened`](Self::opened) and [`closed`](Self::closed).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a subscriber",
    label = "not a subscriber",
    note = "put `#[subscriber(sse, store = …)]` on `{Self}`"
)]
pub trait Subscriber: Sized + Send + Sync + 'static {
    /// The type of the messages that it receives.
    type Message: Message;

    /// The options that its connections are served with.
    const OPTIONS: Options = Options::new();

    /// Names what a set of keys is read from, such as "query parameter `symbols`", in the response with status 400 to a
    /// request with too many keys or none. [`#[keys]`](macro@crate::subscriber#several-keys) sets it.
    ///
    /// With a name, the keys are also counted before [`authorize`](Self::authorize), so that the hook never sees more than
    /// [`max_keys`](Options::max_keys), and a set without a key is refused.
    const KEYS_FROM: Option<&'static str> = None;

    /// Whether [`opened`](Self::opened) is implemented. A handler of an implementation without this constant does not
    /// compile:
    ///
    /// ```compile_fail,E0080
    /// # use tornadose::prelude::*;
    /// # use tornadose::subscriber::KeyOf;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # struct Lines;
    /// impl Subscriber for Lines {
    ///     # type Message = Line;
    ///     # fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> { Ok(Self) }
    ///     # fn keys(&self) -> Keys<KeyOf<Self>> { Keys::All }
    ///     async fn opened(&mut self, store: &Store<Line>) -> Result<(), Close> {
    ///         Ok(())
    ///     }
    /// }
    /// let handler = StreamHandler::<Lines>::new(&Store::new());
    /// ```
    const HAS_OPENED: bool = false;

    /// Whether [`closed`](Self::closed) is implemented. A handler of an implementation without this constant does not
    /// compile.
    const HAS_CLOSED: bool = false;

    /// Whether [`load`](Self::load) is implemented. A handler of an implementation without this constant does not
    /// compile:
    ///
    /// ```compile_fail,E0080
    /// # use tornadose::prelude::*;
    /// # use tornadose::subscriber::KeyOf;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # struct Lines;
    /// impl Subscriber for Lines {
    ///     # type Message = Line;
    ///     # fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> { Ok(Self) }
    ///     # fn keys(&self) -> Keys<KeyOf<Self>> { Keys::All }
    ///     async fn load(&self, store: &Store<Line>) -> Result<Vec<Line>, StatusError> {
    ///         Ok(Vec::new())
    ///     }
    /// }
    /// let handler = StreamHandler::<Lines>::new(&Store::new());
    /// ```
    const LOADS: bool = false;

    /// How a client of a WebSocket names the keys that it watches while it is connected, see [`watch`](Self::watch);
    /// `None` when its keys stay the same. A handler of an implementation with `watch` and without this constant does not
    /// compile.
    const WATCH: Option<ParseKey<KeyOf<Self>>> = None;

    /// Whether [`from_request`](Self::from_request) reads the store that its handler serves. The store is then in the
    /// request: `request.extensions().get::<Store<…>>()`.
    const READS_STORE: bool = false;

    /// Reads the value from its request.
    ///
    /// # Errors
    ///
    /// The error is the HTTP response; nothing was subscribed.
    fn from_request(request: &Request, depot: &Depot) -> Result<Self, StatusError>;

    /// Returns the keys of the messages that it receives. Called after [`authorize`](Self::authorize), and with
    /// [`KEYS_FROM`](Self::KEYS_FROM) also before it. A [`Keys::Set`] has at most [`max_keys`](Options::max_keys).
    fn keys(&self) -> Keys<KeyOf<Self>>;

    /// Decides whether the connection may open. It may change the value, and runs before the first byte is sent.
    ///
    /// # Errors
    ///
    /// The error is the HTTP response; nothing was subscribed.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client disconnects while it runs.
    fn authorize(&mut self) -> impl Future<Output = Result<(), StatusError>> + Send {
        ready(Ok(()))
    }

    /// Loads what the log does not have, such as the rows of a database. The client receives the event
    /// `tornadose:reset`, on which a page clears its state, then these messages without ids, and then those of the log.
    ///
    /// It runs before [`opened`](Self::opened) for a connection that does not resume after a known id, and again after
    /// each gap. Whatever is submitted from before it starts is delivered after what it returns: nothing is missed by a
    /// program that first commits and then submits. A change that is committed while it runs may be in both, so a message
    /// has the whole row, or a version by which a page ignores the older one.
    ///
    /// Nothing is delivered while it runs, and its time is no stall. If messages that the connection is owed are trimmed
    /// meanwhile, the result is dropped, the gap is reported and it runs again. At most
    /// [`max_loads`](Options::max_loads) run at once for a handler, each for 10 s at most.
    ///
    /// The messages must be of the connection's keys; one of another ends it. They pass [`filter`](Self::filter).
    ///
    /// A subscriber whose client can [watch](Self::WATCH) keys implements [`load_keys`](Self::load_keys) instead.
    ///
    /// # Errors
    ///
    /// Before the response head, a status from 400 to 499 is the HTTP response. After any other, and after the 10 s, a
    /// stream ends after its `retry:`, so that the client returns, and a WebSocket is refused with 503. Later every error
    /// ends the connection, a WebSocket with 1011, and the client that returns is loaded again.
    ///
    /// # Panics
    ///
    /// A panic is answered with 500, or ends the connection as an error does.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client disconnects while it runs, when the connection has to end, and after 10 s.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::Mutex;
    ///
    /// use tornadose::prelude::*;
    /// use tornadose::subscriber::KeyOf;
    ///
    /// #[store(queue)]
    /// #[derive(Serialize)]
    /// struct Task {
    ///     id: u64,
    ///     title: String,
    /// }
    ///
    /// /// In place of a database.
    /// static TITLES: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    ///
    /// struct Tasks;
    ///
    /// impl Subscriber for Tasks {
    ///     type Message = Task;
    ///     const LOADS: bool = true;
    ///
    ///     fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
    ///         Ok(Self)
    ///     }
    ///     fn keys(&self) -> Keys<KeyOf<Self>> {
    ///         Keys::All
    ///     }
    ///     async fn load(&self, _: &Store<Task>) -> Result<Vec<Task>, StatusError> {
    ///         let titles = TITLES.lock().map_err(|_| StatusError::internal_server_error())?;
    ///         Ok(titles.iter().map(|(&id, title)| Task { id, title: title.clone() }).collect())
    ///     }
    /// }
    /// # let _handler = StreamHandler::<Tasks>::new(&Store::new());
    /// ```
    #[expect(unused_variables, reason = "the names are documentation")]
    fn load(
        &self,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Vec<Self::Message>, StatusError>> + Send {
        NoLoad::new()
    }

    /// Loads the state of these keys as [`load`](Self::load) does, for a client that can [watch](Self::WATCH) keys.
    ///
    /// It runs with the keys of a `tornadose:watch` whose kept state is sent, without those that go on after a known
    /// `since`. Of each key the client receives `tornadose:reset` with `{"key":KEY}`, the messages, and then those of the
    /// log. It also runs where `load` does: with the keys of [`keys`](Self::keys), if there are any, when the connection
    /// opens, and with all keys of the connection after a gap of all of them.
    ///
    /// For a connection with [`Keys::All`] the list is empty: it loads the state of all keys, and the reset names no key.
    ///
    /// The messages must be of these keys; one of another ends the connection.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Panics
    ///
    /// As [`load`](Self::load).
    ///
    /// # Cancel safety
    ///
    /// As [`load`](Self::load).
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::Mutex;
    ///
    /// use tornadose::prelude::*;
    /// use tornadose::subscriber::{KeyOf, ParseKey};
    ///
    /// #[store(latest)]
    /// #[derive(Serialize)]
    /// struct Quote {
    ///     #[key]
    ///     symbol: String,
    ///     bid: f64,
    /// }
    ///
    /// /// In place of a database.
    /// static BIDS: Mutex<BTreeMap<String, f64>> = Mutex::new(BTreeMap::new());
    ///
    /// struct Quotes;
    ///
    /// impl Subscriber for Quotes {
    ///     type Message = Quote;
    ///     const LOADS: bool = true;
    ///     const WATCH: Option<ParseKey<QuoteKey>> = Some(ParseKey::fields());
    ///
    ///     fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
    ///         Ok(Self)
    ///     }
    ///     fn keys(&self) -> Keys<KeyOf<Self>> {
    ///         Keys::Set(Vec::new())
    ///     }
    ///     async fn load_keys(&self, keys: &[QuoteKey], _: &Store<Quote>) -> Result<Vec<Quote>, StatusError> {
    ///         let bids = BIDS.lock().map_err(|_| StatusError::internal_server_error())?;
    ///         let quote = |key: &QuoteKey| Some(Quote { symbol: key.symbol.clone(), bid: *bids.get(&key.symbol)? });
    ///         Ok(keys.iter().filter_map(quote).collect())
    ///     }
    /// }
    /// # let _handler = StreamHandler::<Quotes>::new(&Store::new());
    /// ```
    #[expect(unused_variables, reason = "the names are documentation")]
    fn load_keys(
        &self,
        keys: &[KeyOf<Self>],
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Vec<Self::Message>, StatusError>> + Send {
        NoLoad::new()
    }

    /// Runs once the connection is subscribed, and before anything is delivered to it. A message that it submits is
    /// delivered to its own connection too, and is a gap for it beyond what the store keeps.
    ///
    /// It runs in a task of its own, on the runtime that opened the connection, for 10 s at most. It runs to its end also
    /// when the client leaves meanwhile; [`closed`](Self::closed) then follows.
    ///
    /// Over Server-Sent Events it runs before the response head, over WebSocket after it.
    ///
    /// # Errors
    ///
    /// The connection is refused, and [`closed`](Self::closed) does not run. A WebSocket is closed with the code. A stream
    /// ends after its `retry:` for [`RESTART`](CloseCode::RESTART) and [`TRY_AGAIN_LATER`](CloseCode::TRY_AGAIN_LATER),
    /// so that the client returns; for any other code the response is 403 with the reason. An end of the 10 s is as
    /// `TRY_AGAIN_LATER`.
    ///
    /// # Panics
    ///
    /// A panic refuses the connection with 500, or with the close code 1011.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped after 10 s, and when its runtime ends.
    ///
    /// ```
    /// use tornadose::prelude::*;
    /// use tornadose::subscriber::KeyOf;
    ///
    /// #[store(queue)]
    /// #[derive(Serialize)]
    /// enum Presence {
    ///     Joined,
    ///     Left,
    /// }
    ///
    /// struct Member;
    ///
    /// impl Subscriber for Member {
    ///     type Message = Presence;
    ///     const HAS_OPENED: bool = true;
    ///     const HAS_CLOSED: bool = true;
    ///
    ///     fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
    ///         Ok(Self)
    ///     }
    ///     fn keys(&self) -> Keys<KeyOf<Self>> {
    ///         Keys::All
    ///     }
    ///     async fn opened(&mut self, store: &Store<Presence>) -> Result<(), Close> {
    ///         let error = |_| Close::new(CloseCode::TRY_AGAIN_LATER, "try again later");
    ///         store.submit(Presence::Joined).await.map(|_| ()).map_err(error)
    ///     }
    ///     async fn closed(self, store: &Store<Presence>) {
    ///         // Nobody is left who could be told of an error.
    ///         store.submit(Presence::Left).await.ok();
    ///     }
    /// }
    /// # let _handler = StreamHandler::<Member>::new(&Store::new());
    /// ```
    #[expect(unused_variables, reason = "the names are documentation")]
    fn opened(&mut self, store: &Store<Self::Message>) -> impl Future<Output = Result<(), Close>> + Send {
        NoOpened
    }

    /// Runs once after the end of a connection that was opened, whatever ended it: its client, the server, a time-out, an
    /// abort, a panic of another hook. It does not run for a connection that a hook or a limit refused.
    ///
    /// It runs in a task of its own, on the runtime that opened the connection, for 5 s at most. A store that is closed
    /// takes what this hook submits, and [`Store::closed`] and [`serve`](crate::serve) wait for it. Submits of other
    /// tasks that it spawns are refused then.
    ///
    /// The hooks of different connections have no order: of a client that vanished it may run 30 s after the `opened` of
    /// the connection with which the client returned. In a process that is killed it does not run.
    ///
    /// # Panics
    ///
    /// A panic is logged.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped after 5 s, and when its runtime ends.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn closed(self, store: &Store<Self::Message>) -> impl Future<Output = ()> + Send {
        NoClosed
    }

    /// Whether the client receives this message. Called once per message and connection.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn filter(&self, message: &Self::Message) -> bool {
        true
    }

    /// Decides whether the client may watch a key, if it can by [`WATCH`](Self::WATCH). Called for each key that the client
    /// sends `tornadose:watch` for and that the connection has not yet; nothing is delivered while it runs. The client gets
    /// the past of a key that is allowed, then the event `tornadose:watching`, and from then on the key's messages.
    ///
    /// The connection may begin without a key: [`keys`](Self::keys) returns an empty [`Keys::Set`] then. A connection with
    /// this hook does not end when its keys are finished. It has at most [`max_keys`](Options::max_keys).
    ///
    /// # Errors
    ///
    /// The reason is sent to the client with the key as `tornadose:error`, and the connection stays.
    ///
    /// # Panics
    ///
    /// A panic ends the connection with 1011.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connection ends while it runs.
    ///
    /// ```
    /// use tornadose::prelude::*;
    /// use tornadose::subscriber::{KeyOf, ParseKey};
    ///
    /// #[store(latest)]
    /// #[derive(Serialize)]
    /// struct Quote {
    ///     #[key]
    ///     symbol: String,
    ///     bid: f64,
    /// }
    ///
    /// struct Quotes;
    ///
    /// impl Subscriber for Quotes {
    ///     type Message = Quote;
    ///     const WATCH: Option<ParseKey<QuoteKey>> = Some(ParseKey::fields());
    ///
    ///     fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
    ///         Ok(Self)
    ///     }
    ///     fn keys(&self) -> Keys<KeyOf<Self>> {
    ///         Keys::Set(Vec::new())
    ///     }
    ///     async fn watch(&mut self, key: &QuoteKey, _: &Store<Quote>) -> Result<(), String> {
    ///         if key.symbol.len() <= 5 { Ok(()) } else { Err("not a symbol".into()) }
    ///     }
    /// }
    /// # let _handler = StreamHandler::<Quotes>::new(&Store::new());
    /// ```
    #[expect(unused_variables, reason = "the names are documentation")]
    fn watch(
        &mut self,
        key: &KeyOf<Self>,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<(), String>> + Send {
        NoWatch
    }

    /// Handles a text that the client sent over a WebSocket, or the JSON of its ask. Texts are handled one at a time,
    /// and nothing is delivered while this runs. A binary message ends the connection with 1003.
    ///
    /// An ask is answered by the [`Reply`], before every message that was submitted while this ran. The client that
    /// gets none receives `tornadose:error`. The reply to a text that is no ask is dropped. Control texts, objects with
    /// a member whose name begins with `tornadose:`, do not come here.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Report`] sends the reason to the client and keeps the connection. [`ReceiveError::Close`] ends
    /// it.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connection ends while it runs.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn receive(
        &mut self,
        text: &str,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        ready(Ok(None))
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
/// let _: tornadose::subscriber::KeyOf<Ticks> = tornadose::NoKey;
/// ```
pub type KeyOf<S> = <<S as Subscriber>::Message as Message>::Key;
