//! Two backends for Redis: Streams, which keep messages, and PUB/SUB, on which any program can publish.

mod transport;
mod activity;
mod fault;
mod replies;
#[cfg(feature = "redis-tls")]
mod tls;
mod login;
mod connect;
mod url;
mod redirection;
mod sentinels;
mod nodes;
mod server;
mod master;
mod advice;
mod transfer_size;
mod streams;
mod pubsub;

use std::fmt;
use std::time::Duration;

use crate::backend::engine::{Backend, Features, OpenError};
use crate::backend::link::BackendLink;
use crate::backend::redis::server::Server;

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
/// - `redis://user:password@host:port/database`: one server, or any node of a cluster. Everything but the host is
///   optional.
/// - `redis+sentinel://user:password@host:port,host:port/service/database`: the master that these Sentinels watch
///   under the name `service`. The credentials are the servers'. Those of the Sentinels are the parameters
///   `?sentinel_user=…&sentinel_password=…`. The port of a Sentinel is 26379 unless it is given.
/// - `redis+cluster://user:password@host:port,host:port`: nodes of a cluster, of which one must be reachable.
///
/// A store finds the new master after a failover, and follows its keys to another node of a cluster. What a failover
/// has lost is a gap (`restarted`).
///
/// The feature `redis-tls` adds `rediss://`, `rediss+sentinel://` and `rediss+cluster://`, which trust the system's
/// certificates, or those of [`RedisStreams::root_certificates`].
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
    prefix: Option<String>,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
}

impl ConnectionOptions {
    fn new(url: String) -> Self {
        Self {
            url,
            ack_timeout: Duration::from_secs(3),
            prefix: None,
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
        }
    }

    /// Returns the name under which a channel is known in Redis.
    fn prefixed(&self, name: &str) -> Result<String, OpenError> {
        let Some(prefix) = &self.prefix else { return Ok(name.to_owned()) };
        // Braces would move keys to different slots of a cluster.
        let is_invalid = |character: char| "{}".contains(character) || character.is_whitespace();
        if prefix.is_empty() || prefix.contains(is_invalid) {
            let reason = "it must not be empty, and have neither braces nor white space";
            return Err(OpenError::new(format!("invalid prefix `{prefix}`: {reason}")));
        }
        Ok(format!("{prefix}:{name}"))
    }

    /// Returns the server that holds a key.
    fn server(&self, key: &str, channel: &'static str) -> Result<Server, OpenError> {
        #[cfg(feature = "redis-tls")]
        let root_certificates = self.root_certificates.as_deref();
        #[cfg(not(feature = "redis-tls"))]
        let root_certificates = None;
        Server::new(&self.url, root_certificates, key, channel)
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

            /// Sets a prefix of the names in Redis, which keeps several installations of a program apart. All processes
            /// of one must set the same. With `staging` the keys are `{staging:tornadose:<channel>}…`, and the channel
            /// of PUB/SUB is `staging:<channel>`.
            ///
            /// A prefix must not be empty, and have neither braces nor white space: opening a store is an error
            /// otherwise.
            ///
            /// ```
            /// use tornadose::backend::Redis;
            ///
            #[doc = concat!("let backend = Redis::", $constructor, "(\"redis://127.0.0.1/\").prefix(\"staging\");")]
            /// # drop(backend);
            /// ```
            #[must_use]
            pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
                self.connection.prefix = Some(prefix.into());
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
    /// All processes on a channel should set the same number. Of a type with snapshots up to twice as many stay,
    /// while snapshots are not written.
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
    const SUPPORTS: Features = Features::FINISH
        .with(Features::REMOVE)
        .with(Features::EXPIRE)
        .with(Features::EPHEMERAL)
        .with(Features::SNAPSHOTS);

    fn ack_timeout(&self) -> Duration {
        self.connection.ack_timeout
    }

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        let name = self.connection.prefixed(&format!("tornadose:{}", link.channel()))?;
        let server = self.connection.server(&format!("{{{name}}}"), link.channel())?;
        streams::run(&server, &name, self.history, &link).await
    }
}

impl Backend for RedisPubSub {
    fn ack_timeout(&self) -> Duration {
        self.connection.ack_timeout
    }

    async fn run(self, link: BackendLink) -> Result<(), OpenError> {
        let channel = self.connection.prefixed(link.channel())?;
        pubsub::run(&self.connection.server(&channel, link.channel())?, &channel, &link).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_part_of_the_names_and_neither_empty_nor_with_braces_or_spaces() {
        let options = ConnectionOptions::new("redis://127.0.0.1/".into());
        assert_eq!(options.prefixed("lines").unwrap(), "lines");
        let prefixed = |prefix: &str| {
            let options = Redis::pubsub("redis://127.0.0.1/").prefix(prefix).connection;
            options.prefixed("lines").map_err(|error| error.to_string())
        };
        assert_eq!(prefixed("staging:2"), Ok("staging:2:lines".into()));
        for invalid in ["", "a b", "a\n", "{a", "a}"] {
            let error = prefixed(invalid).unwrap_err();
            assert!(error.starts_with(&format!("invalid prefix `{invalid}`: ")), "{error}");
        }
    }
}
