//! Redis PUB/SUB: one connection hears a channel, another publishes to it. Redis keeps nothing, and numbers nothing.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{Pipeline, RedisResult, Value};

use crate::backend::backoff::Backoff;
use crate::backend::outbox::{Kind, Outcome, Outgoing};
use crate::backend::redis::connect::{Fault, Server, within};
use crate::backend::{Heard, Link, OpenError};
use crate::id::{Epoch, Offset};

/// How often the subscription is probed, and how long that may take: a dead one is noticed within the sum.
const PROBE: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);

/// How many messages go in one write.
const AT_ONCE: usize = 1000;

/// Hears and publishes until the store is closed. An error is one of the start.
pub(super) async fn run(server: &Server, link: &Link) -> Result<(), OpenError> {
    let heard = server.listen(link.channel()).await.map_err(|fault| server.unusable(&fault))?;
    link.begin(Epoch::fresh(), Offset::START);
    link.caught_up();
    let channel = Channel { server, link, published: Mutex::default() };
    tokio::join!(channel.hear(heard), channel.publish());
    Ok(())
}

struct Channel<'a> {
    server: &'a Server,
    link: &'a Link,
    published: Mutex<Published>,
}

/// What was published and has not been heard back yet, by its text: of equal texts any is as good.
type Published = HashMap<Vec<u8>, VecDeque<Outgoing>>;

impl Channel<'_> {
    async fn hear(&self, first: PubSub) {
        let mut backoff = Backoff::new(self.link.by());
        let mut heard = Some(first);
        loop {
            let subscription = match heard.take() {
                Some(first) => Ok(first),
                None => self.server.listen(self.link.channel()).await.inspect(|_| {
                    // Readers hear of what was missed when nothing more is.
                    self.link.outage();
                    self.link.caught_up();
                }),
            };
            let fault = match subscription {
                Ok(subscription) => {
                    backoff.reset();
                    match self.listen(subscription).await {
                        Ok(never) => match never {},
                        Err(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            self.link.lost(&fault.to_string());
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn listen(&self, subscription: PubSub) -> Result<Infallible, Fault> {
        let (mut sink, mut messages) = subscription.split();
        let probe = async {
            loop {
                tokio::time::sleep(PROBE).await;
                if let Err(fault) = within(ANSWER, sink.ping::<Value>()).await {
                    return fault;
                }
            }
        };
        let mut probe = std::pin::pin!(probe);
        loop {
            tokio::select! {
                biased;
                fault = &mut probe => return Err(fault),
                message = messages.next() => match message {
                    Some(message) => self.heard(message.get_payload_bytes()),
                    None => return Err(Fault::Wrong("the connection is gone".into())),
                },
            }
        }
    }

    fn heard(&self, payload: &[u8]) {
        let (offset, _) = self.link.append(Heard { payload, from: None });
        let mut published = self.published();
        let own = published.get_mut(payload).and_then(VecDeque::pop_front);
        if published.get(payload).is_some_and(VecDeque::is_empty) {
            published.remove(payload);
        }
        drop(published);
        if let Some(outgoing) = own {
            outgoing.appended(offset);
        }
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self) {
        let mut backoff = Backoff::new(&format!("{} writer", self.link.by()));
        loop {
            let fault = match self.server.connect("tornadose-writer").await {
                Ok(connection) => match self.send(connection, &mut backoff).await {
                    Ok(()) => return,
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            tracing::debug!(target: "tornadose", channel = self.link.channel(), %fault, "publishing is interrupted");
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Publishes what there is, until the connection fails or the store is closed.
    async fn send(&self, mut connection: MultiplexedConnection, backoff: &mut Backoff) -> Result<(), Fault> {
        while let Some(batch) = self.link.outgoing(AT_ONCE).await {
            let (mut pipeline, sent) = self.register(batch);
            if sent.is_empty() {
                continue;
            }
            let asked = pipeline.ignore_errors().query_async(&mut connection);
            let answers: Vec<RedisResult<Value>> = match within(self.link.deadline(), asked).await {
                Ok(answers) => answers,
                Err(fault) => {
                    // Sent twice it would be heard twice: what is not known to be published is not published again.
                    for (payload, number) in &sent {
                        self.fail(payload, *number, Outcome::Unknown);
                    }
                    return Err(fault);
                }
            };
            for ((payload, number), answer) in sent.iter().zip(answers) {
                if let Err(error) = answer {
                    tracing::warn!(target: "tornadose", channel = self.link.channel(), %error, "Redis refuses a message");
                    self.fail(payload, *number, Outcome::NotSent);
                }
            }
            backoff.reset();
        }
        Ok(())
    }

    /// Notes what is to be heard back, and answers how it is published.
    fn register(&self, batch: Vec<Outgoing>) -> (Pipeline, Vec<(Vec<u8>, u64)>) {
        // Latest values are each process's own.
        let (forget, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|outgoing| matches!(outgoing.kind(), Kind::Forget { .. }));
        for outgoing in forget {
            if let Kind::Forget { key } = outgoing.kind() {
                self.link.forget(None, key);
            }
        }
        let (mut pipeline, mut sent) = (redis::pipe(), Vec::new());
        let mut published = self.published();
        // Nobody waits for the others any more.
        published.retain(|_, waiting| {
            waiting.retain(|outgoing| outgoing.is_awaited() && !outgoing.is_left());
            !waiting.is_empty()
        });
        for outgoing in batch {
            let payload = outgoing.payload().to_vec();
            pipeline.cmd("PUBLISH").arg(self.link.channel()).arg(&payload);
            sent.push((payload.clone(), outgoing.number()));
            published.entry(payload).or_default().push_back(outgoing);
        }
        (pipeline, sent)
    }

    /// Answers a message that was not heard back.
    fn fail(&self, payload: &[u8], number: u64, outcome: Outcome) {
        let mut published = self.published();
        let waiting = published.get_mut(payload);
        let failed = waiting.and_then(|waiting| {
            let place = waiting.iter().position(|outgoing| outgoing.number() == number)?;
            waiting.remove(place)
        });
        drop(published);
        if let Some(outgoing) = failed {
            outgoing.failed(outcome);
        }
    }
}
