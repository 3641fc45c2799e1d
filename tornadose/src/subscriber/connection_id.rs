//! The identity of a connection, which no client chooses.

use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The identity of one connection: a UUID (RFC 9562 §5.8) that the server makes, and no client can choose or guess.
///
/// A field of a subscriber with [`#[connection]`](macro@crate::subscriber#fields) has one. It is unique over all
/// processes, so that it may be part of a key, or name what is kept of one connection.
///
/// With serde an id is its text. Ids of one process are ordered as they were made.
///
/// ```
/// use tornadose::ConnectionId;
///
/// let (first, second) = (ConnectionId::fresh(), ConnectionId::fresh());
/// assert!(first < second);
/// assert_eq!(first.to_string().parse(), Ok(first));
/// assert_eq!(serde_json::to_string(&first).unwrap(), format!("\"{first}\""));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u128);

/// The bits of the version and of the variant of a UUID.
const FIXED_BITS: u128 = (0xF << 76) | (0b11 << 62);

/// Version 8, whose other bits have a meaning of the program's own, and the variant of the RFC.
const VERSION_AND_VARIANT: u128 = (0x8 << 76) | (0b10 << 62);

impl ConnectionId {
    /// Returns an id that no other call returns, in this process or another.
    ///
    /// The first 48 bits count, which gives the ids of a process their order. The other 74 are a keyed hash of the
    /// number, by a key of this process that is random as that of every `HashMap`. So an id tells nothing of the next.
    ///
    /// ```
    /// use tornadose::ConnectionId;
    ///
    /// assert_ne!(ConnectionId::fresh(), ConnectionId::fresh());
    /// ```
    pub fn fresh() -> Self {
        static KEY: OnceLock<[RandomState; 2]> = OnceLock::new();
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let [low, high] = KEY.get_or_init(Default::default).each_ref().map(|key| u128::from(key.hash_one(number)));
        Self::of_parts(number, high << 64 | low)
    }

    fn of_parts(number: u64, hash: u128) -> Self {
        let (counted, hashed) = (u128::from(number) << 80, hash & ((1 << 80) - 1));
        Self((counted | hashed) & !FIXED_BITS | VERSION_AND_VARIANT)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        let (first, second, third, fourth, last) =
            (part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48));
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ConnectionId {
    type Err = ConnectionIdError;

    /// Parses the text that `Display` writes, and no other.
    fn from_str(text: &str) -> Result<Self, ConnectionIdError> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let digits: String = text.chars().filter(|c| is_hex(*c)).collect();
        let id = u128::from_str_radix(&digits, 16).map(Self).map_err(|_| ConnectionIdError(()))?;
        let is_own = id.0 & FIXED_BITS == VERSION_AND_VARIANT;
        if is_own && id.to_string() == text { Ok(id) } else { Err(ConnectionIdError(())) }
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ConnectionIdVisitor)
    }
}

struct ConnectionIdVisitor;

impl Visitor<'_> for ConnectionIdVisitor {
    type Value = ConnectionId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a connection, a UUID of version 8")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConnectionId, E> {
        text.parse().map_err(E::custom)
    }
}

/// The text is not the id of a connection.
///
/// ```
/// use tornadose::ConnectionId;
///
/// let error = "mine".parse::<ConnectionId>().unwrap_err();
/// assert_eq!(error.to_string(), "not the id of a connection: expected a UUID of version 8 in lower case");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionIdError(());

impl fmt::Display for ConnectionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the id of a connection: expected a UUID of version 8 in lower case")
    }
}

impl Error for ConnectionIdError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ConnectionId;

    #[test]
    fn an_id_is_a_uuid_and_parses_only_the_text_that_it_writes() {
        let id = ConnectionId::of_parts(0x0123_4567_89ab, u128::MAX);
        assert_eq!(id.to_string(), "01234567-89ab-8fff-bfff-ffffffffffff");
        assert_eq!(ConnectionId::of_parts(1, 0).to_string(), "00000000-0001-8000-8000-000000000000");
        for id in [id, ConnectionId::of_parts(0, 0), ConnectionId::fresh()] {
            assert_eq!(id.to_string().parse(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ConnectionId>(&json).unwrap(), id);
        }
        for text in [
            "",
            "01234567-89ab-8fff-bfff-fffffffffff",
            "01234567-89ab-8fff-bfff-fffffffffffff",
            "01234567-89AB-8fff-bfff-ffffffffffff",
            "0123456789ab8fffbfffffffffffffff",
            "01234567-89ab-4fff-bfff-ffffffffffff",
            "01234567-89ab-8fff-ffff-ffffffffffff",
            " 01234567-89ab-8fff-bfff-ffffffffffff",
        ] {
            assert!(text.parse::<ConnectionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_ordered_as_they_were_made_and_differ_in_what_is_not_counted() {
        let ids: Vec<ConnectionId> = (0..1000).map(|_| ConnectionId::fresh()).collect();
        assert!(ids.is_sorted());
        let hashed: BTreeSet<u128> = ids.iter().map(|id| id.0 & ((1 << 76) - 1)).collect();
        assert_eq!(hashed.len(), 1000);
    }
}
