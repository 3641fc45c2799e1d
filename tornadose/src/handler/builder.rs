//! The Salvo handler of a subscriber, and the options that can be set on it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::handler::endpoint::Endpoint;
use crate::handler::feed::format::{Sse, Ws};
use crate::handler::lifecycle::Hooks;
use crate::handler::lifecycle::presence::check_hooks;
use crate::handler::origin::OriginPolicy;
use crate::handler::served::ConnectionKind;
use crate::handler::settings::{Settings, clamp_timeout};
use crate::handler::tickets::Tickets;
use crate::store::Store;
use crate::store::entry::Encoding;
use crate::subscriber::Subscriber;
use crate::subscriber::options::{Lag, Snapshots, Transports};

/// The Salvo handler of a subscriber: Server-Sent Events, WebSocket, or both on one route.
///
/// The attribute [`#[subscriber]`](macro@crate::subscriber) gives the struct a function `handler` that creates it.
/// The methods override the attribute's options, which may so differ between staging and production:
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, ws, store = Tick)]
/// struct Ticks;
///
/// let store = Store::new();
/// let handler = Ticks::handler(&store).origins(["https://app.example"]).max_connections(10_000);
/// let router = Router::with_path("ticks").get(handler);
/// # drop(router);
/// ```
///
/// A clone serves the same store, and `max_connections` counts the connections of all clones together.
pub struct StreamHandler<S: Subscriber> {
    pub(crate) endpoint: Endpoint<S::Message>,
    _subscriber: PhantomData<fn() -> S>,
}

impl<S: Subscriber> StreamHandler<S> {
    /// Creates the handler that serves this store's messages, with the options of [`Subscriber::OPTIONS`].
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[subscriber(sse, store = Tick)]
    /// # struct Ticks;
    /// let store = Store::new();
    /// let router = Router::new().get(StreamHandler::<Ticks>::new(&store));
    /// # drop(router);
    /// ```
    pub fn new(store: &Store<S::Message>) -> Self {
        const { check_hooks::<S>() }
        let settings = Settings::new(S::OPTIONS);
        if settings.options.transports != Transports::Ws {
            store.enable_encoding(<Sse>::SLOT);
        }
        if settings.options.transports != Transports::Sse {
            store.enable_encoding(Ws::SLOT);
        }
        let endpoint = Endpoint {
            store: store.clone(),
            load_turns: load_turns(settings.options.max_loads),
            settings,
            connections: Arc::default(),
            kind: ConnectionKind::new(S::LOADS, S::WATCH.is_some()),
            hooks: Hooks { has_opened: S::HAS_OPENED, has_closed: S::HAS_CLOSED },
            tickets: None,
        };
        Self { endpoint, _subscriber: PhantomData }
    }

