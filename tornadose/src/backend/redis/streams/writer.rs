//! The connection that appends what is submitted. What is submitted waits in the outbox until there is a connection to send it on.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use crate::backend::Link;
use crate::backend::backoff::Backoff;
use crate::backend::outbox::{Kind, Outcome, Outgoing};
use crate::backend::redis::connect::{Fault, Server, within};
use crate::backend::redis::streams::protocol::{APPEND_LATEST, Keys, by, bytes, offset};

/// How many messages go in one write.
const AT_ONCE: usize = 1000;

/// How many writes are on their way at once: while the server takes one in, the next is made ready.
const ON_THEIR_WAY: usize = 2;

/// How many messages go in one script, which holds everybody else up.
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
            Ok(connection) => match writing.send(&connection, &mut unknown, &mut backoff).await {
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

/// Messages that were sent, and their answers.
type Batch = Vec<Outgoing>;
type Answers = Vec<RedisResult<Value>>;

impl Writing<'_> {
    /// Sends what there is, until the connection fails or the store is closed.
    async fn send(
        &self,
        connection: &MultiplexedConnection,
        unknown: &mut Batch,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        self.send_again(connection, unknown, backoff).await?;
        let (mut sent, mut coming, mut open) = (VecDeque::new(), FuturesOrdered::new(), true);
        while open || !sent.is_empty() {
            tokio::select! {
                biased;
                Some(answers) = coming.next() => {
                    settle_first(answers, &mut sent, &mut coming, unknown).await?;
                    backoff.reset();
                }
                batch = self.link.outgoing(AT_ONCE), if open && sent.len() < ON_THEIR_WAY => match batch {
                    Some(batch) => {
                        coming.push_back(self.answers(&batch, connection.clone()));
                        sent.push_back(batch);
                    }
                    None => open = false,
                },
            }
        }
        Ok(())
    }

    /// Sends what may have been sent before. Nothing else goes beside it, for what is refused now may yet be there.
    async fn send_again(
        &self,
        connection: &MultiplexedConnection,
        unknown: &mut Batch,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        // Nobody waits for an answer to the others any more.
        unknown.retain(Outgoing::is_awaited);
        if unknown.is_empty() {
            return Ok(());
        }
        let answers = self.answers(unknown, connection.clone()).await?;
        let batch = std::mem::take(unknown);
        settle(batch, answers, Refusal { outcome: Outcome::Unknown, may_go_again: true }, unknown)?;
        backoff.reset();
        Ok(())
    }

    /// Sends these messages, when first polled, and answers each one's answer.
    fn answers(
        &self,
        batch: &[Outgoing],
        mut connection: MultiplexedConnection,
    ) -> impl Future<Output = Result<Answers, Fault>> + use<> {
        let ((mut pipeline, sizes), patience) = (self.pipeline(batch), self.patience());
        async move {
            let answers = within(patience, pipeline.ignore_errors().query_async(&mut connection)).await?;
            Ok(one_each(answers, &sizes))
        }
    }

    /// How long an answer may take: somebody waits no longer than that.
    fn patience(&self) -> Duration {
        self.link.deadline().max(Duration::from_millis(100))
    }

    /// The commands that append these messages in order, and how many each of them does.
    fn pipeline(&self, batch: &[Outgoing]) -> (Pipeline, Vec<usize>) {
        let is_latest = |outgoing: &Outgoing| matches!(outgoing.kind(), Kind::Latest { .. });
        let (mut pipeline, mut sizes) = (Pipeline::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for alike in batch.chunk_by(|one, next| is_latest(one) && is_latest(next)) {
            for piece in alike.chunks(AT_ONE_SCRIPT) {
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
        command.arg(APPEND_LATEST).arg(2).arg(stream).arg(latest).arg(self.history);
        for outgoing in messages {
            if let Kind::Latest { field } = outgoing.kind() {
                command.arg(field).arg(outgoing.payload()).arg(self.by(outgoing));
            }
        }
        command
    }

    fn append(&self, outgoing: &Outgoing) -> Cmd {
        let (stream, by) = (&self.keys.stream, self.by(outgoing));
        // With room for everything: there is one of these for each message.
        let mut command = Cmd::with_capacity(10, stream.len() + by.len() + outgoing.payload().len() + 64);
        command.arg("XADD").arg(stream).arg("MAXLEN").arg("~").arg(self.history).arg("*");
        match outgoing.kind() {
            Kind::Forget { key } => command.arg("forget").arg(key),
            Kind::Queue | Kind::Latest { .. } => command.arg("data").arg(outgoing.payload()),
        };
        command.arg("by").arg(by);
        command
    }

    fn by(&self, outgoing: &Outgoing) -> String {
        by(self.link.by(), outgoing.number())
    }
}

/// One answer for each message, of commands that append several.
fn one_each(answers: Answers, sizes: &[usize]) -> Answers {
    let mut each = Vec::with_capacity(sizes.iter().sum());
    for (answer, size) in answers.into_iter().zip(sizes) {
        match answer {
            Ok(Value::Array(ids)) => each.extend(ids.into_iter().map(Ok)),
            other => each.extend(std::iter::repeat_n(other, *size)),
        }
    }
    each
}

/// Answers the messages that were sent first. When some were refused for a while, those behind them answer too: what is refused
/// goes again only behind all that was taken.
async fn settle_first<A: Future<Output = Result<Answers, Fault>>>(
    answers: Result<Answers, Fault>,
    sent: &mut VecDeque<Batch>,
    coming: &mut FuturesOrdered<A>,
    unknown: &mut Batch,
) -> Result<(), Fault> {
    let mut refusal = Refusal { outcome: Outcome::NotSent, may_go_again: true };
    let (mut batch, mut told) = (Vec::new(), Vec::new());
    let mut next = Some(answers);
    let lost = loop {
        match next {
            Some(Ok(answers)) => {
                batch.extend(sent.pop_front().unwrap_or_default());
                told.extend(answers);
            }
            Some(Err(fault)) => break Some(fault),
            None => break None,
        }
        if !told.iter().any(|answer| answer.as_ref().is_err_and(passes)) {
            break None;
        }
        next = coming.next().await;
    };
    // Those behind may have been taken, and then readers would drop what is sent again.
    refusal.may_go_again = lost.is_none();
    let settled = settle(batch, told, refusal, unknown);
    match lost {
        Some(fault) => {
            unknown.extend(sent.drain(..).flatten());
            Err(fault)
        }
        None => settled,
    }
}

/// What is known of a message that is refused.
#[derive(Clone, Copy)]
struct Refusal {
    outcome: Outcome,
    /// Whether nothing that was sent behind it may have been taken.
    may_go_again: bool,
}

/// Answers each message. What was refused for a while goes to `unknown`, to be sent again, but only behind all that was
/// taken: readers drop a number that is not above those before. An error says why, then.
fn settle(batch: Batch, answers: Answers, refusal: Refusal, unknown: &mut Batch) -> Result<(), Fault> {
    let place_of = |answer: &RedisResult<Value>| answer.as_ref().ok().and_then(bytes).and_then(offset);
    let taken = answers.iter().rposition(|answer| place_of(answer).is_some());
    let mut refused = Ok(());
    for (place, (outgoing, answer)) in batch.into_iter().zip(answers).enumerate() {
        if let Some(offset) = place_of(&answer) {
            outgoing.appended(offset);
            continue;
        }
        match answer {
            Err(error) if refusal.may_go_again && passes(&error) && taken.is_none_or(|taken| taken < place) => {
                unknown.push(outgoing);
                refused = Err(error.into());
            }
            answer => {
                tracing::warn!(target: "tornadose", why = ?answer, "Redis refuses a message");
                outgoing.failed(refusal.outcome);
            }
        }
    }
    refused
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
