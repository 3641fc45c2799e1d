//! The connection that appends what is submitted. What is submitted waits in the outbox until there is a connection to send it on.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use crate::backend::Link;
use crate::backend::backoff::Backoff;
use crate::backend::outbox::{Kind, Outcome, Outgoing};
use crate::backend::redis::connect::{Fault, Server, within};
use crate::backend::redis::streams::wording::{APPEND_LATEST, Keys, bytes, offset};

/// How many messages go in one write.
const AT_ONCE: usize = 1000;

/// How many of them go in one script, which holds everybody else up.
const AT_ONE_SCRIPT: usize = 100;

/// Appends until the store is closed.
pub(super) async fn run(server: &Server, keys: &Keys, history: usize, link: &Link) {
    let writing = Writing { keys, history, link };
    // Read and written, the two connections come back at different times.
    let mut backoff = Backoff::new(&format!("{} writer", link.by()));
    // Sent on a connection that is gone: they go again, first and in order, and readers drop what had arrived.
    let mut unknown = Vec::new();
    loop {
        let fault = match server.connect("tornadose-writer").await {
            Ok(connection) => match writing.send(connection, &mut unknown, &mut backoff).await {
                Ok(()) => return,
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        tracing::debug!(target: "tornadose", channel = link.channel(), %fault, "appending is interrupted");
        tokio::time::sleep(backoff.next()).await;
    }
}

struct Writing<'a> {
    keys: &'a Keys,
    history: usize,
    link: &'a Link,
}

impl Writing<'_> {
    /// Sends what there is, until the connection fails or the store is closed.
    async fn send(
        &self,
        mut connection: MultiplexedConnection,
        unknown: &mut Vec<Outgoing>,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        loop {
            // Nobody waits for an answer to the others any more.
            unknown.retain(Outgoing::is_awaited);
            let again = !unknown.is_empty();
            let batch = if again {
                std::mem::take(unknown)
            } else {
                match self.link.outgoing(AT_ONCE).await {
                    Some(batch) => batch,
                    None => return Ok(()),
                }
            };
            let (mut pipeline, sizes) = self.pipeline(&batch);
            let sent = within(self.patience(), pipeline.ignore_errors().query_async(&mut connection)).await;
            let answers: Vec<RedisResult<Value>> = match sent {
                Ok(answers) => answers,
                Err(fault) => {
                    *unknown = batch;
                    return Err(fault);
                }
            };
            let refused = settle(batch, one_each(answers, &sizes), again, unknown);
            if let Some(error) = refused {
                return Err(error.into());
            }
            backoff.reset();
        }
    }

    /// How long an answer may take: somebody waits no longer than that.
    fn patience(&self) -> Duration {
        self.link.deadline().max(Duration::from_millis(100))
    }

    /// The commands that append these messages in order, and how many each of them does.
    fn pipeline(&self, batch: &[Outgoing]) -> (Pipeline, Vec<usize>) {
        let is_latest = |outgoing: &Outgoing| matches!(outgoing.kind(), Kind::Latest { .. });
        let (mut pipeline, mut sizes) = (redis::pipe(), Vec::new());
        for alike in batch.chunk_by(|one, next| is_latest(one) && is_latest(next)) {
            for piece in alike.chunks(AT_ONE_SCRIPT) {
                sizes.push(piece.len());
                if is_latest(&piece[0]) {
                    self.append_latest(&mut pipeline, piece);
                } else {
                    self.append(&mut pipeline, &piece[0]);
                }
            }
        }
        (pipeline, sizes)
    }

    fn append_latest(&self, pipeline: &mut Pipeline, messages: &[Outgoing]) {
        let Keys { stream, latest, .. } = self.keys;
        pipeline.cmd("EVAL").arg(APPEND_LATEST).arg(2).arg(stream).arg(latest).arg(self.history).arg(self.link.by());
        for outgoing in messages {
            if let Kind::Latest { field } = outgoing.kind() {
                pipeline.arg(field).arg(outgoing.payload()).arg(outgoing.number());
            }
        }
    }

    fn append(&self, pipeline: &mut Pipeline, outgoing: &Outgoing) {
        pipeline.cmd("XADD").arg(&self.keys.stream).arg("MAXLEN").arg("~").arg(self.history).arg("*");
        match outgoing.kind() {
            Kind::Forget { key } => pipeline.arg("forget").arg(key),
            Kind::Queue | Kind::Latest { .. } => pipeline.arg("data").arg(outgoing.payload()),
        };
        pipeline.arg("by").arg(self.link.by()).arg("n").arg(outgoing.number());
    }
}

/// One answer for each message, of commands that append several.
fn one_each(answers: Vec<RedisResult<Value>>, sizes: &[usize]) -> Vec<RedisResult<Value>> {
    let mut each = Vec::new();
    for (answer, size) in answers.into_iter().zip(sizes) {
        match answer {
            Ok(Value::Array(ids)) => each.extend(ids.into_iter().map(Ok)),
            other => each.extend(std::iter::repeat_n(other, *size)),
        }
    }
    each
}

/// Answers each message. What was refused for a while goes to `unknown`, to be sent again, but only behind all that was
/// taken: readers drop a number that is not above those before. Answers why, then.
fn settle(
    batch: Vec<Outgoing>,
    answers: Vec<RedisResult<Value>>,
    again: bool,
    unknown: &mut Vec<Outgoing>,
) -> Option<RedisError> {
    let taken = answers.iter().rposition(|answer| answer.as_ref().is_ok_and(|id| bytes(id).and_then(offset).is_some()));
    let mut refused = None;
    for (place, (outgoing, answer)) in batch.into_iter().zip(answers).enumerate() {
        match answer {
            Ok(id) => {
                if let Some(offset) = bytes(&id).and_then(offset) {
                    outgoing.appended(offset);
                } else {
                    tracing::warn!(target: "tornadose", why = ?id, "Redis refuses a message");
                    outgoing.failed(refusal(again));
                }
            }
            Err(error) if passes(&error) && taken.is_none_or(|taken| taken < place) => {
                unknown.push(outgoing);
                refused = Some(error);
            }
            Err(error) => {
                tracing::warn!(target: "tornadose", %error, "Redis refuses a message");
                outgoing.failed(refusal(again));
            }
        }
    }
    refused
}

/// What is known of a message that is refused: one that was sent before may have arrived then.
fn refusal(again: bool) -> Outcome {
    if again { Outcome::Unknown } else { Outcome::NotSent }
}

/// Whether what the server refuses now it may take in a while.
fn passes(error: &RedisError) -> bool {
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
