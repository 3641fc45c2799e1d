//! Connections to Redis servers. Neither an error nor a log message contains the password.
//!
//! The sockets are opened here rather than by the `redis` crate, so that a reply is given up after a silence of the
//! connection, however long the whole reply takes.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, ConnectionAddr, Pipeline, RedisConnectionInfo};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backend::redis::activity::{Activity, RecordedStream};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::login::Login;
use crate::backend::redis::replies::Replies;
#[cfg(feature = "redis-tls")]
use crate::backend::redis::tls::Tls;
use crate::backend::redis::transport::Transport;

/// How long connecting and logging in may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may be silent while a reply is awaited.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes the kernel takes that it has not sent yet. What it has taken looks as if it had moved.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 << 10;

/// Opens connections to servers that share credentials.
#[derive(Clone)]
pub(super) struct Connector {
    settings: RedisConnectionInfo,
    #[cfg(feature = "redis-tls")]
    tls: Option<Tls>,
}

/// A connection for commands. It is closed when its last clone is dropped, whatever is still in flight.
#[derive(Clone)]
pub(super) struct Connection {
    commands: MultiplexedConnection,
    activity: Activity,
    address: Arc<ConnectionAddr>,
    _driver: Arc<AbortOnDrop>,
}

/// A connection that is subscribed to a channel.
pub(super) struct Subscription {
    pub(super) messages: PubSub,
    pub(super) activity: Activity,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connector {
    #[cfg(not(feature = "redis-tls"))]
    pub(super) fn new(settings: RedisConnectionInfo) -> Self {
        Self { settings }
    }

    #[cfg(feature = "redis-tls")]
    pub(super) fn new(settings: RedisConnectionInfo, tls: Option<Tls>) -> Self {
        Self { settings, tls }
    }

    /// Opens a connection for commands.
    pub(super) async fn connect(&self, address: &ConnectionAddr, login: Login<'_>) -> Result<Connection, Fault> {
        within(CONNECT_TIMEOUT, async {
            let (stream, activity) = self.open(address, login).await?;
            Connection::new(stream, activity, address).await
        })
        .await
    }

    /// Opens a connection that is subscribed to a channel.
    pub(super) async fn subscribe(&self, address: &ConnectionAddr, channel: &str) -> Result<Subscription, Fault> {
        within(CONNECT_TIMEOUT, async {
            let (stream, activity) = self.open(address, Login { name: None, selects_database: true }).await?;
            let mut messages = PubSub::new(&logged_in(), stream).await?;
            messages.subscribe(channel).await?;
            Ok(Subscription { messages, activity })
        })
        .await
    }

    /// Opens a stream, and logs in on it.
    async fn open(&self, address: &ConnectionAddr, login: Login<'_>) -> Result<(Box<dyn Transport>, Activity), Fault> {
        let (socket, host): (Box<dyn Transport>, _) = match address {
            ConnectionAddr::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                #[cfg(target_os = "linux")]
                socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
                (Box::new(socket), host.as_str())
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => (Box::new(tokio::net::UnixStream::connect(path).await?), ""),
            other => return Err(Fault::Protocol(format!("an address of this kind is not supported: {other}"))),
        };
        let recorded = RecordedStream::new(socket);
        let activity = recorded.activity();
        let mut stream = self.secure(host, recorded).await?;
        login.run(&mut *stream, &self.settings).await?;
        Ok((stream, activity))
    }

    #[cfg(feature = "redis-tls")]
    async fn secure(&self, host: &str, stream: impl Transport + 'static) -> Result<Box<dyn Transport>, Fault> {
        match &self.tls {
            Some(tls) => Ok(tls.connect(host, stream).await?),
            None => Ok(Box::new(stream)),
        }
    }

    #[cfg(not(feature = "redis-tls"))]
    #[allow(clippy::unused_self, reason = "TLS needs it")]
    async fn secure(&self, _host: &str, stream: impl Transport + 'static) -> Result<Box<dyn Transport>, Fault> {
        Ok(Box::new(stream))
    }
}

impl Connection {
    async fn new(stream: Box<dyn Transport>, activity: Activity, address: &ConnectionAddr) -> Result<Self, Fault> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let (commands, driver) = MultiplexedConnection::new_with_config(&logged_in(), stream, config).await?;
        let driver = tokio::spawn(driver).abort_handle();
        let address = Arc::new(address.clone());
        Ok(Self { commands, activity, address, _driver: Arc::new(AbortOnDrop(driver)) })
    }

