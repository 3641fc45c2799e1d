//! Appends submitted messages to a stream. Messages wait while there is no connection, and what may have been appended
//! is sent again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::backend::link::BackendLink;
use crate::backend::outgoing::{Outgoing, OutgoingKind, SendOutcome};
use crate::id::Offset;
use crate::simulation::connection::{Connection, Fault};
use crate::simulation::link::ProcessLink;
use crate::simulation::mistakes::Mistakes;
use crate::simulation::settlement::Settlement;
use crate::simulation::state::{AppendFault, State};
use crate::simulation::stream::{Body, ExpiryRequest};

/// How many messages are taken at once.
const TAKEN_MESSAGES_MAX: usize = 16;

pub(super) struct StreamWriter<'a> {
    process: &'a ProcessLink,
    link: &'a BackendLink,
    settlement: &'a Settlement,
    mistakes: Mistakes,
    /// The messages that are to be sent, in order.
    waiting: VecDeque<Waiting>,
    is_open: bool,
}

struct Waiting {
    outgoing: Outgoing,
    /// Whether it was sent on a connection that was lost.
    may_be_appended: bool,
}

/// The engine's answer to an append.
enum Answer {
    /// What became of each message.
    Taken(Vec<Outcome>),
    /// It took none of the messages.
    Refused(String),
}

/// What became of a message that the engine has taken.
enum Outcome {
    Appended(Offset),
    /// An earlier attempt has appended it.
    AppendedBefore(Offset),
    /// It is ephemeral, and follows the entry at this offset.
    Follows(Offset),
    /// Its key is finished.
    Finished(Offset),
    /// The value that it would expire is kept, or is gone.
    Kept,
}

/// A message as it is sent.
#[derive(Clone)]
struct Request {
    number: u64,
    body: Body,
    is_ephemeral: bool,
    /// The key that has to be open.
    open_key: Option<String>,
    finishes: bool,
    expiry: Option<ExpiryRequest>,
}

impl<'a> StreamWriter<'a> {
    pub(super) fn new(
        process: &'a ProcessLink,
        link: &'a BackendLink,
        settlement: &'a Settlement,
        mistakes: Mistakes,
    ) -> Self {
        Self { process, link, settlement, mistakes, waiting: VecDeque::new(), is_open: true }
    }

    /// Sends messages until the store is closed.
    pub(super) async fn run(mut self) {
        loop {
            let connection = Connection::open(self.process).await;
            // No submit waits for the others any more.
            self.drop_unneeded();
            if self.send(&connection).await.is_ok() {
                return;
            }
        }
    }

    /// Drops what need not be sent again, and ephemeral messages that are too old.
    fn drop_unneeded(&mut self) {
        let is_ephemeral = |outgoing: &Outgoing| matches!(outgoing.kind(), OutgoingKind::Ephemeral);
        self.waiting.retain(|Waiting { outgoing, may_be_appended }| {
            outgoing.needs_sending() || !(*may_be_appended || is_ephemeral(outgoing))
        });
    }

    /// Sends messages until the connection is lost or the store is closed.
    async fn send(&mut self, connection: &Connection<'_>) -> Result<(), Fault> {
        loop {
            if self.waiting.is_empty() {
                if !self.is_open {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    fault = connection.lost() => return Err(fault),
                    () = take(self.link, &mut self.waiting, &mut self.is_open) => continue,
                }
            }
            match self.append(connection).await? {
                Answer::Taken(outcomes) => self.acknowledge(outcomes),
                Answer::Refused(reason) => {
                    self.refuse(&reason);
                    // Later messages are refused too, or wait behind what is kept.
                    tokio::select! {
                        biased;
                        fault = connection.lost() => return Err(fault),
                        () = self.process.accepting() => {}
                        () = take(self.link, &mut self.waiting, &mut self.is_open), if self.is_open => {}
                    }
                    self.drop_unneeded();
                }
            }
        }
    }

