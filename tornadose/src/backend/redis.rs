//! Redis as a backend: Streams, which lose nothing, and PUB/SUB, which anything can publish to. How they talk is in their own rooms.

mod connect;
mod streams;
mod pubsub;

use std::fmt;
use std::time::Duration;

use crate::backend::{Backend, Link, OpenError};

pub(crate) use connect::Server;

/// Redis 7.0 or newer as the backend of a store; the feature `redis`.
///
/// ```no_run
/// use tornadose::prelude::*;
/// use tornadose::Redis;
///
/// #[store(queue, channel = "news")]
/// #[derive(Serialize, Deserialize)]
/// struct News {
///     author: String,
///     text: String,
/// }
///
/// # async fn open() -> Result<(), tornadose::OpenError> {
/// let news: Store<News> = Store::redis("redis://127.0.0.1/").await?;
/// let heard: Store<News> = Store::open(Redis::pubsub("redis://127.0.0.1/")).await?;
/// # Ok(())
/// # }
/// ```
///
/// # URLs
///
/// `redis://user:password@host:port/database`, all but the host optional; with the feature `redis-tls` also `rediss://`, which
/// trusts the certificates of the system, or those of [`RedisStreams::root_certificates`].
#[derive(Clone, Copy, Debug)]
pub struct Redis;

impl Redis {
    /// One Redis Stream per store, `{tornadose:<channel>}`: every process shows the same messages under the same ids, and nothing is
    /// missed in an outage. Any program publishes with `XADD {tornadose:news} * data '{"author":"me","text":"hi"}'`.
    ///
    /// ```
    /// use tornadose::Redis;
    ///
    /// let backend = Redis::streams("redis://127.0.0.1/").history(10_000);
    /// # drop(backend);
    /// ```
    pub fn streams(url: impl Into<String>) -> RedisStreams {
        RedisStreams { options: Options::new(url.into()), history: 100_000 }
    }

    /// A channel of Redis PUB/SUB: hears `PUBLISH news '{"author":"me","text":"hi"}'` of any program. Redis keeps nothing of it, so
    /// ids and latest values are each process's own, and what is published while this process cannot hear is a gap (`outage`).
    ///
    /// A submit is a PUBLISH, and resolves when the process has heard it back. Nothing is written to Redis, so that two types on one
    /// channel are not noticed at the start: what does not fit is skipped.
    ///
    /// ```
    /// use tornadose::Redis;
    ///
    /// let backend = Redis::pubsub("redis://127.0.0.1/");
    /// # drop(backend);
    /// ```
    pub fn pubsub(url: impl Into<String>) -> RedisPubSub {
        RedisPubSub { options: Options::new(url.into()) }
    }
}

/// What both ways have in common.
#[derive(Clone)]
struct Options {
    url: String,
    deadline: Duration,
    #[cfg(feature = "redis-tls")]
    roots: Option<Vec<u8>>,
}

impl Options {
    fn new(url: String) -> Self {
        Self {
            url,
            deadline: Duration::from_secs(3),
            #[cfg(feature = "redis-tls")]
            roots: None,
        }
    }

    fn server(&self) -> Result<Server, OpenError> {
        #[cfg(feature = "redis-tls")]
        return Server::new(&self.url, self.roots.clone());
        #[cfg(not(feature = "redis-tls"))]
        return Server::new(&self.url);
    }
}

/// The backend that [`Redis::streams`] makes.
///
/// ```
/// use std::time::Duration;
/// use tornadose::Redis;
///
/// let backend = Redis::streams("redis://:secret@127.0.0.1/3").history(1_000_000).deadline(Duration::from_secs(1));
/// assert!(!format!("{backend:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisStreams {
    options: Options,
    history: usize,
}

impl RedisStreams {
    /// How many entries the stream keeps, roughly, for processes that start and clients that return; 100,000. All processes should
    /// say the same.
    #[must_use]
    pub fn history(mut self, entries: usize) -> Self {
        self.history = entries.max(1);
        self
    }

    /// How long a submit waits for Redis; 3 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::{Backend, Redis};
    ///
    /// let backend = Redis::streams("redis://127.0.0.1/").deadline(Duration::from_secs(1));
    /// assert_eq!(Backend::deadline(&backend), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline;
        self
    }

    /// The certificates, in PEM, that `rediss://` trusts instead of the system's.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// let authority = std::fs::read("authority.pem")?;
    /// let backend = tornadose::Redis::streams("rediss://redis.example/").root_certificates(authority);
    /// # drop(backend);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.options.roots = Some(pem.into());
        self
    }
}

/// The backend that [`Redis::pubsub`] makes.
///
/// ```
/// use tornadose::Redis;
///
/// let backend = Redis::pubsub("redis://:secret@127.0.0.1/");
/// assert!(!format!("{backend:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisPubSub {
    options: Options,
}

impl RedisPubSub {
    /// How long a submit waits to be heard back; 3 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tornadose::{Backend, Redis};
    ///
    /// let backend = Redis::pubsub("redis://127.0.0.1/").deadline(Duration::from_secs(1));
    /// assert_eq!(Backend::deadline(&backend), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline;
        self
    }

    /// The certificates, in PEM, that `rediss://` trusts instead of the system's.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// let authority = std::fs::read("authority.pem")?;
    /// let backend = tornadose::Redis::pubsub("rediss://redis.example/").root_certificates(authority);
    /// # drop(backend);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.options.roots = Some(pem.into());
        self
    }
}

impl Backend for RedisStreams {
    fn deadline(&self) -> Duration {
        self.options.deadline
    }

    async fn run(self, link: Link) -> Result<(), OpenError> {
        streams::run(&self.options.server()?, self.history, &link).await
    }
}

impl Backend for RedisPubSub {
    fn deadline(&self) -> Duration {
        self.options.deadline
    }

    async fn run(self, link: Link) -> Result<(), OpenError> {
        pubsub::run(&self.options.server()?, &link).await
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
