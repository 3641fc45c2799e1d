//! Decodes the payloads of a backend into messages. A panic in the code of the message's type makes a payload
//! unreadable, and nothing else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::message::Message;
use crate::store::kept_as::KeptAs;
use crate::store::key_json::{key_text, latest_slot};

/// Parses the JSON of a message. Only a store with a backend requires `Deserialize` of its messages.
pub(crate) type ParseJson<M> = fn(&[u8]) -> Result<M, serde_json::Error>;

/// A payload that is a message.
pub(crate) struct Decoded<M: Message> {
    pub(crate) message: M,
    pub(crate) event: Event,
    pub(crate) kept_as: KeptAs,
    pub(crate) key: M::Key,
    /// Where the value is kept, if it is a `latest` one.
    pub(crate) latest: Option<LatestSlot>,
}

/// The place of a `latest` value, as backends know it.
pub(crate) struct LatestSlot {
    pub(crate) key_text: String,
    /// The text of the key, and of the slot within it.
    pub(crate) slot: String,
}

/// The reason why a payload is not a message. Its text does not quote the payload, which may be confidential.
#[derive(Debug)]
pub(crate) enum DecodeError {
    TooLong {
        bytes: usize,
    },
    Json(serde_json::Error),
    Event(EncodeError),
    /// It is not the message that the key beside it promises.
    OtherKey,
    Panicked,
}

impl<M: Message> Decoded<M> {
    /// Returns whether this is a queue message whose key has this JSON. A tombstone is none: it is decoded at once, to drop
    /// what it drops.
    pub(crate) fn is_of_key(&self, key_json: &str) -> bool {
        matches!(self.kept_as, KeptAs::Queue(_)) && key_text(&self.key).is_ok_and(|text| text == key_json)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(f, "{bytes} bytes, more than the store's memory"),
            Self::Json(error) => {
                let kind = if error.is_data() { "JSON of another shape" } else { "not JSON" };
                write!(f, "{kind}, line {} column {}", error.line(), error.column())
            }
            Self::Event(error) => error.fmt(f),
            Self::OtherKey => f.write_str("not a queue message of the key beside it"),
            Self::Panicked => f.write_str("the code of the message's type panicked"),
        }
    }
}

/// Decodes a payload of at most `bytes_max` bytes.
pub(crate) fn decode<M: Message>(
    payload: &[u8],
    parse: ParseJson<M>,
    bytes_max: usize,
) -> Result<Decoded<M>, DecodeError> {
    if payload.len() > bytes_max {
        return Err(DecodeError::TooLong { bytes: payload.len() });
    }
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let message = parse(payload).map_err(DecodeError::Json)?;
        let event = message.event().map_err(DecodeError::Event)?;
        let kept_as = KeptAs::of(&message).map_err(DecodeError::Event)?;
        let key = message.key();
        let latest = match &kept_as {
            KeptAs::Latest { slot, .. } => {
                let key_text = key_text(&key).map_err(DecodeError::Event)?;
                let slot = latest_slot(&key_text, event.name(), slot.as_deref());
                Some(LatestSlot { key_text, slot })
            }
            KeptAs::Queue(_) | KeptAs::Ephemeral | KeptAs::Tombstone(..) => None,
        };
        Ok(Decoded { message, event, kept_as, key, latest })
    }));
    decoded.unwrap_or(Err(DecodeError::Panicked))
}

/// Decodes a payload that was kept as bytes because no reader had the key beside it.
pub(crate) fn decode_of_key<M: Message>(
    payload: &[u8],
    key_json: &str,
    parse: ParseJson<M>,
    bytes_max: usize,
) -> Result<Decoded<M>, DecodeError> {
    decode(payload, parse, bytes_max).and_then(|decoded: Decoded<M>| {
        // Readers of the key that it has may be past it.
        if decoded.is_of_key(key_json) { Ok(decoded) } else { Err(DecodeError::OtherKey) }
    })
}