    /// Sends everything that waits, in one request.
    async fn append(&mut self, connection: &Connection<'_>) -> Result<Answer, Fault> {
        if self.mistakes.acknowledges_early() {
            return self.append_after_acknowledging(connection).await;
        }
        let requests: Vec<Request> = self.waiting.iter().map(|waiting| request(&waiting.outgoing)).collect();
        let answer = connection.call(self.reply_timeout(), |state| self.append_at(state, requests)).await;
        if answer.is_err() {
            self.waiting.iter_mut().for_each(|waiting| waiting.may_be_appended = true);
        }
        answer
    }

    /// Makes the mistake of acknowledging what the engine has yet to append.
    async fn append_after_acknowledging(&mut self, connection: &Connection<'_>) -> Result<Answer, Fault> {
        let requests: Vec<Request> = self.waiting.iter().map(|waiting| request(&waiting.outgoing)).collect();
        for waiting in self.waiting.drain(..) {
            waiting.outgoing.appended(Offset::new(self.process.engine.now(), waiting.may_be_appended.into()));
        }
        connection.call(self.reply_timeout(), |state| self.append_at(state, requests)).await
    }

    /// Appends messages at the engine, or some of them, or refuses them.
    fn append_at(&self, state: &mut State, mut requests: Vec<Request>) -> Result<Answer, Fault> {
        let link = &mut state.links[self.process.index];
        if let Some(reason) = &link.refusal {
            return Ok(Answer::Refused(reason.clone()));
        }
        let fault = link.take_append_fault();
        match fault {
            AppendFault::LoseRequest => return Err(Fault::Lost),
            AppendFault::Interrupt => requests.truncate(state.random.index(requests.len() + 1)),
            AppendFault::None | AppendFault::LoseReply | AppendFault::Duplicate => {}
        }
        let mut outcomes = self.append_all(state, requests.clone());
        if fault == AppendFault::Duplicate {
            let copies = self.append_all(state, requests);
            let replaces = state.random.below(2) == 0;
            for (outcome, copy) in outcomes.iter_mut().zip(copies) {
                // A key that the first of them has finished refuses its copy.
                if replaces && matches!((&*outcome, &copy), (Outcome::Appended(_), Outcome::Appended(_))) {
                    *outcome = copy;
                }
            }
        }
        match fault {
            AppendFault::None | AppendFault::Duplicate => Ok(Answer::Taken(outcomes)),
            AppendFault::LoseRequest | AppendFault::LoseReply | AppendFault::Interrupt => Err(Fault::Lost),
        }
    }

    fn append_all(&self, state: &mut State, requests: Vec<Request>) -> Vec<Outcome> {
        requests.into_iter().map(|request| self.append_one(state, request)).collect()
    }

    fn append_one(&self, state: &mut State, request: Request) -> Outcome {
        let Request { number, body, is_ephemeral, open_key, finishes, expiry } = request;
        let (now, channel) = (self.process.engine.now(), self.link.channel());
        let by = (self.link.sender_id().to_owned(), number);
        if let Some(finish) = open_key.as_ref().and_then(|key| state.stream(channel).finishes.get(key)) {
            return if finish.by == by {
                Outcome::AppendedBefore(finish.appended)
            } else {
                Outcome::Finished(finish.offset)
            };
        }
        if let (true, Body::Message { payload, .. }) = (is_ephemeral, &body) {
            return Outcome::Follows(state.stream(channel).append_ephemeral(now, by, payload.clone()));
        }
        let body = match (body, expiry) {
            (Body::Expire { slot, .. }, Some(request)) => match self.expire(state, &slot, request) {
                Some((value, payload)) => Body::Expire { slot, value, payload },
                None => return Outcome::Kept,
            },
            (body, _) => body,
        };
        let kept = self.mistakes.keeps_removed_snapshots().then(|| state.stream(channel).snapshots.clone());
        let outcome = Outcome::Appended(match (body, open_key) {
            (Body::Finish { key }, _) => state.finish(now, channel, key, by, None),
            (body, Some(key)) if finishes => {
                let message = state.append(now, channel, Some(by.clone()), body);
                state.finish(now, channel, key, by, Some(message))
            }
            (body, _) => state.append(now, channel, Some(by), body),
        });
        if let Some(kept) = kept {
            state.stream(channel).snapshots = kept;
        }
        outcome
    }

