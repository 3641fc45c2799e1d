//! The first commands on a connection: the password, the database and the connection's name.

use redis::{Cmd, RedisConnectionInfo, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::redis::fault::Fault;
use crate::backend::redis::transport::Transport;

/// The longest status line of a server. Redis itself writes shorter ones.
const LINE_BYTES_MAX: usize = 8 << 10;

/// The commands that are sent first on a connection.
///
/// This is not left to the `redis` crate because that replaces some of the server's words with its own.
#[derive(Clone, Copy, Default)]
pub(super) struct Login<'a> {
    /// The connection's name in `CLIENT LIST`, if the user may set it.
    pub(super) name: Option<&'a str>,
    pub(super) selects_database: bool,
}

impl Login<'_> {
    /// Logs in with the credentials of a URL.
    pub(super) async fn run(&self, stream: &mut dyn Transport, settings: &RedisConnectionInfo) -> Result<(), Fault> {
        let mut required = Vec::new();
        if let Some(password) = settings.password() {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = settings.username() {
                auth.arg(username);
            }
            auth.arg(password);
            required.push(auth);
        }
        if self.selects_database && settings.db() != 0 {
            required.push(redis::cmd("SELECT").arg(settings.db()).take());
        }
        // A user may lack the permission to name the connection, and needs none.
        let optional = self.name.map(|name| redis::cmd("CLIENT").arg("SETNAME").arg(name).take());
        let commands = || required.iter().chain(&optional);
        if commands().next().is_none() {
            return Ok(());
        }
        let packed: Vec<u8> = commands().flat_map(Cmd::get_packed_command).collect();
        stream.write_all(&packed).await?;
        stream.flush().await?;
        for _ in &required {
            if let Value::ServerError(error) = read_status(stream).await? {
                return Err(Fault::Redis(error.into()));
            }
        }
        if optional.is_some() {
            read_status(stream).await?;
        }
        Ok(())
    }
}

/// Reads a status line. Not a byte more is read, because what follows belongs to the `redis` crate.
async fn read_status(stream: &mut dyn Transport) -> Result<Value, Fault> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_BYTES_MAX {
            return Err(not_redis());
        }
        line.push(stream.read_u8().await?);
        if !matches!(line[0], b'+' | b'-') {
            return Err(not_redis());
        }
    }
    redis::parse_redis_value(&line).map_err(|_| not_redis())
}

fn not_redis() -> Fault {
    Fault::Protocol("the server does not speak Redis's protocol".into())
}
