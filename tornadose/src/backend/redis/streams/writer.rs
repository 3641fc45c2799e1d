//! The connection that appends submitted messages. Messages wait in the outbox while there is no connection.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use crate::backend::backoff::Backoff;
use crate::backend::link::BackendLink;
use crate::backend::outgoing::{Outgoing, OutgoingKind, SendOutcome};
use crate::backend::redis::connect::{Connection, Server};
use crate::backend::redis::fault::{Fault, server_words};
use crate::backend::redis::streams::protocol::{APPEND_LATEST_LUA, Keys, format_by, parse_bytes, parse_id};

/// How many messages go into one pipeline.
const PIPELINE_MESSAGES_MAX: usize = 1000;

/// How many pipelines are in flight: while the server executes one, the next is prepared.
const IN_FLIGHT_MAX: usize = 2;

/// How many messages one script appends. A script blocks every other client.
const SCRIPT_MESSAGES_MAX: usize = 100;

/// Appends messages until the store is closed.
pub(super) async fn run(server: &Server, keys: &Keys, history: usize, link: &BackendLink) {
    let writer = StreamWriter { keys, history, link };
    // A seed of its own, so that reader and writer do not reconnect together.
    let mut backoff = Backoff::new(&format!("{} writer", link.sender_id()));
    // Messages that were sent on a lost connection. They are sent again, first and in order, and stores drop
    // duplicates.
    let mut unconfirmed = Vec::new();
    loop {
        let fault = match server.connect("tornadose-writer").await {
            Ok(connection) => match writer.send(&connection, &mut unconfirmed, &mut backoff).await {
                Ok(()) => return,
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        tracing::debug!(target: "tornadose", channel = link.channel(), %fault, "appending interrupted");
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

struct StreamWriter<'a> {
    keys: &'a Keys,
    history: usize,
    link: &'a BackendLink,
}

/// One reply for each message.
type Replies = Vec<RedisResult<Value>>;

impl StreamWriter<'_> {
    /// Sends messages until the connection fails or the store is closed.
    async fn send(
        &self,
        connection: &Connection,
        unconfirmed: &mut Vec<Outgoing>,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        self.send_again(connection, unconfirmed, backoff).await?;
        let (mut sent, mut in_flight, mut is_open) = (VecDeque::new(), FuturesOrdered::new(), true);
        while is_open || !sent.is_empty() {
            tokio::select! {
                biased;
                Some(replies) = in_flight.next() => {
                    complete_oldest(replies, &mut sent, &mut in_flight, unconfirmed).await?;
                    backoff.reset();
                }
                messages = self.link.next_outgoing(PIPELINE_MESSAGES_MAX), if is_open && sent.len() < IN_FLIGHT_MAX => {
                    match messages {
                        Some(messages) => {
                            in_flight.push_back(self.query(&messages, connection.clone()));
                            sent.push_back(messages);
                        }
                        None => is_open = false,
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the unconfirmed messages again. Nothing else is in flight meanwhile, because a message that is rejected
    /// now may have been appended before.
    async fn send_again(
        &self,
        connection: &Connection,
        unconfirmed: &mut Vec<Outgoing>,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        // No submit waits for the others any more.
        unconfirmed.retain(Outgoing::needs_sending);
        if unconfirmed.is_empty() {
            return Ok(());
        }
        let replies = self.query(unconfirmed, connection.clone()).await?;
        let messages = std::mem::take(unconfirmed);
        let rejection = Rejection { outcome: SendOutcome::Unknown, may_retry: true };
        complete(messages, replies, rejection, unconfirmed)?;
        backoff.reset();
        Ok(())
    }

    /// Sends these messages when it is first polled. Returns one reply for each.
    fn query(
        &self,
        messages: &[Outgoing],
        connection: Connection,
    ) -> impl Future<Output = Result<Replies, Fault>> + use<> {
        let ((pipeline, sizes), limit) = (self.pipeline(messages), self.reply_timeout());
        async move {
            let replies = connection.query(&pipeline, limit).await?;
            Ok(flatten_replies(replies.collect(), &sizes))
        }
    }

    /// Returns how long a reply may take. No submit waits longer than the deadline.
    fn reply_timeout(&self) -> Duration {
        self.link.ack_timeout().max(Duration::from_millis(100))
    }

    /// Returns the commands that append these messages in order, and how many messages each of them appends.
    fn pipeline(&self, messages: &[Outgoing]) -> (Pipeline, Vec<usize>) {
        let is_latest = |outgoing: &Outgoing| matches!(outgoing.kind(), OutgoingKind::Latest { .. });
        let mut pipeline = Pipeline::with_capacity(messages.len());
        let mut sizes = Vec::with_capacity(messages.len());
        // Each run of `latest` messages shares scripts. Any other message has a command of its own.
        for run in messages.chunk_by(|one, next| is_latest(one) && is_latest(next)) {
            for piece in run.chunks(SCRIPT_MESSAGES_MAX) {
                sizes.push(piece.len());
                pipeline.add_command(if is_latest(&piece[0]) {
                    self.append_latest(piece)
                } else {
                    self.append(&piece[0])
                });
            }
        }
        (pipeline, sizes)
    }

    fn append_latest(&self, messages: &[Outgoing]) -> Cmd {
        let Keys { stream, latest, .. } = self.keys;
        let mut command = redis::cmd("EVAL");
        command.arg(APPEND_LATEST_LUA).arg(2).arg(stream).arg(latest).arg(self.history);
        for outgoing in messages {
            if let OutgoingKind::Latest { slot } = outgoing.kind() {
                command.arg(slot).arg(outgoing.payload()).arg(self.by(outgoing));
            }
        }
        command
    }

    fn append(&self, outgoing: &Outgoing) -> Cmd {
        let (stream, by) = (&self.keys.stream, self.by(outgoing));
        // Reserving the capacity pays, because there is one such command for each message.
        let mut command = Cmd::with_capacity(10, stream.len() + by.len() + outgoing.payload().len() + 64);
        command.arg("XADD").arg(stream).arg("MAXLEN").arg("~").arg(self.history).arg("*");
        match outgoing.kind() {
            OutgoingKind::Forget { key } => command.arg("forget").arg(key),
            OutgoingKind::Queue | OutgoingKind::Latest { .. } => command.arg("data").arg(outgoing.payload()),
        };
        command.arg("by").arg(by);
        command
    }

    fn by(&self, outgoing: &Outgoing) -> String {
        format_by(self.link.sender_id(), outgoing.number())
    }
}

/// Returns one reply for each message, given the replies to commands that append several.
fn flatten_replies(replies: Replies, sizes: &[usize]) -> Replies {
    let mut flat = Vec::with_capacity(sizes.iter().sum());
    for (reply, size) in replies.into_iter().zip(sizes) {
        match reply {
            Ok(Value::Array(ids)) => flat.extend(ids.into_iter().map(Ok)),
            other => flat.extend(std::iter::repeat_n(other, *size)),
        }
    }
    flat
}

/// Completes the messages of the oldest pipeline. If some were rejected temporarily, it awaits the later pipelines
/// too: messages are sent again only after every message that was appended.
async fn complete_oldest<F: Future<Output = Result<Replies, Fault>>>(
    replies: Result<Replies, Fault>,
    sent: &mut VecDeque<Vec<Outgoing>>,
    in_flight: &mut FuturesOrdered<F>,
    unconfirmed: &mut Vec<Outgoing>,
) -> Result<(), Fault> {
    let (mut messages, mut received) = (Vec::new(), Vec::new());
    let mut next = Some(replies);
    let fault = loop {
        match next {
            Some(Ok(replies)) => {
                messages.extend(sent.pop_front().unwrap_or_default());
                received.extend(replies);
            }
            Some(Err(fault)) => break Some(fault),
            None => break None,
        }
        if !received.iter().any(|reply| reply.as_ref().is_err_and(is_transient)) {
            break None;
        }
        next = in_flight.next().await;
    };
    // After a fault the later messages may have been appended. Stores would then drop an earlier one that is sent
    // again.
    let rejection = Rejection { outcome: SendOutcome::NotSent, may_retry: fault.is_none() };
    let completed = complete(messages, received, rejection, unconfirmed);
    match fault {
        Some(fault) => {
            unconfirmed.extend(sent.drain(..).flatten());
            Err(fault)
        }
        None => completed,
    }
}

/// How messages that the server rejects are completed.
#[derive(Clone, Copy)]
struct Rejection {
    outcome: SendOutcome,
    /// Whether it is certain that no message sent later was appended.
    may_retry: bool,
}

/// Completes each message. Messages that were rejected temporarily go to `unconfirmed` if they may be sent again, and
/// the error is returned.
///
/// Only messages after the last appended one may be sent again: stores drop a number that is not above the earlier
/// ones.
fn complete(
    messages: Vec<Outgoing>,
    replies: Replies,
    rejection: Rejection,
    unconfirmed: &mut Vec<Outgoing>,
) -> Result<(), Fault> {
    let offset_of = |reply: &RedisResult<Value>| reply.as_ref().ok().and_then(parse_bytes).and_then(parse_id);
    let last_appended = replies.iter().rposition(|reply| offset_of(reply).is_some());
    let mut result = Ok(());
    for (index, (outgoing, reply)) in messages.into_iter().zip(replies).enumerate() {
        if let Some(offset) = offset_of(&reply) {
            outgoing.appended(offset);
            continue;
        }
        let is_after_appended = last_appended.is_none_or(|last| last < index);
        match reply {
            Err(error) if rejection.may_retry && is_transient(&error) && is_after_appended => {
                unconfirmed.push(outgoing);
                result = Err(error.into());
            }
            Err(error) if rejection.outcome == SendOutcome::NotSent => outgoing.refused(&server_words(&error)),
            _ => outgoing.failed(rejection.outcome),
        }
    }
    result
}

/// Returns whether the server may accept later what it rejects now.
fn is_transient(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    )
}
