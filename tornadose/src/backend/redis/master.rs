//! A connection for commands that stays with the master: it follows the redirections of a cluster, and leaves a server
//! when Sentinels name another one.

use std::time::Duration;

use redis::{ConnectionAddr, Pipeline};
use tokio::time::{Instant, sleep};

use crate::backend::redis::connect::Connection;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::redirection::Redirection;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::server::Server;

/// How many redirections of one pipeline are followed.
const REDIRECTIONS_MAX: u32 = 5;

/// How long to wait before keys that are being moved are tried again.
const TRY_AGAIN_DELAY: Duration = Duration::from_millis(20);

pub(super) struct MasterConnection<'a> {
    server: &'a Server,
    /// The name in `CLIENT LIST`.
    name: &'static str,
    master: Option<Connection>,
    /// A connection to the node that the slot is being moved to.
    importing: Option<Connection>,
}

impl<'a> MasterConnection<'a> {
    pub(super) fn new(server: &'a Server, name: &'static str) -> Self {
        Self { server, name, master: None, importing: None }
    }

    /// Connects, unless there is a connection.
    pub(super) async fn open(&mut self) -> Result<&Connection, Fault> {
        if self.master.as_ref().is_some_and(|master| self.server.has_left(master.address())) {
            self.close();
        }
        match &mut self.master {
            Some(master) => Ok(master),
            master => Ok(master.insert(self.server.connect(self.name).await?)),
        }
    }

    /// Returns whether the connection has failed because a reply was longer than its limit.
    pub(super) fn is_exceeded(&self) -> bool {
        self.master.as_ref().is_some_and(Connection::is_exceeded)
    }

    pub(super) fn close(&mut self) {
        (self.master, self.importing) = (None, None);
    }

    /// Sends the commands, in a transaction if the pipeline is atomic, and returns the reply to each. Commands are sent
    /// again when they are redirected: the others of a pipeline that is not atomic may be executed twice.
    ///
    /// # Errors
    ///
    /// As those of [`Connection::query`]. The connection must then be closed.
    pub(super) async fn query(&mut self, pipeline: &Pipeline, silence: Duration) -> Result<Replies, Fault> {
        let (server, master) = (self.server, self.open().await?.address().clone());
        tokio::select! {
            biased;
            replies = self.query_nodes(pipeline, silence) => replies,
            () = server.leave(&master) => Err(Fault::Protocol("another server has become the master".into())),
        }
    }

    async fn query_nodes(&mut self, pipeline: &Pipeline, silence: Duration) -> Result<Replies, Fault> {
        let give_up_at = Instant::now() + silence;
        let mut redirections = 0;
        loop {
            let master = self.open().await?;
            let replies = master.query(pipeline, silence).await?;
            let redirected = match Redirection::find(&replies, master.address()) {
                None => return Ok(replies),
                Some(Redirection::Ask(importing)) => {
                    let replies = self.ask(&importing, pipeline, replies, silence).await?;
                    match Redirection::find(&replies, &importing) {
                        None => return Ok(replies),
                        // The slot has arrived, or goes back. Its old node knows.
                        Some(Redirection::Moved(_) | Redirection::Ask(_)) => Redirection::TryAgain,
                        Some(Redirection::TryAgain) if Instant::now() >= give_up_at => return Ok(replies),
                        Some(redirection) => redirection,
                    }
                }
                Some(Redirection::TryAgain) if Instant::now() >= give_up_at => return Ok(replies),
                Some(redirection) => redirection,
            };
            match redirected {
                Redirection::Moved(master) if redirections < REDIRECTIONS_MAX => {
                    redirections += 1;
                    self.move_to(&master).await?;
                }
                Redirection::TryAgain if Instant::now() < give_up_at => sleep(TRY_AGAIN_DELAY).await,
                _ => return Err(Fault::Protocol("the nodes of the cluster redirect in a circle".into())),
            }
        }
    }

    async fn move_to(&mut self, master: &ConnectionAddr) -> Result<(), Fault> {
        self.close();
        self.server.add_node(master);
        self.master = Some(self.server.connect_to(master, self.name).await?);
        Ok(())
    }

    /// Sends the commands that were redirected to the node that the slot is being moved to: the whole transaction, or
    /// some commands of a pipeline. Returns all replies.
    async fn ask(
        &mut self,
        node: &ConnectionAddr,
        pipeline: &Pipeline,
        replies: Replies,
        silence: Duration,
    ) -> Result<Replies, Fault> {
        let importing = match &mut self.importing {
            Some(importing) if importing.address() == node => importing,
            importing => importing.insert(self.server.connect_importing(node, self.name).await?),
        };
        if pipeline.is_transaction() {
            let mut asking = redis::pipe();
            asking.cmd("ASKING");
            importing.query(&asking, silence).await?;
            return importing.query(pipeline, silence).await;
        }
        let is_redirected =
            |error: &redis::RedisError| matches!(Redirection::of(error, node), Some(Redirection::Ask(_)));
        let mut redirected = redis::pipe();
        for (command, reply) in pipeline.cmd_iter().zip(replies.iter()) {
            if reply.as_ref().is_err_and(is_redirected) {
                redirected.cmd("ASKING").add_command(command.clone());
            }
        }
        let asked = importing.query(&redirected, silence).await?.take_every_second();
        Ok(replies.replace_where(is_redirected, asked))
    }
}
