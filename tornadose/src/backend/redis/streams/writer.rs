//! The connection that appends submitted messages. Messages wait in the outbox while there is no connection.
//!
//! One batch is in flight, and it is a transaction: Redis takes all of it or nothing, so that no message overtakes
//! one that was refused.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::backend::backoff::Backoff;
use crate::backend::link::BackendLink;
use crate::backend::outgoing::{Outgoing, OutgoingKind, SendOutcome};
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::{Fault, server_words};
use crate::backend::redis::master::MasterConnection;
use crate::backend::redis::replies::Replies;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::acknowledged::BATCH_MESSAGES_MAX;
use crate::backend::redis::streams::page::{Page, PageRequest};
use crate::backend::redis::streams::protocol::{
    APPEND_EPHEMERAL_LUA, APPEND_LATEST_LUA, APPEND_OPEN_LUA, EPHEMERAL_HISTORY, EXPIRE_LATEST_LUA, Keys, REMOVE_LUA,
    format_by, format_id, parse_bytes, parse_id,
};
use crate::backend::redis::streams::script::Scripts;
use crate::backend::redis::streams::shared::StreamShared;
use crate::backend::redis::streams::snapshots::{DUE_MAX, SnapshotWriter};
use crate::backend::redis::transfer_size::TransferSize;
use crate::backend::snapshots::DueSnapshot;
use crate::id::Offset;

/// How many messages one script appends.
const SCRIPT_MESSAGES_MAX: usize = 100;

/// How long a refusal lasts until the next attempt, at most. Submits wait for it.
const REFUSED_DELAY_MAX: Duration = Duration::from_secs(1);

/// The refusals that pass, by the first word of the server's reply. Messages for which no caller waits are kept.
const PASSING: [&str; 14] = [
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "NOPERM",
    "NOAUTH",
    "WRONGTYPE",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
];

/// The refusals after which another connection may reach another server or user.
const RECONNECT: [&str; 5] = ["READONLY", "MASTERDOWN", "NOAUTH", "NOPERM", "CLUSTERDOWN"];

/// The refusals of a server that is not the one to write to any more.
const REPLACED: [&str; 3] = ["READONLY", "MASTERDOWN", "CLUSTERDOWN"];

/// How long the reader may take to notice that a server lacks what was acknowledged.
const LOSS_NOTICE_MAX: Duration = Duration::from_secs(2);

/// Appends messages until the store is closed.
pub(super) async fn run(server: &Server, keys: &Keys, scripts: &Scripts, shared: &StreamShared, link: &BackendLink) {
    let mut writer = StreamWriter {
        connection: MasterConnection::new(server, "tornadose-writer"),
        keys,
        scripts,
        shared,
        link,
        queue: VecDeque::new(),
        unconfirmed_through: 0,
        size: TransferSize::new(),
        // A seed of its own, so that reader and writer do not reconnect together.
        backoff: Backoff::new(&format!("{} writer", link.sender_id())),
        snapshots: SnapshotWriter::default(),
        was_connected: false,
        expiry_refusal: None,
        replaced: None,
    };
    loop {
        let Err(fault) = writer.send().await else { return };
        writer.connection.close();
        tracing::debug!(target: "tornadose", channel = link.channel(), %fault, "appending interrupted");
        let delay = writer.backoff.next_delay();
        // A server that answers may soon take messages again, and submits wait for it.
        let is_answer = fault.is_reply() || matches!(fault, Fault::Protocol(_) | Fault::NotAtomic(_));
        tokio::time::sleep(if is_answer { delay.min(REFUSED_DELAY_MAX) } else { delay }).await;
    }
}

struct StreamWriter<'a> {
    connection: MasterConnection<'a>,
    keys: &'a Keys,
    scripts: &'a Scripts,
    shared: &'a StreamShared,
    link: &'a BackendLink,
    /// The messages that were taken from the outbox and have no reply yet, in order.
    queue: VecDeque<Outgoing>,
    /// Messages up to this number were sent on a lost connection, and may have been appended. They are sent again, and
    /// stores drop duplicates.
    unconfirmed_through: u64,
    size: TransferSize,
    backoff: Backoff,
    snapshots: SnapshotWriter,
    /// Whether there was a connection before.
    was_connected: bool,
    /// Why values are not expired.
    expiry_refusal: Option<String>,
    /// Why another server is to be written to.
    replaced: Option<String>,
}

