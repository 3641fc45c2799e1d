//! Control texts of a client: JSON objects with a member whose name begins with `tornadose:`, written without escapes.
//! Any other text is the application's, and is not parsed here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The numbers of asks are below this. Above it JavaScript's numbers are not exact.
const ASK_LIMIT: u64 = 1 << 53;

/// A text of a client, as its connection handles it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientText<'text> {
    /// The text is the application's.
    Plain,
    /// The client waits for the reply to this JSON.
    Ask { number: u64, data: &'text str },
    /// The client watches the keys of this JSON, from the id of the other JSON on.
    Watch { keys: &'text str, since: Option<&'text str> },
    /// The client watches the keys of this JSON no more.
    Unwatch { keys: &'text str },
    /// The control text is unknown or malformed. It has a number if its ask has a valid one.
    Invalid { number: Option<u64>, reason: &'static str },
}

/// Tells a control text from a text of the application.
#[inline]
pub(crate) fn parse(text: &str) -> ClientText<'_> {
    // This search is all that a text of the application costs.
    if text.contains("\"tornadose:") { parse_members(text) } else { ClientText::Plain }
}

#[cold]
fn parse_members(text: &str) -> ClientText<'_> {
    let Ok(members) = serde_json::from_str(text) else { return ClientText::Plain };
    let Members { ask, data, watch, unwatch, since, is_unknown, is_repeated } = members;
    let kinds = [ask, watch, unwatch].into_iter().flatten().count();
    if kinds == 0 && !is_unknown {
        return ClientText::Plain;
    }
    if is_repeated {
        return ClientText::Invalid { number: None, reason: "the control text repeats a member" };
    }
    let number = ask.and_then(|ask| ask.get().parse().ok()).filter(|number| *number < ASK_LIMIT);
    if is_unknown || kinds > 1 {
        return ClientText::Invalid { number, reason: "the server does not know this control text" };
    }
    if let Some(keys) = watch {
        return ClientText::Watch { keys: keys.get(), since: since.map(RawValue::get) };
    }
    if let Some(keys) = unwatch {
        return ClientText::Unwatch { keys: keys.get() };
    }
    match (number, data) {
        (None, _) => ClientText::Invalid { number, reason: "`tornadose:ask` must be a whole number below 2^53" },
        (Some(_), None) => ClientText::Invalid { number, reason: "`tornadose:ask` needs the member `data`" },
        (Some(number), Some(data)) => ClientText::Ask { number, data: data.get() },
    }
}

/// The members of an object that decide whether it is a control text.
#[derive(Default)]
struct Members<'text> {
    ask: Option<&'text RawValue>,
    data: Option<&'text RawValue>,
    watch: Option<&'text RawValue>,
    unwatch: Option<&'text RawValue>,
    since: Option<&'text RawValue>,
    /// Whether another name begins with `tornadose:`.
    is_unknown: bool,
    /// Whether one of the members above comes twice.
    is_repeated: bool,
}

impl<'text> Deserialize<'text> for Members<'text> {
    fn deserialize<D: Deserializer<'text>>(text: D) -> Result<Self, D::Error> {
        text.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'text> Visitor<'text> for MembersVisitor {
    type Value = Members<'text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'text>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some((Name(name), value)) = object.next_entry::<_, &RawValue>()? {
            let member = match name {
                Some("tornadose:ask") => &mut members.ask,
                Some("data") => &mut members.data,
                Some("tornadose:watch") => &mut members.watch,
                Some("tornadose:unwatch") => &mut members.unwatch,
                Some("since") => &mut members.since,
                other => {
                    members.is_unknown |= other.is_some_and(|name| name.starts_with("tornadose:"));
                    continue;
                }
            };
            members.is_repeated |= member.replace(value).is_some();
        }
        Ok(members)
    }
}

/// The name of a member; `None` when it is written with escapes.
struct Name<'text>(Option<&'text str>);

