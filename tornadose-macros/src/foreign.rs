//! Words that are right elsewhere: options of the other attribute, attributes of fields, words of other libraries.

use crate::helper_words;

/// An attribute on a type and its options.
#[derive(Clone, Copy)]
pub(crate) struct AttributeOptions {
    pub(crate) attribute: &'static str,
    pub(crate) options: &'static [&'static str],
    /// The item that it is written on.
    pub(crate) target: &'static str,
}

pub(crate) const STORE: AttributeOptions = AttributeOptions {
    attribute: "store",
    options: &["latest", "queue", "capacity", "memory", "max_key", "ttl", "channel", "finish", "schema", "crate"],
    target: "the type of the message",
};

pub(crate) const SUBSCRIBER: AttributeOptions = AttributeOptions {
    attribute: "subscriber",
    options: &[
        "sse",
        "ws",
        "store",
        "all_keys",
        "authorize",
        "filter",
        "receive",
        "load",
        "opened",
        "closed",
        "watch",
        "replay",
        "lag",
        "snapshots",
        "keep_alive",
        "retry",
        "origins",
        "max_connections",
        "max_keys",
        "max_loads",
        "max_age",
        "protocols",
        "max_message",
        "throttle",
        "schema",
        "crate",
    ],
    target: "the struct that describes one connection",
};

/// Says where the word belongs that is written as an option of `attribute`, or returns `None` for any other word.
pub(crate) fn explain(written: &str, attribute: &str, other: AttributeOptions) -> Option<String> {
    if other.options.contains(&written) {
        let AttributeOptions { attribute: other, target, .. } = other;
        return Some(format!(
            "`{written}` is an option of `#[{other}]`, not of `#[{attribute}]`: write it on {target}"
        ));
    }
    if helper_words::SUBSCRIBER.contains(&written) {
        return Some(format!("`{written}` is an attribute of a field: write `#[{written}]` in front of the field"));
    }
    if attribute == "subscriber" && ["transport", "transports"].contains(&written) {
        return Some("write the transports as words of their own: `#[subscriber(sse, ws, ...)]`".to_owned());
    }
    None
}
