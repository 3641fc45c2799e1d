//! The Sentinels that watch a master, and say which server it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{ConnectionAddr, Value};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::backend::redis::connect::{Connection, Connector};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::login::Login;

/// How often each Sentinel is asked, and how long it may take.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Sentinels {
    connector: Connector,
    addresses: Vec<ConnectionAddr>,
    /// The name under which they know the master.
    service: String,
    /// The answer of each Sentinel, if it has replied when it was asked last.
    answers: Mutex<Vec<Option<Answer>>>,
    /// The answer that counts.
    master: watch::Sender<Option<Answer>>,
}

/// The answer of a Sentinel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) master: ConnectionAddr,
    /// The number of the failover that has made it the master.
    failover: u64,
}

impl Sentinels {
    pub(super) fn new(connector: Connector, addresses: Vec<ConnectionAddr>, service: String) -> Self {
        let answers = Mutex::new(vec![None; addresses.len()]);
        Self { connector, addresses, service, answers, master: watch::Sender::new(None) }
    }

    /// Returns the master, as the Sentinels have named it last. They are asked if they were not yet.
    pub(super) async fn master(&self) -> Result<ConnectionAddr, Fault> {
        if let Some(known) = &*self.master.borrow() {
            return Ok(known.master.clone());
        }
        let asked = self.addresses.iter().map(|address| async move {
            let answer = timeout(ASK_TIMEOUT, self.ask(address, &mut None)).await.unwrap_or(Err(Fault::Timeout));
            (address, answer)
        });
        let mut refusal: Option<(&ConnectionAddr, Fault)> = None;
        for (index, (address, answer)) in join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(answer) => self.record(index, Some(answer)),
                // The reply of a Sentinel says more than that another one is away.
                Err(fault) if refusal.as_ref().is_none_or(|(_, first)| fault.is_reply() && !first.is_reply()) => {
                    refusal = Some((address, fault));
                }
                Err(_) => {}
            }
        }
        match (&*self.master.borrow(), refusal) {
            (Some(known), _) => Ok(known.master.clone()),
            (None, Some((address, fault))) => Err(Fault::Protocol(format!("the Sentinel at {address}: {fault}"))),
            (None, None) => Err(Fault::Protocol("the URL names no Sentinel".into())),
        }
    }

    /// Returns a receiver of the answers that count.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Answer>> {
        self.master.subscribe()
    }

    /// Asks the Sentinels for ever, each by itself: one whose host is down does not delay the others.
    pub(super) async fn watch(&self, channel: &'static str) -> ! {
        join_all((0..self.addresses.len()).map(|index| self.watch_one(index, channel))).await;
        std::future::pending().await
    }

    async fn watch_one(&self, index: usize, channel: &'static str) {
        let mut connection = None;
        loop {
            sleep(ASK_INTERVAL).await;
            let asking = timeout(ASK_TIMEOUT, self.ask(&self.addresses[index], &mut connection));
            match asking.await.unwrap_or(Err(Fault::Timeout)) {
                Ok(answer) => {
                    if self.are_silent() {
                        tracing::info!(target: "tornadose", channel, "master found");
                    }
                    self.record(index, Some(answer));
                }
                Err(fault) => {
                    connection = None;
                    let was_last = !self.are_silent();
                    self.record(index, None);
                    if was_last && self.are_silent() {
                        tracing::warn!(target: "tornadose", channel, reason = %fault, "master not found");
                    }
                }
            }
        }
    }

    /// Records the answer of a Sentinel, and decides which master counts: the one of the newest failover. One Sentinel
    /// that is cut off from the others may still name a master of before. An older failover counts only if most
    /// Sentinels name it, because they were reset or replaced.
    fn record(&self, index: usize, answer: Option<Answer>) {
        let mut answers = self.answers();
        answers[index] = answer;
        let Some(newest) = answers.iter().flatten().max_by_key(|answer| answer.failover).cloned() else { return };
        let votes = answers.iter().flatten().filter(|answer| answer.master == newest.master).count();
        let is_majority = 2 * votes > answers.len();
        drop(answers);
        self.master.send_if_modified(|known| {
            let counts = known.as_ref().is_none_or(|known| newest.failover >= known.failover || is_majority);
            counts && known.replace(newest.clone()).as_ref() != Some(&newest)
        });
    }

    /// Returns whether no Sentinel has replied when it was asked last.
    fn are_silent(&self) -> bool {
        self.answers().iter().all(Option::is_none)
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Option<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, address: &ConnectionAddr, connection: &mut Option<Connection>) -> Result<Answer, Fault> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connector.connect(address, Login::default()).await?),
        };
        let mut pipeline = redis::pipe();
        // The address changes with the failover, and the state when the replicas have followed.
        pipeline.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        pipeline.cmd("SENTINEL").arg("MASTER").arg(&self.service);
        let mut replies = connection.query(&pipeline, ASK_TIMEOUT).await?;
        let (address, state) = (replies.next_reply()?, replies.next_reply()?);
        parse_answer(&address, &state).ok_or_else(|| Fault::Protocol("an unexpected reply to SENTINEL".into()))
    }
}

