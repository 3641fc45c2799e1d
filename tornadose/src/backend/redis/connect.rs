//! The server that a URL names, connections to it, and what may go wrong with them. No password leaves this room.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::time::timeout;

use crate::backend::OpenError;

/// How long the server may take to let a connection in.
const CONNECTING: Duration = Duration::from_secs(3);

/// A server, and how to log in there.
pub(crate) struct Server {
    client: Client,
}

/// Why a connection is given up.
#[derive(Debug)]
pub(super) enum Fault {
    Redis(RedisError),
    /// Nothing came back in time.
    Silent,
    /// What came back is not what was asked for, or is refused.
    Wrong(String),
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
            Self::Silent => f.write_str("no answer in time"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl Server {
    #[cfg(not(feature = "redis-tls"))]
    pub(super) fn new(url: &str) -> Result<Self, OpenError> {
        Ok(Self { client: Client::open(url).map_err(|error| not_a_url(&error))? })
    }

    #[cfg(feature = "redis-tls")]
    pub(super) fn new(url: &str, roots: Option<Vec<u8>>) -> Result<Self, OpenError> {
        // Who has installed another one keeps it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = match roots {
            Some(pem) if url.starts_with("rediss:") => {
                Client::build_with_tls(url, redis::TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            _ => Client::open(url),
        };
        Ok(Self { client: client.map_err(|error| not_a_url(&error))? })
    }

    /// A connection for commands, by this name in `CLIENT LIST`. It sets no time of its own: each command has one.
    pub(super) async fn connect(&self, name: &str) -> Result<MultiplexedConnection, Fault> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut connection).await?;
            Ok(connection)
        };
        within(CONNECTING, connecting).await
    }

    /// A connection that hears what is published.
    pub(super) async fn listen(&self, channel: &str) -> Result<PubSub, Fault> {
        let connecting = async {
            let mut heard = self.client.get_async_pubsub().await?;
            heard.subscribe(channel).await?;
            Ok(heard)
        };
        within(CONNECTING, connecting).await
    }

    /// An error of this server, by its address.
    pub(super) fn unusable(&self, fault: &Fault) -> OpenError {
        let info = self.client.get_connection_info();
        OpenError::new(format!("Redis at {}, database {}: {fault}", info.addr(), info.redis_settings().db()))
    }
}

fn not_a_url(error: &RedisError) -> OpenError {
    let what = error.detail().unwrap_or(error.category());
    OpenError::new(format!("not the URL of a Redis server, as `redis://127.0.0.1:6379/0`: {what}"))
}

/// An answer, if it comes in time.
pub(super) async fn within<T>(time: Duration, asked: impl Future<Output = Result<T, RedisError>>) -> Result<T, Fault> {
    match timeout(time, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Silent),
    }
}