    /// Takes a value that has expired. Returns its offset and its payload.
    fn expire(&self, state: &mut State, slot: &str, request: ExpiryRequest) -> Option<(Offset, Vec<u8>)> {
        let stream = state.stream(self.link.channel());
        if self.mistakes.expires_the_renewed() {
            return stream.take_expired(slot, ExpiryRequest { ttl_ms: 0, ..request }, u64::MAX);
        }
        stream.take_expired(slot, request, self.process.engine.now())
    }

    fn acknowledge(&mut self, outcomes: Vec<Outcome>) {
        // More may wait than were sent: messages are taken while the engine refuses.
        for (waiting, outcome) in self.waiting.drain(..outcomes.len().min(self.waiting.len())).zip(outcomes) {
            let Waiting { outgoing, may_be_appended } = waiting;
            let is_finish = matches!(outgoing.kind(), OutgoingKind::Finish { .. });
            let offset = match outcome {
                Outcome::Appended(offset) => offset,
                Outcome::AppendedBefore(offset) | Outcome::Follows(offset) => {
                    outgoing.appended(offset);
                    continue;
                }
                Outcome::Finished(_) if may_be_appended && !is_finish => {
                    outgoing.failed(SendOutcome::Unknown);
                    continue;
                }
                Outcome::Finished(offset) => {
                    outgoing.finished(offset);
                    continue;
                }
                Outcome::Kept => {
                    outgoing.completed();
                    continue;
                }
            };
            if matches!(outgoing.kind(), OutgoingKind::Forget { .. }) {
                outgoing.completed();
                continue;
            }
            if !self.mistakes.overlooks_the_rollback() {
                self.settlement.record_acknowledged(offset);
            }
            outgoing.appended(offset);
        }
        // The reader looks for what was acknowledged.
        self.process.engine.change(|_| ());
    }

    /// Refuses the messages whose submits wait. The others are kept, in order.
    fn refuse(&mut self, reason: &str) {
        self.link.report_refused(reason);
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.outgoing.is_fire_and_forget() {
                if !self.mistakes.drops_the_refused() {
                    self.waiting.push_back(waiting);
                }
            } else if waiting.may_be_appended {
                waiting.outgoing.failed(SendOutcome::Unknown);
            } else {
                waiting.outgoing.refused(reason);
            }
        }
    }

    fn reply_timeout(&self) -> Duration {
        self.link.ack_timeout()
    }
}

/// Takes the next messages.
async fn take(link: &BackendLink, waiting: &mut VecDeque<Waiting>, is_open: &mut bool) {
    match link.next_outgoing(TAKEN_MESSAGES_MAX).await {
        Some(messages) => {
            waiting.extend(messages.into_iter().map(|outgoing| Waiting { outgoing, may_be_appended: false }));
        }
        None => *is_open = false,
    }
}

fn request(outgoing: &Outgoing) -> Request {
    let payload = outgoing.payload().to_vec();
    let open_key = match outgoing.kind() {
        OutgoingKind::Remove { .. } => None,
        _ => outgoing.open_key().map(str::to_owned),
    };
    let body = match outgoing.kind() {
        OutgoingKind::Queue | OutgoingKind::Ephemeral => {
            Body::Message { payload, slot: None, key: outgoing.key().map(str::to_owned) }
        }
        OutgoingKind::Latest { slot } => Body::Message { payload, slot: Some(slot.clone()), key: None },
        OutgoingKind::Forget { key } => Body::Forget { key: key.clone() },
        OutgoingKind::Finish { key } => Body::Finish { key: key.clone() },
        OutgoingKind::Remove { key } => Body::Remove { key: key.clone() },
        OutgoingKind::Expire { slot, .. } => Body::Expire { slot: slot.clone(), value: Offset::START, payload },
    };
    let expiry = match outgoing.kind() {
        OutgoingKind::Expire { through, ttl, missing, .. } => {
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            Some(ExpiryRequest { through: *through, ttl_ms, missing: *missing })
        }
        _ => None,
    };
    let is_ephemeral = matches!(outgoing.kind(), OutgoingKind::Ephemeral);
    Request { number: outgoing.number(), body, is_ephemeral, open_key, finishes: outgoing.finishes(), expiry }
}
