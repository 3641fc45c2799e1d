//! The frames of keys that a client watches: what was kept of a key, and why a key is refused.
//!
//! An event of a key's past has `at` in place of `id`, because a resume from there would lose messages of other keys. Beside
//! it stands the key, of which it is the position.

use std::io::Write;

use bytes::BytesMut;

use crate::id::Id;
use crate::wire::ws::{TEXT, after_id, frame, put_json};

/// Writes an event of the past of a key, from its frame: `{"at":"…","key":…,"event":"…","data":…}`.
pub(crate) fn past(bytes: &mut BytesMut, event: &[u8], id: Id, key: &str) {
    let mut text = Vec::with_capacity(event.len() + key.len());
    write!(text, "{{\"at\":\"{id}\",\"key\":{key},").expect("a vector takes all");
    text.extend_from_slice(after_id(event, id));
    frame(bytes, TEXT, &text);
}

/// Writes an event of the library in the past of a key.
pub(crate) fn past_notice(bytes: &mut BytesMut, id: Id, key: &str, name: &str, json: &str) {
    let text = format!("{{\"at\":\"{id}\",\"key\":{key},\"event\":\"{name}\",\"data\":{json}}}");
    frame(bytes, TEXT, text.as_bytes());
}

/// Writes the event that tells a client why a key is refused.
pub(crate) fn refused(bytes: &mut BytesMut, key: &str, reason: &str) {
    let mut text = b"{\"event\":\"tornadose:error\",\"data\":{\"reason\":".to_vec();
    put_json(&mut text, reason);
    write!(text, ",\"key\":{key}}}}}").expect("a vector takes all");
    frame(bytes, TEXT, &text);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{past, past_notice, refused};
    use crate::event::Event;
    use crate::id::Id;
    use crate::wire::ws;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        let header = if bytes[1] < 126 { 2 } else { 4 };
        String::from_utf8(bytes[header..].to_vec()).unwrap()
    }

    #[test]
    fn an_event_of_the_past_has_its_place_and_its_key() {
        let id: Id = "k3v0q8zd-7".parse().unwrap();
        let named = Event::json(&0.5).unwrap().with_name("bid".try_into().unwrap());
        let frame = ws::event(Some(id), &named);
        assert_eq!(
            text(|bytes| past(bytes, &frame, id, "7")),
            r#"{"at":"k3v0q8zd-7","key":7,"event":"bid","data":0.5}"#
        );
        let long = Event::text("x".repeat(200));
        let frame = ws::event(Some(id), &long);
        let written = text(|bytes| past(bytes, &frame, id, r#""A""#));
        assert_eq!(written, format!(r#"{{"at":"k3v0q8zd-7","key":"A","data":"{}"}}"#, "x".repeat(200)));
    }

    #[test]
    fn a_notice_of_the_past_and_a_refusal_have_the_key() {
        let id: Id = "k3v0q8zd-7".parse().unwrap();
        let notice = text(|bytes| past_notice(bytes, id, "7", "tornadose:finished", r#"{"key":7}"#));
        assert_eq!(notice, r#"{"at":"k3v0q8zd-7","key":7,"event":"tornadose:finished","data":{"key":7}}"#);
        let refusal = text(|bytes| refused(bytes, r#""A""#, "not \"A\""));
        assert_eq!(refusal, r#"{"event":"tornadose:error","data":{"reason":"not \"A\"","key":"A"}}"#);
    }
}