fn parse_answer(address: &Value, state: &Value) -> Option<Answer> {
    let [host, port] = texts(address)?[..] else { return None };
    let state = texts(state)?;
    let failover = state.chunks_exact(2).find(|field| field[0] == "config-epoch")?[1];
    let master = ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?);
    Some(Answer { master, failover: failover.parse().ok()? })
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    let Value::Array(values) = value else { return None };
    values.iter().map(text).collect()
}

fn text(value: &Value) -> Option<&str> {
    let Value::BulkString(bytes) = value else { return None };
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_address_and_the_number_of_the_failover() {
        let value = |text: &str| redis::parse_redis_value(text.replace('|', "\r\n").as_bytes()).unwrap();
        let state = value("*4|$4|name|$1|m|$12|config-epoch|$1|7|");
        let master = ConnectionAddr::Tcp("10.0.0.1".into(), 6379);
        let answer = parse_answer(&value("*2|$8|10.0.0.1|$4|6379|"), &state);
        assert_eq!(answer, Some(Answer { master, failover: 7 }));
        assert_eq!(parse_answer(&Value::Nil, &state), None);
        assert_eq!(parse_answer(&value("*1|$8|10.0.0.1|"), &state), None);
        assert_eq!(parse_answer(&value("*2|$8|10.0.0.1|$4|6379|"), &Value::Nil), None);
    }

    #[test]
    fn the_newest_failover_counts_and_an_older_one_only_by_a_majority() {
        let address = |host: &str| ConnectionAddr::Tcp(host.into(), 6379);
        let settings = redis::RedisConnectionInfo::default();
        #[cfg(feature = "redis-tls")]
        let connector = Connector::new(settings, None);
        #[cfg(not(feature = "redis-tls"))]
        let connector = Connector::new(settings);
        let sentinels = Sentinels::new(connector, vec![address("a"), address("b"), address("c")], "m".into());
        let record = |index, answer: Option<(&str, u64)>| {
            let answer = answer.map(|(host, failover)| Answer { master: address(host), failover });
            sentinels.record(index, answer);
            sentinels.master.borrow().as_ref().map(|known| known.master.to_string())
        };
        assert_eq!(record(0, None), None);
        assert_eq!(record(0, Some(("one", 3))).as_deref(), Some("one:6379"));
        assert_eq!(record(1, Some(("two", 4))).as_deref(), Some("two:6379"));
        // The one that knows of the failover is silent, and the other still does not.
        assert_eq!(record(1, None).as_deref(), Some("two:6379"));
        assert!(!sentinels.are_silent());
        // Most Sentinels were set up again.
        assert_eq!(record(2, Some(("one", 0))).as_deref(), Some("one:6379"));
    }
}
