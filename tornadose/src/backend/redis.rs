//! Two backends for Redis: Streams, which keep messages, and PUB/SUB, on which any program can publish.

mod activity;
mod fault;
mod replies;
#[cfg(feature = "redis-tls")]
mod tls;
mod login;
mod connect;
mod streams;
mod pubsub;

use std::fmt;
use std::time::Duration;

use crate::backend::engine::{Backend, OpenError};
use crate::backend::link::BackendLink;
use crate::backend::redis::connect::Server;

/// Redis 7.0 or newer as the backend of a store; the feature `redis`.
///
/// ```no_run
/// use tornadose::backend::Redis;
/// use tornadose::prelude::*;
///
/// #[store(queue, channel = "news")]
/// #[derive(Serialize, Deserialize)]
/// struct News {
///     author: String,
///     text: String,
/// }
///
/// # async fn open() -> Result<(), tornadose::backend::OpenError> {
/// let kept: Store<News> = Store::redis("redis://127.0.0.1/").await?;
/// let published: Store<News> = Store::open(Redis::pubsub("redis://127.0.0.1/")).await?;
/// # Ok(())
/// # }
/// ```
///
/// # URLs
///
/// `redis://user:password@host:port/database`. Everything but the host is optional. The feature `redis-tls` adds
/// `rediss://`, which trusts the system's certificates, or those of [`RedisStreams::root_certificates`].
///
/// # TLS
///
/// The feature `redis-tls` uses rustls with the crypto provider `ring`. The process-wide provider of rustls is
/// neither needed nor changed.
#[derive(Clone, Copy, Debug)]
pub struct Redis;

impl Redis {
    /// Creates a backend on one Redis Stream per store, `{tornadose:<channel>}`.
    ///
    /// Every process shows the same messages under the same ids, and an outage loses nothing. Any program can publish
    /// with `XADD {tornadose:news} * data '{"author":"me","text":"hi"}'`.
    ///
    /// ```
    /// use tornadose::backend::Redis;
    ///
    /// let backend = Redis::streams("redis://127.0.0.1/").history(10_000);
    /// # drop(backend);
    /// ```
    pub fn streams(url: impl Into<String>) -> RedisStreams {
        RedisStreams { connection: ConnectionOptions::new(url.into()), history: 100_000 }
    }

    /// Creates a backend on a channel of Redis PUB/SUB. It receives what any program publishes with
    /// `PUBLISH news '{"author":"me","text":"hi"}'`.
    ///
    /// Redis keeps nothing of it. Ids and latest values are each process's own, and messages published while this
    /// process is disconnected are a gap (`outage`). A submit is a `PUBLISH`, and resolves when the process has
    /// received the message back.
    ///
    /// Nothing is written to Redis, so it is not noticed when two types share a channel: payloads of another shape
    /// are skipped.
    ///
    /// ```
    /// use tornadose::backend::Redis;
    ///
    /// let backend = Redis::pubsub("redis://127.0.0.1/");
    /// # drop(backend);
    /// ```
    pub fn pubsub(url: impl Into<String>) -> RedisPubSub {
        RedisPubSub { connection: ConnectionOptions::new(url.into()) }
    }
}

/// The options of both backends.
#[derive(Clone)]
struct ConnectionOptions {
    url: String,
    ack_timeout: Duration,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
}

impl ConnectionOptions {
    fn new(url: String) -> Self {
        Self {
            url,
            ack_timeout: Duration::from_secs(3),
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
        }
    }

    fn server(&self) -> Result<Server, OpenError> {
        #[cfg(feature = "redis-tls")]
        return Server::new(&self.url, self.root_certificates.as_deref());
        #[cfg(not(feature = "redis-tls"))]
        return Server::new(&self.url);
    }
}

/// The builder methods of both backends; `$constructor` is the function of [`Redis`] for their examples.
macro_rules! connection_options {
    ($backend:ident, $constructor:literal) => {
        impl $backend {
            /// Sets how long a submit waits for Redis; 3 s.
            ///
            /// ```
            /// use std::time::Duration;
            /// use tornadose::backend::{Backend, Redis};
            ///
            #[doc = concat!("let backend = Redis::", $constructor, "(\"redis://127.0.0.1/\").ack_timeout(Duration::from_secs(1));")]
            /// assert_eq!(Backend::ack_timeout(&backend), Duration::from_secs(1));
            /// ```
            #[must_use]
            pub fn ack_timeout(mut self, timeout: Duration) -> Self {
                self.connection.ack_timeout = timeout;
                self
            }

            /// Sets the certificates, in PEM, that `rediss://` trusts instead of the system's.
            ///
            /// ```no_run
            /// use tornadose::backend::Redis;
            ///
            /// # fn main() -> std::io::Result<()> {
            /// let authority = std::fs::read("authority.pem")?;
            #[doc = concat!("let backend = Redis::", $constructor, "(\"rediss://redis.example/\").root_certificates(authority);")]
            /// # drop(backend);
            /// # Ok(())
            /// # }
            /// ```
            #[cfg(feature = "redis-tls")]
            #[must_use]
            pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
                self.connection.root_certificates = Some(pem.into());
                self
            }
        }
    };
}

/// The backend that [`Redis::streams`] creates.
///
/// ```
/// use std::time::Duration;
/// use tornadose::backend::Redis;
///
/// let backend = Redis::streams("redis://:secret@127.0.0.1/3").history(1_000_000).ack_timeout(Duration::from_secs(1));
/// assert!(!format!("{backend:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisStreams {
    connection: ConnectionOptions,
    history: usize,
}

connection_options!(RedisStreams, "streams");

impl RedisStreams {
    /// Sets approximately how many entries the stream keeps, for processes that start and clients that resume;
    /// 100,000. Zero counts as 1.
    ///
    /// All processes on a channel should set the same number.
    ///
    /// ```
    /// use tornadose::backend::Redis;
    ///
    /// let backend = Redis::streams("redis://127.0.0.1/").history(1_000_000);
    /// assert!(format!("{backend:?}").contains("1000000"));
    /// ```
    #[must_use]
    pub fn history(mut self, entries: usize) -> Self {
        self.history = entries.max(1);
        self
    }
}

/// The backend that [`Redis::pubsub`] creates.
///
/// ```
/// use tornadose::backend::Redis;
///
/// let backend = Redis::pubsub("redis://:secret@127.0.0.1/");
/// assert!(!format!("{backend:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisPubSub {
    connection: ConnectionOptions,
}

connection_options!(RedisPubSub, "pubsub");

impl Backend for RedisStreams {
    fn ack_timeout(&self) -> Duration {
        self.connection.ack_timeout
    }

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        streams::run(&self.connection.server()?, self.history, &link).await
    }
}

impl Backend for RedisPubSub {
    fn ack_timeout(&self) -> Duration {
        self.connection.ack_timeout
    }

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        pubsub::run(&self.connection.server()?, &link).await
    }
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams").field("history", &self.history).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPubSub").finish_non_exhaustive()
    }
}