impl StreamWriter<'_> {
    /// Sends messages until the connection fails or the store is closed.
    async fn send(&mut self) -> Result<(), Fault> {
        if std::mem::replace(&mut self.was_connected, true) {
            // The new connection may be to a server that has every entry, and lacks snapshots that were made of them.
            self.link.recheck_snapshots();
        }
        let loads = self.shared.acknowledged.loads();
        self.check_stream(loads).await?;
        loop {
            // No submit waits for the others any more.
            self.queue.retain(Outgoing::needs_sending);
            if self.queue.is_empty() {
                // Snapshots come first: they are due now and then, and messages may always wait.
                tokio::select! {
                    biased;
                    due = self.link.next_snapshots(DUE_MAX) => self.write_snapshots(due, loads).await?,
                    messages = self.link.next_outgoing(BATCH_MESSAGES_MAX) => match messages {
                        Some(messages) => self.queue.extend(messages),
                        None => return Ok(()),
                    },
                }
                continue;
            }
            if self.shared.acknowledged.loads() != loads {
                // This connection may be to a server that the reader has left, which would lose what it takes.
                return Err(Fault::Protocol("the stream was loaded again".into()));
            }
            if let Some(refusal) = self.send_batch().await? {
                self.refuse(&refusal);
                if RECONNECT.contains(&refusal.code()) {
                    return Err(Fault::Protocol(refusal.words));
                }
                tokio::time::sleep(self.backoff.next_delay().min(REFUSED_DELAY_MAX)).await;
            }
        }
    }

    /// Writes snapshots that are due.
    async fn write_snapshots(&mut self, due: Vec<DueSnapshot>, loads: u64) -> Result<(), Fault> {
        if self.shared.acknowledged.loads() != loads {
            for due in &due {
                self.link.retry_snapshot(&due.key);
            }
            return Err(Fault::Protocol("the stream was loaded again".into()));
        }
        Box::pin(self.snapshots.write(&mut self.connection, self.keys, self.link, &self.shared.checkpoints, due)).await
    }

    /// Looks whether the server of a new connection has what was acknowledged. If it lacks something, the reader notices,
    /// and gets some time to tell the readers before messages are appended that would hide the loss for a moment.
    async fn check_stream(&mut self, loads: u64) -> Result<(), Fault> {
        self.connection.open().await?;
        let newest = self.shared.acknowledged.newest();
        if newest == Offset::START {
            return Ok(());
        }
        let Keys { stream, epoch, .. } = self.keys;
        let mut state = self.scripts.page.by_text(&[stream, epoch]);
        PageRequest::state_only(newest).add_to(&mut state);
        let mut pipeline = redis::pipe();
        pipeline.add_command(state);
        // A user may append without the right to read.
        let Ok(reply) = self.connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?.next_reply() else {
            return Ok(());
        };
        let page = Page::parse(reply)?;
        let give_up_at = Instant::now() + LOSS_NOTICE_MAX;
        if page.info.has_lost(newest, page.last_exists) {
            while self.shared.acknowledged.loads() == loads && Instant::now() < give_up_at {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }

    /// Sends the first messages of the queue, and completes those that were appended. Returns why the others were
    /// refused.
    async fn send_batch(&mut self) -> Result<Option<Refusal>, Fault> {
        let (count, bytes) = self.next_batch();
        let messages: Vec<Outgoing> = self.queue.drain(..count).collect();
        let (pipeline, sizes) = self.pipeline(&messages);
        // No submit waits longer than its deadline.
        let silence = self.link.ack_timeout().max(Duration::from_millis(100));
        let started = Instant::now();
        let replies = match self.connection.query(&pipeline, silence, usize::MAX).await {
            Ok(replies) => replies,
            Err(fault) => {
                let last = messages.last().map_or(0, Outgoing::number);
                messages.into_iter().rev().for_each(|outgoing| self.queue.push_front(outgoing));
                if fault.is_reply() {
                    // The server has refused the connection or `ASKING`, and has appended nothing.
                    self.refuse_for_now(&fault.to_string());
                    return Err(fault);
                }
                self.unconfirmed_through = self.unconfirmed_through.max(last);
                if let Fault::NotAtomic(_) = fault {
                    self.link.report_refused(&fault.to_string());
                }
                return Err(fault);
            }
        };
        self.size.completed(bytes, started.elapsed());
        let answers = self.answers(replies, &sizes);
        let refusal = self.complete(messages, answers);
        match self.replaced.take() {
            // Where nothing but expiries is sent, only they show it.
            Some(words) if refusal.is_none() => Err(Fault::Protocol(words)),
            _ => Ok(refusal),
        }
    }

    /// Returns how many messages the next batch has, and their bytes.
    fn next_batch(&self) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        for outgoing in self.queue.iter().take(BATCH_MESSAGES_MAX) {
            let size = outgoing.payload().len();
            if count > 0 && bytes + size > self.size.bytes() {
                break;
            }
            (count, bytes) = (count + 1, bytes + size);
        }
        (count, bytes)
    }

    /// Completes the messages that were appended, and puts the others back in front of the queue.
    fn complete(&mut self, messages: Vec<Outgoing>, answers: Vec<Answer>) -> Option<Refusal> {
        let (mut refused, mut refusal) = (Vec::new(), None);
        for (outgoing, answer) in messages.into_iter().zip(answers) {
            match answer {
                Ok(Reply::Appended(offset)) => {
                    if matches!(outgoing.kind(), OutgoingKind::Expire { .. }) {
                        self.expiry_refusal = None;
                    }
                    self.shared.acknowledged.record(offset);
                    outgoing.appended(offset);
                    self.backoff.reset();
                }
                // Its entry is read already, or is about to be, on behalf of its first attempt.
                Ok(Reply::AppendedBefore(offset)) => outgoing.appended(offset),
                Ok(Reply::Follows(offset)) => {
                    outgoing.appended(offset);
                    self.backoff.reset();
                }
                // An earlier attempt may have appended it, before another message has finished the key.
                Ok(Reply::Finished(_)) if outgoing.number() <= self.unconfirmed_through && !is_finish(&outgoing) => {
                    outgoing.failed(SendOutcome::Unknown);
                }
                Ok(Reply::Finished(offset)) => outgoing.finished(offset),
                Ok(Reply::Kept) => outgoing.completed(),
                // Messages do not wait for it, and the store asks again.
                Err(words) if matches!(outgoing.kind(), OutgoingKind::Expire { .. }) => {
                    if REPLACED.contains(&first_word(&words)) {
                        self.replaced = Some(words.clone());
                    }
                    self.log_expiry_refusal(words);
                    outgoing.failed(SendOutcome::NotSent);
                }
                Err(words) => {
                    refused.push(outgoing);
                    refusal.get_or_insert(Refusal { words, messages: 0 }).messages += 1;
                }
            }
        }
        refused.into_iter().rev().for_each(|outgoing| self.queue.push_front(outgoing));
        refusal
    }

    /// Logs why values are not expired, unless that was logged before.
    fn log_expiry_refusal(&mut self, words: String) {
        if self.expiry_refusal.as_ref() != Some(&words) {
            tracing::warn!(target: "tornadose", channel = self.link.channel(), error = words, "values not expired");
            self.expiry_refusal = Some(words);
        }
    }

    /// Fails the messages whose callers wait. The others are kept if the refusal passes.
    fn refuse(&mut self, refusal: &Refusal) {
        let words = &refusal.words;
        if !PASSING.contains(&refusal.code()) {
            for outgoing in self.queue.drain(..refusal.messages) {
                refuse(outgoing, words, self.unconfirmed_through);
            }
            return;
        }
        self.refuse_for_now(words);
    }

    /// Fails the messages whose callers wait, also those behind, and keeps the others.
    fn refuse_for_now(&mut self, words: &str) {
        self.link.report_refused(words);
        // What waits behind would be refused as well.
        while let Some(Some(messages)) = self.link.next_outgoing(BATCH_MESSAGES_MAX).now_or_never() {
            self.queue.extend(messages);
        }
        let queue = std::mem::take(&mut self.queue);
        let (kept, waiting): (VecDeque<_>, VecDeque<_>) = queue.into_iter().partition(Outgoing::is_fire_and_forget);
        self.queue = kept;
        for outgoing in waiting {
            refuse(outgoing, words, self.unconfirmed_through);
        }
    }

    /// Returns the transaction that appends these messages in order, and how many messages each of its commands
    /// appends.
    fn pipeline(&self, messages: &[Outgoing]) -> (Pipeline, Vec<usize>) {
        let mut pipeline = Pipeline::with_capacity(messages.len());
        pipeline.atomic();
        let mut sizes = Vec::with_capacity(messages.len());
        // Each run of messages that need the same script shares it. Any other message has a command of its own.
        let shares = |one: &Outgoing, next: &Outgoing| Way::of(one) == Way::of(next) && Way::of(one) != Way::Alone;
        for run in messages.chunk_by(shares) {
            for piece in run.chunks(SCRIPT_MESSAGES_MAX) {
                sizes.push(piece.len());
                pipeline.add_command(match Way::of(&piece[0]) {
                    Way::Latest => self.append_latest(piece),
                    Way::Open => self.append_open(piece),
                    Way::Expire => self.expire_latest(piece),
                    Way::Ephemeral => self.append_ephemeral(piece),
                    Way::Alone => self.append(&piece[0]),
                });
            }
        }
        (pipeline, sizes)
    }

    fn append_latest(&self, messages: &[Outgoing]) -> Cmd {
        let Keys { stream, latest, .. } = self.keys;
        let mut command = redis::cmd("EVAL");
        command.arg(APPEND_LATEST_LUA).arg(2).arg(stream).arg(latest).arg(self.shared.history_max);
        for outgoing in messages {
            if let OutgoingKind::Latest { slot } = outgoing.kind() {
                command.arg(slot).arg(outgoing.payload()).arg(self.by(outgoing));
            }
        }
        command
    }

    fn append_open(&self, messages: &[Outgoing]) -> Cmd {
        let Keys { stream, latest, finishes, finish_times, .. } = self.keys;
        let mut command = redis::cmd("EVAL");
        command
            .arg(APPEND_OPEN_LUA)
            .arg(4)
            .arg(stream)
            .arg(latest)
            .arg(finishes)
            .arg(finish_times)
            .arg(self.shared.history_max);
        for outgoing in messages {
            let (kind, field) = match outgoing.kind() {
                OutgoingKind::Latest { slot } => ("latest", slot.as_str()),
                OutgoingKind::Finish { .. } => ("finish", ""),
                _ if outgoing.finishes() => ("last", ""),
                _ => ("queue", ""),
            };
            command.arg(kind).arg(outgoing.open_key().unwrap_or_default()).arg(field).arg(outgoing.payload());
            command.arg(self.by(outgoing)).arg(outgoing.key().unwrap_or_default());
        }
        command
    }

    fn expire_latest(&self, requests: &[Outgoing]) -> Cmd {
        let Keys { stream, latest, .. } = self.keys;
        let mut command = redis::cmd("EVAL");
        command.arg(EXPIRE_LATEST_LUA).arg(2).arg(stream).arg(latest).arg(self.shared.history_max);
        for outgoing in requests {
            if let OutgoingKind::Expire { slot, through, ttl, missing } = outgoing.kind() {
                command.arg(slot).arg(format_id(*through)).arg(ttl.as_millis().to_string());
                command.arg(missing.map(format_id).unwrap_or_default()).arg(self.by(outgoing));
            }
        }
        command
    }

    fn append_ephemeral(&self, messages: &[Outgoing]) -> Cmd {
        let Keys { stream, ephemeral, finishes, .. } = self.keys;
        let mut command = redis::cmd("EVAL");
        command.arg(APPEND_EPHEMERAL_LUA).arg(3).arg(stream).arg(ephemeral).arg(finishes).arg(EPHEMERAL_HISTORY);
        for outgoing in messages {
            command.arg(outgoing.open_key().unwrap_or_default()).arg(outgoing.payload()).arg(self.by(outgoing));
        }
        command
    }

    fn append(&self, outgoing: &Outgoing) -> Cmd {
        if let OutgoingKind::Remove { key } = outgoing.kind() {
            let Keys { stream, finishes, finish_times, snapshots, .. } = self.keys;
            let has_snapshots = self.link.snapshot_version().is_some();
            let mut command = redis::cmd("EVAL");
            command.arg(REMOVE_LUA).arg(if has_snapshots { 4 } else { 3 });
            command.arg(stream).arg(finishes).arg(finish_times);
            if has_snapshots {
                command.arg(snapshots);
            }
            command.arg(self.shared.history_max).arg(key).arg(self.by(outgoing));
            return command;
        }
        let (stream, by) = (&self.keys.stream, self.by(outgoing));
        // Reserving the capacity pays, because there is one such command for each message.
        let key = outgoing.key().unwrap_or_default();
        let size = stream.len() + by.len() + key.len() + outgoing.payload().len() + 64;
        let mut command = Cmd::with_capacity(12, size);
        command.arg("XADD").arg(stream).arg("MAXLEN").arg("~").arg(self.shared.history_max).arg("*");
        match outgoing.kind() {
            OutgoingKind::Forget { key } => command.arg("forget").arg(key),
            _ => command.arg("data").arg(outgoing.payload()),
        };
        command.arg("by").arg(by);
        if let Some(key) = outgoing.key() {
            command.arg("key").arg(key);
        }
        command
    }

    fn by(&self, outgoing: &Outgoing) -> String {
        format_by(self.link.sender_id(), outgoing.number())
    }

    /// Returns what Redis answers for each message, given the replies to commands that append several.
    fn answers(&self, replies: Replies, sizes: &[usize]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(sizes.iter().sum());
        for (reply, &size) in replies.zip(sizes) {
            match reply {
                Ok(Value::Array(values)) => {
                    // A script adds the error of the hash, if there is one.
                    if let Some(error) = values.get(size).and_then(parse_bytes).map(String::from_utf8_lossy) {
                        tracing::warn!(target: "tornadose", channel = self.link.channel(), %error, "latest values not kept");
                    }
                    answers.extend(values.iter().take(size).map(answer));
                }
                Ok(value) => answers.push(answer(&value)),
                Err(error) => answers.extend(refusals(&error, size)),
            }
        }
        answers
    }
}

