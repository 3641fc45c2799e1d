//! The texts by which a client watches keys, and watches them no more.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::handler::connection::io::SocketIo;
use crate::handler::feed::Feed;
use crate::handler::served::Served;
use crate::handler::watch::key_json;
use crate::handler::watch::watches::{NamedKey, Request, WatchRequest};
use crate::handler::ws::end::SessionEnd;
use crate::handler::ws::hook;
use crate::handler::ws::session::WsSession;
use crate::handler::ws::timers::WsTimers;
use crate::message::Message;
use crate::metrics;
use crate::store::key_json::key_text;
use crate::store::reader::resume::{PendingResume, Resume};
use crate::wire::ws;
use crate::wire::ws::decoder::Decoder;

impl<M: Message> WsSession<M> {
    /// Asks the hook about the keys of this JSON, and begins to watch those that it allows. What was kept of them follows
    /// what is being written.
    pub(super) async fn watch(
        &mut self,
        keys: &str,
        since: Option<&str>,
        io: &mut SocketIo<Decoder>,
    ) -> Result<(), SessionEnd> {
        let Self { subscriber, store, feed, timers, .. } = self;
        let Some(watches) = subscriber.watches_mut() else { return Ok(()) };
        let (max_keys, replay) = (watches.max_keys, watches.replay);
        let max_key = store.shared().limits.max_key;
        let Some(since) = read_since(since) else {
            ws::error(io.control_bytes(), None, "`since` must be an id");
            return Ok(());
        };
        let Some(texts) = read_list("`tornadose:watch`", keys, max_keys, io.control_bytes()) else { return Ok(()) };
        let read = read_keys(&**subscriber, &texts, max_key, feed, timers, io).await?;
        let (mut seen, mut allowed, mut confirmed) = (HashSet::new(), Vec::new(), Vec::new());
        let refuse = |io: &mut SocketIo<Decoder>, key: &str, reason: &str| {
            metrics::watched("refused", 1);
            ws::watch::refused(io.control_bytes(), key, reason);
        };
        for (text, read) in texts.into_iter().zip(read) {
            let named = match read {
                Ok(named) => named,
                Err(reason) => {
                    refuse(io, text.get(), &reason);
                    continue;
                }
            };
            if !seen.insert(named.key.clone()) {
                continue;
            }
            if feed.reader().index_of_key(&named.key).is_some() {
                confirmed.push(named.json);
                continue;
            }
            if let Some(watches) = subscriber.watches_mut() {
                watches.withdraw(&named);
                let others = feed.reader().key_count().unwrap_or(0) + watches.waiting_keys();
                if others + allowed.len() >= max_keys {
                    refuse(io, &named.json, &too_many(max_keys));
                    continue;
                }
            }
            match hook::run(subscriber.watch(&named.key, store), feed, timers, io).await? {
                Some(Ok(())) => {
                    confirmed.push(Arc::clone(&named.json));
                    allowed.push(named);
                }
                Some(Err(reason)) => refuse(io, &named.json, &reason),
                None => return Ok(()),
            }
        }
        metrics::watched("allowed", allowed.len());
        let since = PendingResume::new(since, replay);
        if let Some(watches) = subscriber.watches_mut() {
            watches.set_request(Request::Watch(WatchRequest { keys: allowed, named: confirmed, since }));
            feed.begin_request();
        }
        Ok(())
    }

    /// Watches the keys of this JSON no more.
    pub(super) async fn unwatch(&mut self, keys: &str, io: &mut SocketIo<Decoder>) -> Result<(), SessionEnd> {
        let Self { subscriber, store, feed, timers, .. } = self;
        let Some(watches) = subscriber.watches_mut() else { return Ok(()) };
        let (max_keys, keys_from_fields) = (watches.max_keys, watches.keys_from_fields);
        let max_key = store.shared().limits.max_key;
        let texts = read_list("`tornadose:unwatch`", keys, max_keys, io.control_bytes());
        let Some(texts) = texts else { return Ok(()) };
        let read = read_keys(&**subscriber, &texts, max_key, feed, timers, io).await?;
        let (mut seen, mut unwatched) = (HashSet::new(), Vec::new());
        for (text, read) in texts.into_iter().zip(read) {
            match read {
                Err(reason) => ws::watch::refused(io.control_bytes(), text.get(), &reason),
                Ok(named) if feed.reader().index_of_key(&named.key).is_some_and(|at| at < keys_from_fields) => {
                    let reason = "the connection has this key from its request, so it cannot be unwatched";
                    ws::watch::refused(io.control_bytes(), &named.json, reason);
                }
                Ok(named) if seen.insert(named.key.clone()) => unwatched.push(named),
                Ok(_) => {}
            }
        }
        if let Some(watches) = subscriber.watches_mut() {
            watches.set_request(Request::Unwatch(unwatched));
            feed.begin_request();
        }
        Ok(())
    }
}

/// Reads the id since which a client has nothing of the keys. `None`: it is not a text.
fn read_since(json: Option<&str>) -> Option<Resume> {
    let id: Option<String> = json.map_or(Some(None), |json| serde_json::from_str(json).ok())?;
    Some(id.filter(|id| !id.is_empty()).map_or(Resume::New, |id| Resume::after_text(&id)))
}

/// Reads the list of a text. A list that is malformed or too long is refused.
fn read_list<'json>(
    member: &str,
    json: &'json str,
    max_keys: usize,
    bytes: &mut BytesMut,
) -> Option<Vec<&'json RawValue>> {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(keys) if keys.len() <= max_keys => return Some(keys),
        Ok(_) => ws::error(bytes, None, &too_many(max_keys)),
        Err(_) => ws::error(bytes, None, &format!("{member} must be a list of keys")),
    }
    None
}

fn too_many(max_keys: usize) -> String {
    format!("at most {max_keys} keys are allowed")
}

/// Reads keys. A panic of how they are read ends the connection, as that of a hook does.
async fn read_keys<M: Message>(
    subscriber: &dyn Served<M>,
    texts: &[&RawValue],
    max_key: usize,
    feed: &mut Feed<M>,
    timers: &mut WsTimers,
    io: &mut SocketIo<Decoder>,
) -> Result<Vec<Result<NamedKey<M>, String>>, SessionEnd> {
    let read = async { texts.iter().map(|text| read_key(subscriber, text, max_key)).collect::<Vec<_>>() };
    // It is ready at once.
    Ok(hook::run(read, feed, timers, io).await?.unwrap_or_default())
}

/// Reads a key. The error is the reason to tell the client.
fn read_key<M: Message>(subscriber: &dyn Served<M>, json: &RawValue, max_key: usize) -> Result<NamedKey<M>, String> {
    let key = subscriber.parse_key(json.get()).ok_or("this is not a key of these messages")?;
    let text = key_text(&key).map_err(|_| "the key cannot be written as JSON")?;
    if text.len() > max_key {
        return Err(format!("the key takes {} bytes of JSON: at most {max_key} are allowed", text.len()));
    }
    let written = key_json(subscriber, &key);
    // The client has to find the key again in the answers.
    if !is_same_json(json.get(), &written) {
        return Err(format!("write this key as {written}"));
    }
    Ok(NamedKey { key, json: written.into() })
}

fn is_same_json(one: &str, other: &str) -> bool {
    let value = |json| serde_json::from_str::<Value>(json).ok();
    one == other || value(one) == value(other)
}
