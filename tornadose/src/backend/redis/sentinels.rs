//! The Sentinels that watch a master, and say which server it is.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{ConnectionAddr, Value};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::backend::redis::connect::{Connection, Connector};
use crate::backend::redis::fault::Fault;
use crate::backend::redis::login::Login;

/// How often the Sentinels are asked, and how long one may take.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Sentinels {
    connector: Connector,
    addresses: Vec<ConnectionAddr>,
    /// The name under which they know the master.
    service: String,
    connections: Mutex<Vec<Option<Connection>>>,
    /// The master, as they have named it last.
    master: watch::Sender<Option<ConnectionAddr>>,
}

/// The answer of one Sentinel.
#[derive(Debug, PartialEq)]
struct Answer {
    master: ConnectionAddr,
    /// The number of the failover that has made it the master.
    failover: u64,
}

impl Sentinels {
    pub(super) fn new(connector: Connector, addresses: Vec<ConnectionAddr>, service: String) -> Self {
        let connections = Mutex::new(addresses.iter().map(|_| None).collect());
        Self { connector, addresses, service, connections, master: watch::Sender::new(None) }
    }

    /// Returns the master, as the Sentinels have named it last.
    pub(super) async fn master(&self) -> Result<ConnectionAddr, Fault> {
        let known = self.master.borrow().clone();
        match known {
            Some(master) => Ok(master),
            None => self.ask().await,
        }
    }

    /// Returns whether the Sentinels have named another master than this one.
    pub(super) fn have_left(&self, master: &ConnectionAddr) -> bool {
        self.master.borrow().as_ref().is_some_and(|named| named != master)
    }

    /// Returns a receiver of the masters that are named from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Option<ConnectionAddr>> {
        self.master.subscribe()
    }

    /// Asks the Sentinels for ever.
    pub(super) async fn watch(&self, channel: &'static str) -> ! {
        let mut is_answered = true;
        loop {
            sleep(ASK_INTERVAL).await;
            match self.ask().await {
                Ok(_) => is_answered = true,
                Err(fault) => {
                    if std::mem::replace(&mut is_answered, false) {
                        tracing::warn!(target: "tornadose", channel, reason = %fault, "no sentinel answers");
                    }
                }
            }
        }
    }

    /// Asks all Sentinels. One that is cut off from the others may still name a master of before, so the newest
    /// failover counts.
    async fn ask(&self) -> Result<ConnectionAddr, Fault> {
        let mut connections = self.connections.lock().await;
        let asked = self.addresses.iter().zip(connections.iter_mut());
        let answers = join_all(asked.map(|(address, connection)| self.ask_one(address, connection))).await;
        let (mut newest, mut refusal): (Option<Answer>, Option<(&ConnectionAddr, Fault)>) = (None, None);
        for (answer, address) in answers.into_iter().zip(&self.addresses) {
            match answer {
                Ok(answer) if newest.as_ref().is_none_or(|newest| newest.failover < answer.failover) => {
                    newest = Some(answer);
                }
                // What a Sentinel has replied says more than that another one is away.
                Err(fault) if refusal.as_ref().is_none_or(|(_, first)| fault.is_reply() && !first.is_reply()) => {
                    refusal = Some((address, fault));
                }
                Ok(_) | Err(_) => {}
            }
        }
        if let Some(Answer { master, .. }) = newest {
            self.master.send_if_modified(|known| known.replace(master.clone()).as_ref() != Some(&master));
            return Ok(master);
        }
        Err(match refusal {
            Some((address, fault)) => Fault::Protocol(format!("the Sentinel at {address}: {fault}")),
            None => Fault::Protocol("the URL names no Sentinel".into()),
        })
    }

    async fn ask_one(&self, address: &ConnectionAddr, connection: &mut Option<Connection>) -> Result<Answer, Fault> {
        let answer = timeout(ASK_TIMEOUT, self.query(address, connection)).await.unwrap_or(Err(Fault::Timeout));
        if answer.is_err() {
            *connection = None;
        }
        answer
    }

    async fn query(&self, address: &ConnectionAddr, connection: &mut Option<Connection>) -> Result<Answer, Fault> {
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
}
