//! The nodes of a cluster, and which of them is the master of a slot.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{ConnectionAddr, Value};
use tokio::time::timeout;

use crate::backend::redis::connect::Connector;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::login::Login;
use crate::backend::redis::redirection::node_address;

/// How many nodes are remembered beside those of the URL.
const LEARNED_MAX: usize = 16;

/// How long a node may take to reply. All are asked at once.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// The server of a URL, or the nodes of the cluster that it belongs to.
pub(super) struct Nodes {
    /// The addresses of the URL.
    seeds: Vec<ConnectionAddr>,
    known: Mutex<KnownNodes>,
}

struct KnownNodes {
    /// Whether the seeds are nodes of a cluster; `None` until one was asked.
    is_cluster: Option<bool>,
    /// Other nodes: those of the slot first, and then other masters.
    learned: Vec<ConnectionAddr>,
    /// Which node is tried next when none may be asked.
    next: usize,
}

/// The nodes of a slot, as one node knows them.
#[derive(Debug, PartialEq)]
struct Slot {
    master: Option<ConnectionAddr>,
    /// Those of the slot, then the other masters.
    nodes: Vec<ConnectionAddr>,
}

impl Nodes {
    /// Creates the nodes of a URL with one server, which may be in a cluster.
    pub(super) fn of_server(address: ConnectionAddr) -> Self {
        Self::new(vec![address], None)
    }

    /// Creates the nodes of a URL of a cluster.
    pub(super) fn of_cluster(addresses: Vec<ConnectionAddr>) -> Self {
        Self::new(addresses, Some(true))
    }

    fn new(seeds: Vec<ConnectionAddr>, is_cluster: Option<bool>) -> Self {
        Self { seeds, known: Mutex::new(KnownNodes { is_cluster, learned: Vec::new(), next: 0 }) }
    }

    fn known(&self) -> MutexGuard<'_, KnownNodes> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether they are nodes of a cluster, if that is known.
    pub(super) fn is_cluster(&self) -> Option<bool> {
        self.known().is_cluster
    }

    /// Records that the server of the URL is in no cluster.
    pub(super) fn record_single(&self) {
        self.known().is_cluster = Some(false);
    }

    /// Records that the server is in a cluster, and that this is a node of it.
    pub(super) fn add(&self, node: &ConnectionAddr) {
        let mut known = self.known();
        known.is_cluster = Some(true);
        self.learn(&mut known, [node.clone()]);
    }

    /// Puts nodes before those that were learned earlier.
    fn learn(
        &self,
        known: &mut KnownNodes,
        nodes: impl IntoIterator<Item = ConnectionAddr, IntoIter: DoubleEndedIterator>,
    ) {
        for node in nodes.into_iter().rev() {
            known.learned.retain(|other| *other != node);
            if !self.seeds.contains(&node) {
                known.learned.insert(0, node);
            }
        }
        known.learned.truncate(LEARNED_MAX);
    }

    /// Returns the master of a key's slot, or the server of the URL if there is no cluster.
    pub(super) async fn find_master(&self, connector: &Connector, key: &str) -> Result<ConnectionAddr, Fault> {
        let nodes: Vec<ConnectionAddr> = match &*self.known() {
            known if known.is_cluster == Some(true) => self.seeds.iter().chain(&known.learned).cloned().collect(),
            _ => self.seeds.clone(),
        };
        if self.is_cluster() != Some(true) {
            return nodes.into_iter().next().ok_or_else(|| Fault::Protocol("the URL names no server".into()));
        }
        let answers = join_all(nodes.iter().map(|node| ask(connector, node, key))).await;
        self.evaluate(&nodes, answers, key)
    }

    /// Learns from the answers of nodes, and returns the master that most of them name.
    fn evaluate(
        &self,
        nodes: &[ConnectionAddr],
        answers: Vec<Result<Slot, Fault>>,
        key: &str,
    ) -> Result<ConnectionAddr, Fault> {
        let mut masters: Vec<(ConnectionAddr, usize)> = Vec::new();
        let (mut learned, mut silent, mut forbidden) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_fault = None;
        let mut is_answered = false;
        for (answer, node) in answers.into_iter().zip(nodes) {
            match answer {
                Ok(Slot { master, nodes }) => {
                    is_answered = true;
                    learned.extend(nodes);
                    let Some(master) = master else { continue };
                    match masters.iter_mut().find(|(named, _)| *named == master) {
                        Some((_, votes)) => *votes += 1,
                        None => masters.push((master, 1)),
                    }
                }
                Err(fault) => {
                    if fault.is_missing_permission() {
                        forbidden.push(node.clone());
                    } else if !fault.is_reply() {
                        silent.push(node);
                    }
                    first_fault.get_or_insert((node, fault));
                }
            }
        }
        if is_answered {
            let mut known = self.known();
            known.learned.retain(|node| !silent.contains(&node));
            self.learn(&mut known, learned);
        }
        // A node that is cut off from the others may still name a master of before, so most votes win; among equals the
        // node that was asked first.
        let most = masters.iter().map(|(_, votes)| *votes).max();
        if let Some((master, _)) = masters.into_iter().find(|(_, votes)| Some(*votes) == most) {
            return Ok(master);
        }
        if is_answered {
            return Err(Fault::Protocol(format!("no node of the cluster holds the slot of `{key}`")));
        }
        if !forbidden.is_empty() {
            // The replies to commands lead to the master.
            let mut known = self.known();
            known.next = (known.next + 1) % forbidden.len();
            return Ok(forbidden.swap_remove(known.next));
        }
        Err(match first_fault {
            Some((_, fault @ Fault::Redis(_))) if nodes.len() == 1 => fault,
            Some((node, fault)) => Fault::Protocol(format!("the node at {node}: {fault}")),
            None => Fault::Protocol("the URL names no node".into()),
        })
    }
}