    /// Returns the address of the server.
    pub(super) fn address(&self) -> &ConnectionAddr {
        &self.address
    }

    /// Sends the commands, in a transaction if the pipeline is atomic, and returns the reply to each.
    ///
    /// Commands are sent in the order in which these futures are first polled, and one that is dropped is executed
    /// nevertheless if it was polled.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if no byte has moved in either direction for as long as `silence`. Any error means that it
    /// is not known what was executed, and that the connection is of no further use.
    pub(super) async fn query(&self, pipeline: &Pipeline, silence: Duration) -> Result<Replies, Fault> {
        self.query_limited(pipeline, silence, usize::MAX).await
    }

    /// As [`query`](Self::query), for replies of at most so many bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::TooLong`] if the replies have more.
    pub(super) async fn query_limited(
        &self,
        pipeline: &Pipeline,
        silence: Duration,
        bytes_max: usize,
    ) -> Result<Replies, Fault> {
        if pipeline.is_empty() {
            return Replies::new(&redis::pipe(), Vec::new());
        }
        let mut commands = self.commands.clone();
        // `MULTI` and `EXEC` have replies too.
        let count = pipeline.len() + if pipeline.is_transaction() { 2 } else { 0 };
        self.activity.limit_receiving(bytes_max);
        let replied = until_silent(&self.activity, silence, commands.send_packed_commands(pipeline, 0, count)).await?;
        match replied {
            Ok(values) => Replies::new(pipeline, values),
            Err(_) if self.activity.is_exceeded() => Err(Fault::TooLong),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits for a future as long as the connection is not silent.
pub(super) async fn until_silent<T>(
    activity: &Activity,
    silence: Duration,
    reply: impl Future<Output = T>,
) -> Result<T, Fault> {
    let mut reply = std::pin::pin!(reply);
    let mut deadline = Instant::now() + silence;
    loop {
        tokio::select! {
            biased;
            reply = &mut reply => return Ok(reply),
            () = sleep_until(deadline) => {
                let moved = activity.last() + silence;
                if moved <= deadline {
                    return Err(Fault::Timeout);
                }
                deadline = moved;
            }
        }
    }
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(limit, connecting).await.unwrap_or(Err(Fault::Timeout))
}

/// Returns settings for streams on which nothing is left to set up.
fn logged_in() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reply_is_given_up_after_a_silence_and_not_after_its_whole_duration() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

        let (stream, mut peer) = duplex(8);
        let mut stream = RecordedStream::new(stream);
        let (activity, silence) = (stream.activity(), Duration::from_secs(5));
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_secs(4)).await;
                peer.write_all(b"x").await.unwrap();
            }
            sleep(Duration::from_secs(600)).await;
        });
        let started = Instant::now();
        let ten = until_silent(&activity, silence, stream.read_exact(&mut [0; 10])).await;
        assert!(ten.is_ok_and(|read| read.is_ok()));
        assert_eq!(started.elapsed(), Duration::from_secs(40));
        // A reply that is awaited after an idle time has all of the silence.
        sleep(Duration::from_secs(100)).await;
        let started = Instant::now();
        let more = until_silent(&activity, silence, stream.read_exact(&mut [0; 1])).await;
        assert!(matches!(more, Err(Fault::Timeout)));
        assert_eq!(started.elapsed(), silence);
    }
}
