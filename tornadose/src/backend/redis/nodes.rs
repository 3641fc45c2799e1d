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

/// How many nodes are remembered and asked at once, and how long one may take.
const NODES_MAX: usize = 16;
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// The server of a URL, or the nodes of the cluster that it belongs to.
pub(super) struct Nodes {
    /// The addresses of the URL.
    seeds: Vec<ConnectionAddr>,
    known: Mutex<KnownNodes>,
}

struct KnownNodes {
    is_cluster: bool,
    /// Those that have answered and those of the slot, after the seeds.
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
    /// Takes the address of a server that may be a node of a cluster.
    pub(super) fn of_server(address: ConnectionAddr) -> Self {
        Self::new(vec![address], false)
    }

    /// Takes the addresses of nodes.
    pub(super) fn of_cluster(addresses: Vec<ConnectionAddr>) -> Self {
        Self::new(addresses, true)
    }

    fn new(seeds: Vec<ConnectionAddr>, is_cluster: bool) -> Self {
        Self { seeds, known: Mutex::new(KnownNodes { is_cluster, learned: Vec::new(), next: 0 }) }
    }

    fn known(&self) -> MutexGuard<'_, KnownNodes> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.known().is_cluster
    }

    /// Records that the server is a node of a cluster, and that this is another one.
    pub(super) fn add(&self, node: &ConnectionAddr) {
        let mut known = self.known();
        known.is_cluster = true;
        self.learn(&mut known, [node.clone()]);
    }

    fn learn(&self, known: &mut KnownNodes, nodes: impl IntoIterator<Item = ConnectionAddr>) {
        for node in nodes {
            known.learned.retain(|other| *other != node);
            if !self.seeds.contains(&node) {
                known.learned.insert(0, node);
            }
        }
        known.learned.truncate(NODES_MAX);
    }

    /// Returns the master of a key's slot, or the server of the URL if there is no cluster.
    pub(super) async fn find_master(&self, connector: &Connector, key: &str) -> Result<ConnectionAddr, Fault> {
        let nodes: Vec<ConnectionAddr> = {
            let known = self.known();
            let nodes = known.learned.iter().chain(&self.seeds).take(NODES_MAX).cloned().collect();
            if !known.is_cluster {
                return self.seeds.first().cloned().ok_or_else(|| Fault::Protocol("the URL names no server".into()));
            }
            nodes
        };
        let answers = join_all(nodes.iter().map(|node| ask(connector, node, key))).await;
        let (mut masters, mut first_fault, mut is_answered): (Vec<(ConnectionAddr, usize)>, _, _) =
            (Vec::new(), None, false);
        for (answer, node) in answers.into_iter().zip(&nodes) {
            match answer {
                Ok(slot) => {
                    is_answered = true;
                    self.learn(&mut self.known(), slot.nodes.into_iter().rev());
                    let Some(master) = slot.master else { continue };
                    match masters.iter_mut().find(|(named, _)| *named == master) {
                        Some((_, votes)) => *votes += 1,
                        None => masters.push((master, 1)),
                    }
                }
                Err(fault) => drop(first_fault.get_or_insert((node, fault))),
            }
        }
        // A node that is cut off from the others may still name a master of before.
        masters.reverse();
        match (masters.into_iter().max_by_key(|(_, votes)| *votes), first_fault) {
            (Some((master, _)), _) => Ok(master),
            (None, _) if is_answered => {
                Err(Fault::Protocol(format!("no node of the cluster holds the slot of `{key}`")))
            }
            // Where nodes may not be asked, the replies to commands lead to the master.
            (None, Some((_, fault))) if fault.is_missing_permission() => Ok(self.next_node(&nodes)),
            (None, Some((node, fault))) => Err(match fault {
                fault @ Fault::Redis(_) if nodes.len() == 1 => fault,
                fault => Fault::Protocol(format!("the node at {node}: {fault}")),
            }),
            (None, None) => Err(Fault::Protocol("the URL names no node".into())),
        }
    }

    fn next_node(&self, nodes: &[ConnectionAddr]) -> ConnectionAddr {
        let mut known = self.known();
        known.next = (known.next + 1) % nodes.len();
        nodes[known.next].clone()
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
    fn nodes_are_remembered_up_to_a_bound_and_the_newest_first() {
        let nodes = Nodes::of_server(node("seed", 1));
        assert!(!nodes.is_cluster());
        for port in 0..100 {
            nodes.add(&node("a", port));
            nodes.add(&node("seed", 1));
        }
        assert!(nodes.is_cluster());
        let learned = &nodes.known().learned;
        assert_eq!((learned.len(), learned.first()), (NODES_MAX, Some(&node("a", 99))));
        assert!(!learned.contains(&node("seed", 1)));
    }
}
