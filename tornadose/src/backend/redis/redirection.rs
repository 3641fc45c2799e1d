//! The redirections of a cluster, by which a node says that another one has the keys.

use redis::{ConnectionAddr, RedisError};

use crate::backend::redis::replies::Replies;

/// The reply of a node that does not have the keys of a command, or not all of them.
#[derive(Debug, PartialEq)]
pub(super) enum Redirection {
    /// This node holds the slot.
    Moved(ConnectionAddr),
    /// The keys have been moved to this node, and the rest of the slot has not.
    Ask(ConnectionAddr),
    /// Some of the keys have been moved, and the others follow.
    TryAgain,
}

impl Redirection {
    /// Reads an error of the node at an address.
    pub(super) fn of(error: &RedisError, asked: &ConnectionAddr) -> Option<Self> {
        match error.code()? {
            "MOVED" => Some(Self::Moved(parse_node(error.redirect_node()?.0, asked)?)),
            "ASK" => Some(Self::Ask(parse_node(error.redirect_node()?.0, asked)?)),
            "TRYAGAIN" => Some(Self::TryAgain),
            _ => None,
        }
    }

    /// Returns the redirection of several commands together: `MOVED` comes first, then `TRYAGAIN`, then `ASK`.
    pub(super) fn find(replies: &Replies, asked: &ConnectionAddr) -> Option<Self> {
        let urgency = |redirection: &Self| match redirection {
            Self::Moved(_) => 0,
            Self::TryAgain => 1,
            Self::Ask(_) => 2,
        };
        replies.errors().filter_map(|error| Self::of(error, asked)).min_by_key(urgency)
    }
}

/// Parses `host:port`. A node that does not know its own host leaves it out: it is the one that was asked.
fn parse_node(text: &str, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    let (host, port) = text.rsplit_once(':')?;
    Some(node_address(host, port.parse().ok()?, asked))
}

/// Returns the address of a node, as the node at another address has named it.
pub(super) fn node_address(host: &str, port: u16, asked: &ConnectionAddr) -> ConnectionAddr {
    let host = match (host, asked) {
        ("" | "?", ConnectionAddr::Tcp(host, _)) => host,
        (host, _) => host,
    };
    ConnectionAddr::Tcp(host.to_owned(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read_as_nodes_write_them() {
        let asked = ConnectionAddr::Tcp("here".into(), 1);
        let read = |text: &str| {
            let error = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap().extract_error();
            Redirection::of(&error.unwrap_err(), &asked)
        };
        let node = |host: &str| ConnectionAddr::Tcp(host.into(), 6381);
        for (text, redirection) in [
            ("MOVED 3999 127.0.0.1:6381", Some(Redirection::Moved(node("127.0.0.1")))),
            ("MOVED 3999 ::1:6381", Some(Redirection::Moved(node("::1")))),
            ("MOVED 3999 :6381", Some(Redirection::Moved(node("here")))),
            ("MOVED 3999 ?:6381", Some(Redirection::Moved(node("here")))),
            ("ASK 3999 node.example:6381", Some(Redirection::Ask(node("node.example")))),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Some(Redirection::TryAgain)),
            ("MOVED", None),
            ("MOVED 3999 host", None),
            ("ERR MOVED 3999 127.0.0.1:6381", None),
        ] {
            assert_eq!(read(text), redirection, "{text}");
        }
    }
}
