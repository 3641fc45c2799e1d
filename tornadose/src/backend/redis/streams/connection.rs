//! The reader's connection: it is opened on demand, and reads entries in pages of a bounded size.

use redis::Pipeline;

use crate::backend::redis::connect::{Connection, REPLY_TIMEOUT, Server};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::streams::protocol::{CHANGE_EPOCH_LUA, Entry, Keys, add_create_mark, parse_epoch};
use crate::id::Epoch;

/// The size of a page, approximately, and the most entries in one.
const READ_PAGE_BYTES: usize = 4 << 20;
pub(super) const READ_PAGE_ENTRIES: usize = 1000;

pub(super) struct ReaderConnection<'a> {
    server: &'a Server,
    pub(super) keys: &'a Keys,
    connection: Option<Connection>,
    /// How many entries a page has, by the size of those read last.
    pub(super) page_entries: usize,
}

impl<'a> ReaderConnection<'a> {
    pub(super) fn new(server: &'a Server, keys: &'a Keys) -> Self {
        Self { server, keys, connection: None, page_entries: READ_PAGE_ENTRIES }
    }

    pub(super) async fn get(&mut self) -> Result<Connection, Fault> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = self.server.connect("tornadose-reader").await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    pub(super) async fn query(&mut self, pipeline: &Pipeline) -> Result<Replies, Fault> {
        self.get().await?.query(pipeline, REPLY_TIMEOUT).await
    }

    /// Adapts the number of entries in a page to the size of these.
    pub(super) fn adapt_page(&mut self, entries: &[Entry]) {
        if let Some(average) = entries.iter().map(Entry::size).sum::<usize>().checked_div(entries.len()) {
            self.page_entries = (READ_PAGE_BYTES / average.max(1)).clamp(1, READ_PAGE_ENTRIES);
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
