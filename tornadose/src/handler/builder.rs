//! The handler of a subscriber, and what can be set on it. How it answers a request is `handler`'s affair.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::handler::connection::registry::Connections;
use crate::handler::connection::timers::Timeouts;
use crate::handler::feed::format::{Sse, Ws};
use crate::handler::origin::OriginPolicy;
use crate::store::Store;
use crate::store::entry::Encoding;
use crate::subscriber::Subscriber;
use crate::subscriber::options::{Lag, Options, Transports};

/// The Salvo handler of a subscriber: Server-Sent Events, WebSocket, or both on one route.
///
/// The attribute [`#[subscriber]`](macro@crate::subscriber) gives the struct a function `handler` that makes it. What the
/// attribute says can be said here again, so that it may differ between staging and production:
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
pub struct StreamHandler<S: Subscriber> {
    pub(crate) store: Store<S::Message>,
    pub(crate) settings: Settings,
    pub(crate) connections: Arc<Connections>,
    _subscriber: PhantomData<fn() -> S>,
}

impl<S: Subscriber> StreamHandler<S> {
    /// The handler that serves this store's messages, as [`Subscriber::OPTIONS`] says.
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
        let settings = Settings::new(S::OPTIONS);
        if settings.options.transports != Transports::Ws {
            store.enable_encoding(<Sse>::SLOT);
        }
        if settings.options.transports != Transports::Sse {
            store.enable_encoding(Ws::SLOT);
        }
        Self { store: store.clone(), settings, connections: Arc::default(), _subscriber: PhantomData }
    }

    /// How many of the last kept queue messages a new connection gets.
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
        self.settings.options.replay = messages;
        self
    }

    /// What happens to a reader that lagged.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// # #[subscriber(sse, store = Line)]
    /// # struct Lines;
    /// let handler = Lines::handler(&Store::new()).lag(tornadose::Lag::Close);
    /// # drop(handler);
    /// ```
    #[must_use]
    pub fn lag(mut self, lag: Lag) -> Self {
        self.settings.options.lag = lag;
        self
    }

    /// After how much silence a comment or a ping is sent; `None` for never. Taken between a
    /// millisecond and a year, as all times are.
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
        self.settings.options.keep_alive = after.into().map(clamp_timeout);
        self
    }

    /// When an `EventSource` is to come back.
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
        self.settings.options.retry = after.min(clamp_timeout(after));
        self
    }

    /// Whose pages may open a WebSocket, and get CORS headers for SSE: `scheme://host[:port]`. One that is no origin
    /// admits nobody, and is logged as an error.
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
        self.settings.origins = OriginPolicy::list(origins);
        self
    }

    /// Every page may open a WebSocket, and read a stream without credentials.
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
        self.settings.origins = OriginPolicy::Any;
        self
    }

    /// How many connections are served at once; `None` for any number.
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
        self.settings.options.max_connections = connections.into();
        self
    }

    /// How long a connection lasts, give or take a tenth; `None` for as long as it likes.
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
        self.settings.options.max_age = age.into().map(clamp_timeout);
        self
    }

    /// The WebSocket subprotocols on offer.
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
        self.settings.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// How many bytes a message from the client may have.
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
        self.settings.options.max_message = bytes;
        self
    }
}

impl<S: Subscriber> fmt::Debug for StreamHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandler").field("store", &self.store).finish_non_exhaustive()
    }
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Clone)]
pub(crate) struct Settings {
    /// `origins` and `protocols` of these are read once, into the fields below.
    pub(crate) options: Options,
    pub(crate) origins: OriginPolicy,
    pub(crate) protocols: Vec<Cow<'static, str>>,
}

impl Settings {
    /// WriteObserver are taken between a millisecond and a year: no time at all would spin, and the end of time overflows.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options: Options {
                keep_alive: options.keep_alive.map(clamp_timeout),
                retry: options.retry.min(A_YEAR),
                max_age: options.max_age.map(clamp_timeout),
                ..options
            },
            origins: OriginPolicy::from(options.origins),
            protocols: options.protocols.iter().copied().map(Cow::Borrowed).collect(),
        }
    }

    /// When a reader that is owed something and takes no byte is aborted.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.options.keep_alive.map_or(Duration::from_secs(30), |keep_alive| keep_alive * 2)
    }

    /// When the `number`th connection is to come back after an end: spread over three times `retry`, without chance.
    pub(crate) fn retry_after(&self, number: u64) -> Duration {
        spread(self.options.retry, number, 1_000_000, 2_000_000)
    }

    /// Returns the timeouts of the `number`th connection, which opens now.
    pub(crate) fn timeouts(&self, number: u64) -> Timeouts {
        Timeouts {
            keep_alive: self.options.keep_alive,
            stall: self.stall_timeout(),
            expires_at: self.max_age(number).map(|age| Instant::now() + age),
        }
    }

    /// How long the `number`th connection lasts.
    fn max_age(&self, number: u64) -> Option<Duration> {
        self.options.max_age.map(|age| spread(age, number, 900_000, 200_000))
    }
}

const MILLION: u128 = 1_000_000;

fn clamp_timeout(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), A_YEAR)
}

/// `duration × (from + width · frac(number · 0.618034))` in whole milliseconds, `from` and `width` in millionths: the golden
/// ratio puts neighbours far apart.
fn spread(duration: Duration, number: u64, from: u128, width: u128) -> Duration {
    let place = u128::from(number) * 618_034 % MILLION;
    let millis = duration.as_millis() * (from * MILLION + width * place) / (MILLION * MILLION);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_spread_without_chance() {
        let settings = Settings::new(Options::new().max_age(Duration::from_secs(600)));
        let returns = [1, 2, 3].map(|number| settings.retry_after(number).as_millis());
        assert_eq!(returns, [6708, 4416, 8124]);
        assert_eq!(settings.max_age(1), Some(Duration::from_millis(614_164)));
    }
}