    /// Sets how many of the last kept queue messages a new connection gets.
    /// See [`Options::replay`](crate::subscriber::Options::replay).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).replay(20);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn replay(mut self, messages: usize) -> Self {
        self.endpoint.settings.options.replay = messages;
        self
    }

    /// Sets what happens to a reader that lagged. See [`Options::lag`](crate::subscriber::Options::lag).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).lag(tornadose::subscriber::Lag::Close);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn lag(mut self, lag: Lag) -> Self {
        self.endpoint.settings.options.lag = lag;
        self
    }

    /// Sets whether connections get the snapshots of their keys. See
    /// [`Options::snapshots`](crate::subscriber::Options::snapshots).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).snapshots(tornadose::subscriber::Snapshots::Withheld);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn snapshots(mut self, snapshots: Snapshots) -> Self {
        self.endpoint.settings.options.snapshots = snapshots;
        self
    }

    /// Sets after how much silence a comment or a ping is sent; `None` for never. Clamped to 1 ms ..= 365 days.
    /// See [`Options::keep_alive`](crate::subscriber::Options::keep_alive).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).keep_alive(Duration::from_secs(25));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.endpoint.settings.options.keep_alive = after.into().map(clamp_timeout);
        self
    }

    /// Sets the reconnection delay that is sent to `EventSource` clients (`retry:`). At most 365 days.
    /// See [`Options::retry`](crate::subscriber::Options::retry).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).retry(Duration::from_secs(1));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.endpoint.settings.options.retry = after.min(clamp_timeout(after));
        self
    }

    /// Sets the origins, `scheme://host[:port]`, whose pages may open a WebSocket and get CORS headers for SSE. An
    /// invalid origin is logged as an error and matches nothing.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).origins(["https://app.example"]);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn origins<O: AsRef<str>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.endpoint.settings.origins = OriginPolicy::list(origins);
        self
    }

    /// Lets every page open a WebSocket, with the browser's cookies, and read a stream without credentials. See
    /// [`Origins::Any`](crate::subscriber::Origins::Any).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).any_origin();
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.endpoint.settings.origins = OriginPolicy::Any;
        self
    }

    /// Sets how many connections are served at once; `None` for any number.
    /// See [`Options::max_connections`](crate::subscriber::Options::max_connections).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).max_connections(10_000);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_connections(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.endpoint.settings.options.max_connections = connections.into();
        self
    }

    /// Sets how many keys a connection with a set of keys may have.
    /// See [`Options::max_keys`](crate::subscriber::Options::max_keys).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Quote { #[key] symbol: String }
    /// # #[subscriber(sse, store = Quote, authorize = public)]
    /// # struct Quotes { #[keys(symbol)] #[query] symbols: Vec<String> }
    /// let handler = Quotes::handler(&Store::new()).max_keys(50);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.endpoint.settings.options.max_keys = keys;
        self
    }

    /// Sets how many `load` hooks run at once, for this handler and its clones together.
    /// See [`Options::max_loads`](crate::subscriber::Options::max_loads).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line, load = Self::stored)]
    /// # struct Lines;
    /// # impl Lines {
    /// #     async fn stored(&self, _: &Store<Line>) -> Result<Vec<Line>, StatusError> { Ok(Vec::new()) }
    /// # }
    /// let handler = Lines::handler(&Store::new()).max_loads(4);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.endpoint.load_turns = load_turns(loads);
        self
    }

    /// Sets the maximum age of a connection, jittered by ±10 %; `None` for no maximum. Clamped to 1 ms ..= 365 days.
    /// See [`Options::max_age`](crate::subscriber::Options::max_age).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// use std::time::Duration;
    ///
    /// let handler = Lines::handler(&Store::new()).max_age(Duration::from_secs(600));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.endpoint.settings.options.max_age = age.into().map(clamp_timeout);
        self
    }

    /// Sets the WebSocket subprotocols that the handler offers.
    /// See [`Options::protocols`](crate::subscriber::Options::protocols).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(ws, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).protocols(["v2", "v1"]);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn protocols<P: Into<Cow<'static, str>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.endpoint.settings.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how many bytes a text from the client may have.
    /// See [`Options::max_message`](crate::subscriber::Options::max_message).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(ws, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).max_message(1 << 20);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.endpoint.settings.options.max_message = bytes;
        self
    }

    /// Sets the period in which messages are written to a connection at most once; `None` to write every message at once.
    /// Clamped to 1 ms ..= 365 days. See [`Options::throttle`](crate::subscriber::Options::throttle).
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[subscriber(sse, store = Tick)]
    /// # struct Ticks;
    /// use std::time::Duration;
    ///
    /// let handler = Ticks::handler(&Store::new()).throttle(Duration::from_millis(500));
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn throttle(mut self, period: impl Into<Option<Duration>>) -> Self {
        self.endpoint.settings.options.throttle = period.into().map(clamp_timeout);
        self
    }

    /// Requires a ticket in the query of each request. A request without a valid one gets 401, before the fields of the
    /// subscriber are read and `authorize` runs. A field with `#[ticket]` has the value of the ticket. See [`Tickets`].
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line { #[key] user: u64, text: String }
    /// use tornadose::Tickets;
    ///
    /// #[subscriber(sse, store = Line)]
    /// struct Inbox {
    ///     #[key]
    ///     #[ticket]
    ///     user: u64,
    /// }
    ///
    /// let tickets = Tickets::<u64>::new(["a secret of 32 bytes, or of more"]).unwrap();
    /// let handler = Inbox::handler(&Store::new()).tickets(&tickets);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn tickets<T>(mut self, tickets: &Tickets<T>) -> Self
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    {
        self.endpoint.tickets = Some(Arc::new(tickets.clone()));
        self
    }
}

fn load_turns(loads: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(loads.clamp(1, Semaphore::MAX_PERMITS)))
}

impl<S: Subscriber> Clone for StreamHandler<S> {
    fn clone(&self) -> Self {
        Self { endpoint: self.endpoint.clone(), _subscriber: PhantomData }
    }
}

impl<S: Subscriber> fmt::Debug for StreamHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandler").field("store", &self.endpoint.store).finish_non_exhaustive()
    }
}
