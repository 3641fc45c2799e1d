//! A connection for commands that stays with the master: it follows the redirections of a cluster, and leaves a server
//! when Sentinels name another one.

use std::time::Duration;

use redis::{ConnectionAddr, Pipeline, RedisError};
use tokio::time::{Instant, sleep};

use crate::backend::redis::connect::Connection;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::redirection::Redirection;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::server::Server;

/// How many times one pipeline is sent to another node because the slot has moved.
const MOVES_MAX: u32 = 5;

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

    /// Connects, unless there is a connection to the master.
    pub(super) async fn open(&mut self) -> Result<&Connection, Fault> {
        if self.master.as_ref().is_some_and(|master| self.server.is_replaced(master.address())) {
            self.close();
        }
        match &mut self.master {
            Some(master) => Ok(master),
            master => Ok(master.insert(self.server.connect(self.name).await?)),
        }
    }

    pub(super) fn close(&mut self) {
        (self.master, self.importing) = (None, None);
    }

    /// Sends the commands, in a transaction if the pipeline is atomic, and returns the reply to each, of at most so many
    /// bytes together. Commands are sent again when they are redirected: the others of a pipeline that is not atomic may
    /// be executed twice.
    ///
    /// # Errors
    ///
    /// As those of [`Connection::query_limited`], and [`Fault::Replaced`]. The connection must then be closed.
    pub(super) async fn query(
        &mut self,
        pipeline: &Pipeline,
        silence: Duration,
        bytes_max: usize,
    ) -> Result<Replies, Fault> {
        let (server, master) = (self.server, self.open().await?.address().clone());
        tokio::select! {
            biased;
            replies = self.follow(pipeline, silence, bytes_max) => replies,
            () = server.replaced(&master) => Err(Fault::Replaced),
        }
    }

    /// Sends the commands to one node after the other, as they redirect.
    async fn follow(&mut self, pipeline: &Pipeline, silence: Duration, bytes_max: usize) -> Result<Replies, Fault> {
        let give_up_at = Instant::now() + silence;
        let mut moves = 0;
        loop {
            let master = self.open().await?;
            let mut replies = master.query_limited(pipeline, silence, bytes_max).await?;
            let mut redirection = Redirection::find(&replies, master.address());
            if let Some(Redirection::Ask(importing)) = redirection {
                replies = self.ask(&importing, pipeline, replies, silence, bytes_max).await?;
                redirection = Redirection::find(&replies, &importing).map(|_| Redirection::TryAgain);
            }
            match redirection {
                None => {
                    if let Some(master) = &self.master {
                        self.server.record(master.address());
                    }
                    return Ok(replies);
                }
                Some(Redirection::Moved(master)) if moves < MOVES_MAX => {
                    moves += 1;
                    self.move_to(&master).await?;
                }
                Some(Redirection::Moved(_)) => {
                    return Err(Fault::Protocol("the nodes of the cluster redirect in a circle".into()));
                }
                _ if Instant::now() < give_up_at => sleep(TRY_AGAIN_DELAY).await,
                _ => return Ok(replies),
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
    /// some commands of a pipeline. Returns all replies. Those that are redirected again are tried again at the master,
    /// because the slot has arrived or goes back.
    async fn ask(
        &mut self,
        node: &ConnectionAddr,
        pipeline: &Pipeline,
        replies: Replies,
        silence: Duration,
        bytes_max: usize,
    ) -> Result<Replies, Fault> {
        let importing = match &mut self.importing {
            Some(importing) if importing.address() == node => importing,
            importing => importing.insert(self.server.connect_to(node, self.name).await?),
        };
        if pipeline.is_transaction() {
            let mut asking = redis::pipe();
            asking.cmd("ASKING");
            if let Some(refusal) = importing.query(&asking, silence).await?.find_error() {
                return Err(refusal.into());
            }
            return importing.query_limited(pipeline, silence, bytes_max).await;
        }
        let is_redirected = |error: &RedisError| matches!(Redirection::of(error, node), Some(Redirection::Ask(_)));
        let mut redirected = redis::pipe();
        for (command, reply) in pipeline.cmd_iter().zip(replies.iter()) {
            if reply.as_ref().is_err_and(is_redirected) {
                redirected.cmd("ASKING").add_command(command.clone());
            }
        }
        let (asking, asked) = importing.query_limited(&redirected, silence, bytes_max).await?.split_pairs();
        if let Some(refusal) = asking.find_error() {
            return Err(refusal.into());
        }
        Ok(replies.replace_where(is_redirected, asked))
    }
}
