//! Connections to a Redis server, and their errors. Neither an error nor a log message contains the password.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::time::timeout;

use crate::backend::engine::OpenError;

/// How long connecting and logging in may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a reply may take.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, with the credentials of its URL.
pub(super) struct Server {
    client: Client,
}

/// The reason why a connection is dropped.
#[derive(Debug)]
pub(super) enum Fault {
    Redis(RedisError),
    /// No reply arrived in time.
    Timeout,
    /// The server replied with something unexpected.
    Protocol(String),
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => error.fmt(f),
            Self::Timeout => f.write_str("no reply in time"),
            Self::Protocol(reason) => f.write_str(reason),
        }
    }
}

impl Server {
    #[cfg(not(feature = "redis-tls"))]
    pub(super) fn new(url: &str) -> Result<Self, OpenError> {
        Ok(Self { client: Client::open(url).map_err(|error| invalid_url(&error))? })
    }

    #[cfg(feature = "redis-tls")]
    pub(super) fn new(url: &str, root_certificates: Option<Vec<u8>>) -> Result<Self, OpenError> {
        // The `redis` crate takes no provider per client, so it needs a process-wide one. This fails, and changes
        // nothing, when the program has installed its own.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = match root_certificates {
            Some(pem) if url.starts_with("rediss:") => {
                Client::build_with_tls(url, redis::TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            _ => Client::open(url),
        };
        Ok(Self { client: client.map_err(|error| invalid_url(&error))? })
    }

    /// Opens a connection for commands, with this name in `CLIENT LIST`. It has no timeout of its own: each command
    /// has one.
    pub(super) async fn connect(&self, name: &str) -> Result<MultiplexedConnection, Fault> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut connection).await?;
            Ok(connection)
        };
        with_timeout(CONNECT_TIMEOUT, connecting).await
    }

    /// Opens a connection that is subscribed to a channel.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<PubSub, Fault> {
        let connecting = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription)
        };
        with_timeout(CONNECT_TIMEOUT, connecting).await
    }

    /// Converts a fault into an error that names the server's address.
    pub(super) fn open_error(&self, fault: &Fault) -> OpenError {
        let info = self.client.get_connection_info();
        OpenError::new(format!("Redis at {}, database {}: {fault}", info.addr(), info.redis_settings().db()))
    }
}

fn invalid_url(error: &RedisError) -> OpenError {
    let detail = error.detail().unwrap_or(error.category());
    OpenError::new(format!("not a Redis URL, such as `redis://127.0.0.1:6379/0`: {detail}"))
}

/// Waits for a reply, at most this long.
pub(super) async fn with_timeout<T>(
    limit: Duration,
    reply: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Fault> {
    match timeout(limit, reply).await {
        Ok(reply) => Ok(reply?),
        Err(_) => Err(Fault::Timeout),
    }
}
