//! The reader's connection: it is opened on demand, and adapts the size of its transfers to its speed.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::master::MasterConnection;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::protocol::{CHANGE_EPOCH_LUA, Keys, add_create_mark, parse_epoch, value_size};
use crate::backend::redis::streams::script::{Script, Scripts};
use crate::backend::redis::transfer_size::TransferSize;
use crate::id::Epoch;

pub(super) struct ReaderConnection<'a> {
    master: MasterConnection<'a>,
    pub(super) keys: &'a Keys,
    pub(super) scripts: &'a Scripts,
    pub(super) size: TransferSize,
}

impl<'a> ReaderConnection<'a> {
    pub(super) fn new(server: &'a Server, keys: &'a Keys, scripts: &'a Scripts) -> Self {
        Self { master: MasterConnection::new(server, "tornadose-reader"), keys, scripts, size: TransferSize::new() }
    }

    pub(super) fn disconnect(&mut self) {
        self.master.close();
    }

    pub(super) async fn query(&mut self, pipeline: &Pipeline) -> Result<Replies, Fault> {
        self.query_within(pipeline, REPLY_TIMEOUT).await
    }

    /// Sends commands to which the server may reply after a silence.
    pub(super) async fn query_within(&mut self, pipeline: &Pipeline, silence: Duration) -> Result<Replies, Fault> {
        self.master.query(pipeline, silence, usize::MAX).await
    }

    /// Sends commands to which the server may reply after a silence, in so many bytes. Returns `None` if it has replied
    /// in more, and disconnects; otherwise the replies, and how long they took.
    pub(super) async fn query_limited(
        &mut self,
        pipeline: &Pipeline,
        silence: Duration,
        bytes_max: usize,
    ) -> Result<Option<(Replies, Duration)>, Fault> {
        // Connecting does not count.
        self.master.open().await?;
        let started = Instant::now();
        match self.master.query(pipeline, silence, bytes_max).await {
            Ok(replies) => Ok(Some((replies, started.elapsed()))),
            Err(Fault::TooLong) => {
                self.disconnect();
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Runs a script whose reply is short.
    pub(super) async fn run(
        &mut self,
        script: &Script,
        keys: &[&str],
        add_arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Fault> {
        for command in [Script::by_digest, Script::by_text] {
            let mut command = command(script, keys);
            add_arguments(&mut command);
            let mut pipeline = redis::pipe();
            pipeline.add_command(command);
            match self.query(&pipeline).await?.next_reply() {
                Err(error) if error.code() == Some("NOSCRIPT") => {}
                reply => return Ok(reply?),
            }
        }
        Err(Fault::Protocol("the server does not keep a script".into()))
    }

    /// Runs a script whose reply is about as long as `size` says, and adapts the size.
    pub(super) async fn transfer(
        &mut self,
        script: &Script,
        keys: &[&str],
        add_arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Fault> {
        // Connecting does not count.
        self.master.open().await?;
        let started = Instant::now();
        match self.run(script, keys, add_arguments).await {
            Ok(reply) => {
                self.size.completed(value_size(&reply), started.elapsed());
                Ok(reply)
            }
            Err(fault) => {
                if !fault.is_reply() {
                    self.size.failed();
                }
                Err(fault)
            }
        }
    }

    /// Replaces the epoch, unless another process has. Returns the current one.
    pub(super) async fn change_epoch(&mut self, old: Epoch, channel: &str) -> Result<Epoch, Fault> {
        let Keys { stream, epoch, .. } = self.keys;
        let mut pipeline = redis::pipe();
        let change = pipeline.atomic().cmd("EVAL").arg(CHANGE_EPOCH_LUA).arg(1).arg(epoch);
        change.arg(old.to_string()).arg(Epoch::fresh().to_string());
        add_create_mark(&mut pipeline, stream);
        pipeline.cmd("GET").arg(epoch);
        let mut replies = self.query(&pipeline).await?;
        replies.next_reply()?;
        // The mark may exist already.
        drop(replies.next_reply());
        let current = parse_epoch(&replies.next_reply()?, epoch)?;
        tracing::warn!(target: "tornadose", channel, epoch = %current, "stream rolled back");
        Ok(current)
    }
}