/// Asks a node who holds the slot of a key.
async fn ask(connector: &Connector, node: &ConnectionAddr, key: &str) -> Result<Slot, Fault> {
    let asking = async {
        let connection = connector.connect(node, Login::default()).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(key).cmd("CLUSTER").arg("SLOTS");
        let mut replies = connection.query(&pipeline, ASK_TIMEOUT).await?;
        let (number, slots) = (replies.next_reply()?, replies.next_reply()?);
        parse_slot(&number, &slots, node).ok_or_else(|| Fault::Protocol("an unexpected reply to CLUSTER SLOTS".into()))
    };
    timeout(ASK_TIMEOUT, asking).await.unwrap_or(Err(Fault::Timeout))
}

/// Parses the reply to `CLUSTER SLOTS`: ranges of slots, each with its master and its replicas.
fn parse_slot(number: &Value, slots: &Value, asked: &ConnectionAddr) -> Option<Slot> {
    let (Value::Int(number), Value::Array(ranges)) = (number, slots) else { return None };
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &range[..] else { return None };
        let nodes: Vec<ConnectionAddr> = nodes.iter().filter_map(|node| parse_node(node, asked)).collect();
        if (first..=last).contains(&number) {
            own = nodes;
        } else {
            others.extend(nodes.into_iter().next());
        }
    }
    let master = own.first().cloned();
    own.extend(others);
    Some(Slot { master, nodes: own })
}

fn parse_node(node: &Value, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    let Value::Array(fields) = node else { return None };
    let host = match fields.first()? {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        // The node does not know its host.
        _ => "",
    };
    let Value::Int(port) = fields.get(1)? else { return None };
    Some(node_address(host, u16::try_from(*port).ok()?, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> ConnectionAddr {
        ConnectionAddr::Tcp(host.into(), port)
    }

    #[test]
    fn the_master_of_a_slot_is_named_first_in_its_range() {
        let slots = redis::parse_redis_value(
            "*2|*4|:0|:99|*2|$1|a|:1|*2|$1|b|:2|*3|:100|:200|*3|$-1|:3|$2|id|".replace('|', "\r\n").as_bytes(),
        );
        let slots = slots.unwrap();
        let parse = |number| parse_slot(&Value::Int(number), &slots, &node("here", 9)).unwrap();
        let nodes = vec![node("a", 1), node("b", 2), node("here", 3)];
        assert_eq!(parse(99), Slot { master: Some(node("a", 1)), nodes });
        assert_eq!(parse(100).master, Some(node("here", 3)));
        assert_eq!(parse(201), Slot { master: None, nodes: vec![node("a", 1), node("here", 3)] });
        assert_eq!(parse_slot(&Value::Int(1), &Value::Nil, &node("here", 9)), None);
    }

    #[test]
    fn nodes_are_remembered_up_to_a_bound_and_those_of_the_url_always() {
        let nodes = Nodes::of_server(node("seed", 1));
        assert_eq!(nodes.is_cluster(), None);
        for port in 0..100 {
            nodes.add(&node("a", port));
            nodes.add(&node("seed", 1));
        }
        assert_eq!(nodes.is_cluster(), Some(true));
        let learned = &nodes.known().learned;
        assert_eq!((learned.len(), learned.first()), (LEARNED_MAX, Some(&node("a", 99))));
        assert!(!learned.contains(&node("seed", 1)));
    }

    #[test]
    fn most_votes_win_and_silent_nodes_are_forgotten() {
        let nodes = Nodes::of_cluster(vec![node("seed", 1)]);
        for port in [2, 3, 4] {
            nodes.add(&node("a", port));
        }
        let asked = [node("seed", 1), node("a", 2), node("a", 3), node("a", 4)];
        let names = |port| Ok(Slot { master: Some(node("a", port)), nodes: vec![node("a", port)] });
        let evaluate = |answers| nodes.evaluate(&asked, answers, "key").map_err(|fault| fault.to_string());
        assert_eq!(evaluate(vec![names(2), names(3), names(3), Err(Fault::Timeout)]), Ok(node("a", 3)));
        assert!(!nodes.known().learned.contains(&node("a", 4)));
        assert_eq!(evaluate(vec![names(2), names(3)]), Ok(node("a", 2)), "the first among equals");
        let none = Ok(Slot { master: None, nodes: Vec::new() });
        assert_eq!(evaluate(vec![none]), Err("no node of the cluster holds the slot of `key`".into()));
        assert_eq!(evaluate(vec![Err(Fault::Timeout)]), Err("the node at seed:1: no reply in time".into()));
        assert!(nodes.known().learned.contains(&node("a", 3)), "when none replies, all are kept");

        let forbidden = || {
            let error = redis::parse_redis_value(b"-NOPERM no cluster\r\n").unwrap().extract_error();
            Err(Fault::Redis(error.unwrap_err()))
        };
        let tried: Vec<_> = (0..4)
            .map(|_| evaluate(vec![Err(Fault::Timeout), forbidden(), forbidden()]).unwrap().to_string())
            .collect();
        assert_eq!(tried, ["a:3", "a:2", "a:3", "a:2"]);
    }
}
