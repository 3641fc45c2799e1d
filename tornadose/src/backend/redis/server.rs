//! The server that holds the keys of a store: the one of the URL, the master that Sentinels name, or the master of a
//! slot in a cluster.

use std::sync::{Mutex, PoisonError};

use redis::{ConnectionAddr, Value};

use crate::backend::engine::OpenError;
use crate::backend::redis::connect::{Connection, Connector, REPLY_TIMEOUT, Subscription};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::login::Login;
use crate::backend::redis::nodes::Nodes;
use crate::backend::redis::sentinels::{Answer, Sentinels};
#[cfg(feature = "redis-tls")]
use crate::backend::redis::tls::Tls;
use crate::backend::redis::url::{RedisUrl, UrlTarget};

pub(super) struct Server {
    connector: Connector,
    topology: Topology,
    /// The key whose slot counts in a cluster.
    key: String,
    /// The channel of the store, for the log.
    channel: &'static str,
    /// The server that has executed a command last.
    last: Mutex<Option<ConnectionAddr>>,
    /// The servers of the URL, for errors.
    description: String,
}

enum Topology {
    Sentinels(Sentinels),
    /// One server, or a cluster.
    Nodes(Nodes),
}

impl Server {
    /// Takes the servers of a URL. `rediss://` trusts these certificates, in PEM, or the system's. In a cluster, the
    /// store connects to the master of this key's slot.
    pub(super) fn new(
        url: &str,
        root_certificates: Option<&[u8]>,
        key: &str,
        channel: &'static str,
    ) -> Result<Self, OpenError> {
        let RedisUrl { target, settings, is_tls } = RedisUrl::parse(url)?;
        #[cfg(feature = "redis-tls")]
        let tls = if is_tls { Some(Tls::new(root_certificates)?) } else { None };
        #[cfg(feature = "redis-tls")]
        let connector = |settings| Connector::new(settings, tls.clone());
        #[cfg(not(feature = "redis-tls"))]
        let connector = Connector::new;
        #[cfg(not(feature = "redis-tls"))]
        if is_tls || root_certificates.is_some() {
            return Err(OpenError::new("TLS to Redis needs the feature `redis-tls` of tornadose"));
        }
        let database = settings.db();
        let (topology, description) = match target {
            UrlTarget::Server(address) => {
                let description = format!("{address}, database {database}");
                (Topology::Nodes(Nodes::of_server(address)), description)
            }
            UrlTarget::Sentinels { addresses, settings, service } => {
                let description = format!("`{service}` of the Sentinels {}, database {database}", list(&addresses));
                (Topology::Sentinels(Sentinels::new(connector(settings), addresses, service)), description)
            }
            UrlTarget::Cluster(addresses) => {
                let description = format!("the cluster of {}", list(&addresses));
                (Topology::Nodes(Nodes::of_cluster(addresses)), description)
            }
        };
        let (connector, key, last) = (connector(settings), key.to_owned(), Mutex::new(None));
        Ok(Self { connector, topology, key, channel, last, description })
    }

    /// Returns the servers of the URL and the database, without the credentials.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Opens a connection for commands to the master, with this name in `CLIENT LIST`.
    pub(super) async fn connect(&self, name: &str) -> Result<Connection, Fault> {
        let connection = self.connect_to(&self.find().await?, name).await?;
        match self.learn_cluster(&connection).await? {
            Some(master) if master != *connection.address() => self.connect_to(&master, name).await,
            _ => Ok(connection),
        }
    }

    /// Opens a connection to a server that another one has named.
    pub(super) async fn connect_to(&self, address: &ConnectionAddr, name: &str) -> Result<Connection, Fault> {
        self.connector.connect(address, Login { name: Some(name), selects_database: true }).await
    }

    /// Opens a connection to a server that may have no databases.
    pub(super) async fn connect_without_database(&self) -> Result<Connection, Fault> {
        self.connector.connect(&self.find().await?, Login::default()).await
    }

    /// Opens a connection that is subscribed to a channel.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<(ConnectionAddr, Subscription), Fault> {
        if matches!(&self.topology, Topology::Nodes(nodes) if nodes.is_cluster().is_none()) {
            // A subscribed connection cannot tell whether the server is in a cluster.
            drop(self.connect("tornadose-writer").await?);
        }
        let address = self.find().await?;
        let subscription = self.connector.subscribe(&address, channel).await?;
        self.record(&address);
        Ok((address, subscription))
    }

    /// Records that a node has named the one that holds the slot.
    pub(super) fn add_node(&self, address: &ConnectionAddr) {
        if let Topology::Nodes(nodes) = &self.topology {
            nodes.add(address);
        }
    }

    /// Returns whether another server than this one is named as the master.
    pub(super) fn is_replaced(&self, address: &ConnectionAddr) -> bool {
        let Topology::Sentinels(sentinels) = &self.topology else { return false };
        sentinels.changes().borrow().as_ref().is_some_and(|answer| answer.master != *address)
    }

    /// Waits until another server than this one is named as the master.
    pub(super) async fn replaced(&self, address: &ConnectionAddr) {
        if let Topology::Sentinels(sentinels) = &self.topology {
            let mut changes = sentinels.changes();
            let is_other = |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| answer.master != *address);
            if changes.wait_for(is_other).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Finds out about a new master for ever.
    pub(super) async fn watch(&self) -> ! {
        match &self.topology {
            Topology::Sentinels(sentinels) => sentinels.watch(self.channel).await,
            // A node redirects, or fails.
            Topology::Nodes(_) => std::future::pending().await,
        }
    }

    async fn find(&self) -> Result<ConnectionAddr, Fault> {
        match &self.topology {
            Topology::Sentinels(sentinels) => sentinels.master().await,
            Topology::Nodes(nodes) => nodes.find_master(&self.connector, &self.key).await,
        }
    }

    /// Finds out whether the server of a URL is in a cluster. Returns the master, if it is and may be asked.
    async fn learn_cluster(&self, connection: &Connection) -> Result<Option<ConnectionAddr>, Fault> {
        let Topology::Nodes(nodes) = &self.topology else { return Ok(None) };
        if nodes.is_cluster().is_some() {
            return Ok(None);
        }
        // Every user may say HELLO, whatever the rights.
        let mut pipeline = redis::pipe();
        pipeline.cmd("HELLO");
        let reply = connection.query(&pipeline, REPLY_TIMEOUT).await?.next_reply();
        if !reply.is_ok_and(|hello| is_cluster_mode(&hello)) {
            nodes.record_single();
            return Ok(None);
        }
        nodes.add(connection.address());
        // Where it may not be asked, its redirections lead to the master.
        Ok(nodes.find_master(&self.connector, &self.key).await.ok())
    }

    /// Records that this server has executed a command as the master.
    pub(super) fn record(&self, address: &ConnectionAddr) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(address) {
            return;
        }
        let previous = last.replace(address.clone());
        drop(last);
        if previous.is_some() {
            tracing::info!(target: "tornadose", channel = self.channel, %address, "master changed");
        }
    }
}

/// Returns whether a reply to `HELLO` names the mode `cluster`.
fn is_cluster_mode(hello: &Value) -> bool {
    let Value::Array(fields) = hello else { return false };
    fields.chunks_exact(2).any(|field| {
        matches!((&field[0], &field[1]), (Value::BulkString(name), Value::BulkString(mode))
            if name == b"mode" && mode == b"cluster")
    })
}

fn list(addresses: &[ConnectionAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
