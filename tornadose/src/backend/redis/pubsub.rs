//! The PUB/SUB backend: one connection is subscribed to a channel, another publishes on it. Redis keeps and numbers
//! nothing.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use redis::{ConnectionAddr, Pipeline, Value};

use crate::backend::backoff::Backoff;
use crate::backend::engine::OpenError;
use crate::backend::incoming::IncomingEntry;
use crate::backend::link::BackendLink;
use crate::backend::outgoing::{Outgoing, OutgoingKind, SendOutcome};
use crate::backend::redis::advice::{Target, open_error};
use crate::backend::redis::connect::{REPLY_TIMEOUT, Subscription, until_silent};
use crate::backend::redis::fault::{Fault, server_words};
use crate::backend::redis::master::MasterConnection;
use crate::backend::redis::server::Server;
use crate::id::{Epoch, Offset};

/// How often the subscription is pinged. A dead one is noticed within this interval and the reply timeout.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How many messages go into one pipeline.
const PIPELINE_MESSAGES_MAX: usize = 1000;

/// Receives and publishes until the store is closed. An error means that the start has failed.
pub(super) async fn run(server: &Server, name: &str, link: &BackendLink) -> Result<(), OpenError> {
    let subscription = match server.subscribe(name).await {
        Ok(subscription) => subscription,
        Err(fault) => return Err(open_error(server, Target::PubSub(name), &fault).await),
    };
    link.reset(Epoch::fresh(), Offset::START);
    link.caught_up();
    let channel = Channel { server, name, link, published: Mutex::default() };
    tokio::select! {
        biased;
        ((), ()) = async { tokio::join!(channel.receive(subscription), channel.publish()) } => Ok(()),
        never = server.watch() => never,
    }
}

struct Channel<'a> {
    server: &'a Server,
    /// The channel's name in Redis.
    name: &'a str,
    link: &'a BackendLink,
    published: Mutex<Published>,
}

/// Published messages that have not been received back, by payload. Messages of equal payload are interchangeable.
type Published = HashMap<Vec<u8>, VecDeque<Outgoing>>;

impl Channel<'_> {
    /// Receives messages for ever, and subscribes again when the connection fails.
    async fn receive(&self, subscription: (ConnectionAddr, Subscription)) {
        let mut backoff = Backoff::new(self.link.sender_id());
        let mut subscription = Some(subscription);
        loop {
            let subscribed = match subscription.take() {
                Some(subscription) => Ok(subscription),
                None => self.server.subscribe(self.name).await.inspect(|_| {
                    // Only now is it certain that nothing more is missed.
                    self.link.report_outage();
                    self.link.caught_up();
                }),
            };
            let fault = match subscribed {
                Ok((address, subscription)) => {
                    backoff.reset();
                    match self.receive_from(&address, subscription).await {
                        Ok(never) => match never {},
                        Err(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            self.link.report_disconnected(&fault.to_string());
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn receive_from(&self, address: &ConnectionAddr, subscription: Subscription) -> Result<Infallible, Fault> {
        let Subscription { messages, activity } = subscription;
        let (mut sink, mut messages) = messages.split();
        let ping_fault = async {
            loop {
                tokio::time::sleep(PING_INTERVAL).await;
                match until_silent(&activity, REPLY_TIMEOUT, sink.ping::<Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.into(),
                    Err(fault) => return fault,
                }
            }
        };
        let (mut ping_fault, mut replaced) =
            (std::pin::pin!(ping_fault), std::pin::pin!(self.server.replaced(address)));
        loop {
            tokio::select! {
                biased;
                fault = &mut ping_fault => return Err(fault),
                () = &mut replaced => return Err(Fault::Replaced),
                message = messages.next() => match message {
                    Some(message) => self.ingest(message.get_payload_bytes()),
                    None => return Err(Fault::Protocol("the connection was closed".into())),
                },
            }
        }
    }

    /// Passes a payload to the store. Acknowledges the message if this process has published it.
    fn ingest(&self, payload: &[u8]) {
        let (offset, _) = self.link.ingest_unplaced(IncomingEntry::new(payload));
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

    /// Publishes submitted messages until the store is closed, and connects again when the connection fails.
    async fn publish(&self) {
        let mut backoff = Backoff::new(&format!("{} writer", self.link.sender_id()));
        let mut connection = MasterConnection::new(self.server, "tornadose-writer");
        loop {
            let Err(fault) = self.publish_on(&mut connection, &mut backoff).await else { return };
            connection.close();
            tracing::debug!(target: "tornadose", channel = self.link.channel(), %fault, "publishing interrupted");
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Publishes submitted messages until the connection fails or the store is closed.
    async fn publish_on(&self, connection: &mut MasterConnection<'_>, backoff: &mut Backoff) -> Result<(), Fault> {
        connection.open().await?;
        while let Some(messages) = self.link.next_outgoing(PIPELINE_MESSAGES_MAX).await {
            let (pipeline, sent) = self.register(messages);
            if sent.is_empty() {
                continue;
            }
            let replies = match connection.query(&pipeline, self.link.ack_timeout(), usize::MAX).await {
                Ok(replies) => replies,
                Err(fault) => {
                    // These may have been published. Published again, they would be received twice.
                    for (payload, number) in &sent {
                        if let Some(outgoing) = self.take_published(payload, *number) {
                            outgoing.failed(SendOutcome::Unknown);
                        }
                    }
                    return Err(fault);
                }
            };
            for ((payload, number), reply) in sent.iter().zip(replies) {
                if let Err(error) = reply
                    && let Some(outgoing) = self.take_published(payload, *number)
                {
                    outgoing.refused(&server_words(&error));
                }
            }
            backoff.reset();
        }
        Ok(())
    }

    /// Remembers messages until they are received back. Returns the pipeline that publishes them, and their payloads
    /// and numbers.
    fn register(&self, messages: Vec<Outgoing>) -> (Pipeline, Vec<(Vec<u8>, u64)>) {
        // Latest values are each process's own, so a key is forgotten here at once.
        let (forgets, messages): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|outgoing| matches!(outgoing.kind(), OutgoingKind::Forget { .. }));
        for outgoing in forgets {
            if let OutgoingKind::Forget { key } = outgoing.kind() {
                self.link.forget(None, key);
            }
            outgoing.completed();
        }
        let (mut pipeline, mut sent) = (redis::pipe(), Vec::new());
        let mut published = self.published();
        // No submit waits for the others any more.
        let mut completed = Vec::new();
        published.retain(|_, waiting| {
            let (kept, done) = std::mem::take(waiting)
                .into_iter()
                .partition(|outgoing| outgoing.needs_sending() && !outgoing.is_fire_and_forget());
            *waiting = kept;
            completed.extend::<VecDeque<_>>(done);
            !waiting.is_empty()
        });
        completed.into_iter().for_each(Outgoing::completed);
        for outgoing in messages {
            let payload = outgoing.payload().to_vec();
            pipeline.cmd("PUBLISH").arg(self.name).arg(&payload);
            sent.push((payload.clone(), outgoing.number()));
            published.entry(payload).or_default().push_back(outgoing);
        }
        (pipeline, sent)
    }

    /// Takes a message that has not been received back.
    fn take_published(&self, payload: &[u8], number: u64) -> Option<Outgoing> {
        let mut published = self.published();
        let waiting = published.get_mut(payload)?;
        let index = waiting.iter().position(|outgoing| outgoing.number() == number)?;
        waiting.remove(index)
    }
}