impl<'text> Deserialize<'text> for Name<'text> {
    fn deserialize<D: Deserializer<'text>>(name: D) -> Result<Self, D::Error> {
        name.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'text> Visitor<'text> for NameVisitor {
    type Value = Name<'text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'text str) -> Result<Self::Value, E> {
        Ok(Name(Some(name)))
    }

    // A name with escapes cannot be borrowed from the text.
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Name(None))
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientText, parse};

    #[test]
    fn an_ask_has_a_number_and_data_in_any_order() {
        for (text, number, data) in [
            (r#"{"tornadose:ask":7,"data":{"a":[1, 2]}}"#, 7, r#"{"a":[1, 2]}"#),
            (r#" { "data" : null , "tornadose:ask" : 0 } "#, 0, "null"),
            (
                r#"{"x":1,"data":"\"tornadose:watch\"","tornadose:ask":9007199254740991}"#,
                (1 << 53) - 1,
                r#""\"tornadose:watch\"""#,
            ),
        ] {
            assert_eq!(parse(text), ClientText::Ask { number, data }, "{text}");
        }
    }

    #[test]
    fn a_client_names_keys_to_watch_and_the_id_since_which() {
        let text = r#"{ "since" : "k3v0q8zd-7" , "tornadose:watch" : ["A", {"b": 1}] , "note" : 1 }"#;
        let keys = r#"["A", {"b": 1}]"#;
        assert_eq!(parse(text), ClientText::Watch { keys, since: Some(r#""k3v0q8zd-7""#) });
        assert_eq!(parse(r#"{"tornadose:watch":7}"#), ClientText::Watch { keys: "7", since: None });
        assert_eq!(parse(r#"{"tornadose:unwatch":[]}"#), ClientText::Unwatch { keys: "[]" });
        assert_eq!(parse(r#"{"since":1,"since":2,"text":"\"tornadose:"}"#), ClientText::Plain);
    }

    #[test]
    fn only_the_name_of_a_member_makes_a_control_text() {
        for text in [
            "",
            "tornadose:",
            r#""tornadose:ask""#,
            r#"{"text":"tornadose:ask"}"#,
            r#"{"text":"\"tornadose:ask\":1"}"#,
            r#"{"nested":{"tornadose:ask":1,"data":2}}"#,
            r#"[{"tornadose:ask":1,"data":2}]"#,
            r#"{"a":["tornadose:ask"]}"#,
            r#"{"Tornadose:ask":1,"data":2}"#,
            r#"{"tornadose\u003aask":1,"data":2}"#,
            r#"{"\u0074ornadose:ask":1,"data":["tornadose:ask"]}"#,
            r#"{"tornadose:ask":1,"data":2"#,
            r#"{"tornadose:ask":1,"data":2} {}"#,
            r#"{"data":1,"data":2,"text":"tornadose:"}"#,
        ] {
            assert_eq!(parse(text), ClientText::Plain, "{text}");
        }
    }

    #[test]
    fn a_malformed_or_unknown_control_text_is_invalid() {
        for (text, number) in [
            (r#"{"tornadose:watch":[],"tornadose:unwatch":[]}"#, None),
            (r#"{"tornadose:watch":[],"tornadose:watch":[]}"#, None),
            (r#"{"tornadose:watch":[],"since":"a","since":"b"}"#, None),
            (r#"{"tornadose:":1}"#, None),
            (r#"{"tornadose:ask":1,"tornadose:watch":[],"data":2}"#, Some(1)),
            (r#"{"tornadose:ask":1}"#, Some(1)),
            (r#"{"tornadose:ask":1,"data\u0020":2}"#, Some(1)),
            (r#"{"tornadose:ask":1,"tornadose:ask":2,"data":3}"#, None),
            (r#"{"tornadose:ask":1,"data":2,"data":3}"#, None),
            (r#"{"tornadose:ask":-1,"data":2}"#, None),
            (r#"{"tornadose:ask":-0,"data":2}"#, None),
            (r#"{"tornadose:ask":1.5,"data":2}"#, None),
            (r#"{"tornadose:ask":1e2,"data":2}"#, None),
            (r#"{"tornadose:ask":"1","data":2}"#, None),
            (r#"{"tornadose:ask":null,"data":2}"#, None),
            (r#"{"tornadose:ask":9007199254740992,"data":2}"#, None),
            (r#"{"tornadose:ask":99999999999999999999,"data":2}"#, None),
        ] {
            let ClientText::Invalid { number: found, .. } = parse(text) else { panic!("{text}") };
            assert_eq!(found, number, "{text}");
        }
    }
}
