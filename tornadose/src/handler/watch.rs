//! Keys that the client of a WebSocket watches while it is connected: what it has asked for, and how far that is.
//! [`ws`](crate::handler::ws) receives the texts, and [`feed`](crate::handler::feed) writes what is kept of the keys.

pub(crate) mod watches;
pub(crate) mod watching;

use crate::handler::served::Served;
use crate::message::Message;
use crate::store::key_json::{key_text, wire_key};

/// Returns the JSON by which a key is written to clients: the value alone of a key with one field, unless the subscriber
/// does not read it so. `null` for a key that cannot be written, which no connection has.
pub(crate) fn key_json<M: Message>(subscriber: &dyn Served<M>, key: &M::Key) -> String {
    let Ok(text) = key_text(key) else { return "null".into() };
    let bare = wire_key(&text);
    // A parser that was written by hand may not read the value alone of a key with one field.
    let is_bare = bare == text || subscriber.parse_key(&bare).is_some_and(|read| read == *key);
    if is_bare { bare.into_owned() } else { text }
}
