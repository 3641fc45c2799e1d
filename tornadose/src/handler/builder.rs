//! The Salvo handler of a subscriber, and the options that can be set on it.

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
/// The attribute [`#[subscriber]`](macro@crate::subscriber) gives the struct a function `handler` that creates it. The methods
/// override the attribute's options, which may so differ between staging and production:
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
        let settings = Settings::new(S::OPTIONS);
        if settings.options.transports != Transports::Ws {
            store.enable_encoding(<Sse>::SLOT);
        }
        if settings.options.transports != Transports::Sse {
            store.enable_encoding(Ws::SLOT);
        }
        Self { store: store.clone(), settings, connections: Arc::default(), _subscriber: PhantomData }
    }

    /// Sets how many of the last kept queue messages a new connection gets.
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

    /// Sets what happens to a reader that lagged.
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
        self.settings.options.lag = lag;
        self
    }

    /// Sets after how much silence a comment or a ping is sent; `None` for never. Clamped to 1 ms ..= 365 days.
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

    /// Sets the reconnection delay that is sent to `EventSource` clients (`retry:`). At most 365 days.
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

    /// Sets the origins, `scheme://host[:port]`, whose pages may open a WebSocket and get CORS headers for SSE. An invalid origin is logged
    /// as an error and matches nothing.
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

    /// Lets every page open a WebSocket, and read a stream without credentials.
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

    /// Sets how many connections are served at once; `None` for any number.
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

    /// Sets the maximum age of a connection, jittered by ±10 %; `None` for no maximum. Clamped to 1 ms ..= 365 days.
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

    /// Sets the WebSocket subprotocols that the handler offers.
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

    /// Sets how many bytes a message from the client may have.
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
    /// Of these, `origins` and `protocols` are only read once, into the fields below.
    pub(crate) options: Options,
    pub(crate) origins: OriginPolicy,
    pub(crate) protocols: Vec<Cow<'static, str>>,
}

impl Settings {
    /// Clamps the options' times to between a millisecond and a year: a time of zero would spin, and the longest would overflow.
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

    /// Returns after how long a client that takes no bytes is aborted.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.options.keep_alive.map_or(Duration::from_secs(30), |keep_alive| keep_alive * 2)
    }

    /// Returns the reconnection delay of the `number`th connection. The delays are spread over one to three times `retry`, and are not
    /// random.
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

    /// Returns the maximum age of the `number`th connection.
    fn max_age(&self, number: u64) -> Option<Duration> {
        self.options.max_age.map(|age| spread(age, number, 900_000, 200_000))
    }
}

const MILLION: u128 = 1_000_000;

fn clamp_timeout(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), A_YEAR)
}

/// `duration × (from + width · frac(number · 0.618034))` in whole milliseconds, `from` and `width` in millionths. The
/// golden ratio puts consecutive numbers far apart.
fn spread(duration: Duration, number: u64, from: u128, width: u128) -> Duration {
    let fraction = u128::from(number) * 618_034 % MILLION;
    let millis = duration.as_millis() * (from * MILLION + width * fraction) / (MILLION * MILLION);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnections_are_spread_and_not_random() {
        let settings = Settings::new(Options::new().max_age(Duration::from_secs(600)));
        let delays = [1, 2, 3].map(|number| settings.retry_after(number).as_millis());
        assert_eq!(delays, [6708, 4416, 8124]);
        assert_eq!(settings.max_age(1), Some(Duration::from_millis(614_164)));
    }
}