/// How messages are appended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the script that keeps `latest` values.
    Latest,
    /// By the script that asks whether the key is finished.
    Open,
    /// By the script that expires values.
    Expire,
    /// By the script that names the entry which each follows.
    Ephemeral,
    /// By a command of its own.
    Alone,
}

impl Way {
    fn of(outgoing: &Outgoing) -> Self {
        match outgoing.kind() {
            OutgoingKind::Forget { .. } | OutgoingKind::Remove { .. } => Self::Alone,
            OutgoingKind::Expire { .. } => Self::Expire,
            OutgoingKind::Ephemeral => Self::Ephemeral,
            _ if outgoing.open_key().is_some() => Self::Open,
            OutgoingKind::Latest { .. } => Self::Latest,
            OutgoingKind::Queue | OutgoingKind::Finish { .. } => Self::Alone,
        }
    }
}

fn is_finish(outgoing: &Outgoing) -> bool {
    matches!(outgoing.kind(), OutgoingKind::Finish { .. })
}

/// What Redis has done with a message.
#[derive(Clone)]
enum Reply {
    /// It is appended at this offset.
    Appended(Offset),
    /// An earlier attempt has appended it at this offset.
    AppendedBefore(Offset),
    /// It is ephemeral, and follows the entry at this offset.
    Follows(Offset),
    /// Its key is finished, at this offset.
    Finished(Offset),
    /// The value that it would expire is kept, or is gone.
    Kept,
}

/// A reply, or the server's words of refusal.
type Answer = Result<Reply, String>;

/// Parses the id of an entry. A script returns the text of an error instead.
fn answer(value: &Value) -> Answer {
    let text = parse_bytes(value).unwrap_or_default();
    let after = |word: &[u8]| parse_id(text.strip_prefix(word)?);
    if text == b"KEPT" {
        return Ok(Reply::Kept);
    }
    if let Some(finish) = after(b"FINISHED ") {
        return Ok(Reply::Finished(finish));
    }
    if let Some(offset) = after(b"FOLLOWS ") {
        return Ok(Reply::Follows(offset));
    }
    if let Some(offset) = after(b"APPENDED ") {
        return Ok(Reply::AppendedBefore(offset));
    }
    parse_id(text).map(Reply::Appended).ok_or_else(|| String::from_utf8_lossy(text).into_owned())
}

fn refusals(error: &RedisError, messages: usize) -> impl Iterator<Item = Answer> {
    std::iter::repeat_n(Err(server_words(error)), messages)
}

/// Why the first messages of the queue were refused, and how many.
struct Refusal {
    words: String,
    messages: usize,
}

impl Refusal {
    /// Returns the first word of the server's reply.
    fn code(&self) -> &str {
        first_word(&self.words)
    }
}

fn first_word(words: &str) -> &str {
    words.split(' ').next().unwrap_or_default()
}

/// Fails a message. One that may have been appended before has an unknown outcome.
fn refuse(outgoing: Outgoing, words: &str, unconfirmed_through: u64) {
    if outgoing.number() <= unconfirmed_through {
        outgoing.failed(SendOutcome::Unknown);
    } else {
        outgoing.refused(words);
    }
}
