//! The retention of a message: the words `latest` and `queue`, on the attribute and on the variants of an enum, and the
//! word `ephemeral` on variants.

use syn::{Attribute, Meta};

use crate::diagnostics::Mistakes;
use crate::foreign;
use crate::helper_attrs;
use crate::raw_option::{Expected, OptionParser, RawOption, expected};

/// The value of `ttl`.
pub(super) const TTL: Expected = expected("a duration in quotes", "`\"1h\"` or `\"30s\"`");

/// The retention of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    Latest,
    Queue,
    /// Only of variants.
    Ephemeral,
}

/// Collects the retention from the attribute's options, which must name one.
#[derive(Default)]
pub(crate) struct RetentionOption {
    pub(crate) retention: Option<Retention>,
    /// Whether a mistake about it was reported, so that its absence is not reported too.
    pub(crate) reported: bool,
}

impl RetentionOption {
    pub(crate) fn set(&mut self, retention: Retention, option: &RawOption, mistakes: &mut Mistakes) {
        option.flag(mistakes);
        if self.retention.is_some() {
            let message = "a store is either `latest` or `queue`; to mix them, put `#[latest]` or `#[queue]` on the \
                           variants of an enum";
            mistakes.at(option.name.span(), message);
        }
        self.retention.get_or_insert(retention);
    }

    /// Reports `redis`, which users of other libraries expect here.
    pub(crate) fn report_redis(&mut self, option: &RawOption, mistakes: &mut Mistakes) {
        let message = "`redis` is not an option: connect the store with `Store::redis(url).await`, and write `latest` or \
                       `queue` here";
        mistakes.at(option.name.span(), message);
        self.reported = true;
    }

    /// Reports `ephemeral`, which is of variants alone.
    pub(crate) fn report_ephemeral(&mut self, option: &RawOption, mistakes: &mut Mistakes) {
        let message = "`ephemeral` is not an option: put `#[ephemeral]` on a variant of an enum";
        mistakes.at(option.name.span(), message);
        self.reported = true;
    }
}

/// The retention of a variant, and the words beside it.
pub(crate) struct VariantRetention {
    pub(crate) retention: Retention,
    pub(crate) is_tombstone: bool,
    /// How long its `latest` values are kept, in milliseconds, if it says so itself.
    pub(crate) ttl: Option<u64>,
}

/// Returns what the attributes of a variant say, else the retention `default`. A tombstone is kept as a `queue` message.
pub(crate) fn of_variant(attributes: &[Attribute], default: Retention, mistakes: &mut Mistakes) -> VariantRetention {
    let Named { retention, ttl } = named_retention(attributes, mistakes);
    if let Some(ephemeral) = helper_attrs::find(attributes, "ephemeral", "variant", mistakes) {
        helper_attrs::reject_arguments(ephemeral, "`#[ephemeral]` takes no arguments", mistakes);
        if retention.is_some() {
            mistakes.on(ephemeral, "nothing is kept of an `#[ephemeral]` message: remove `#[latest]` or `#[queue]`");
        }
        if helper_attrs::find(attributes, "tombstone", "variant", mistakes).is_some() {
            let message = "an `#[ephemeral]` message may be missed, so it cannot be a `#[tombstone]`; keep one";
            mistakes.on(ephemeral, message);
        }
        return VariantRetention { retention: Retention::Ephemeral, is_tombstone: false, ttl: None };
    }
    let Some(tombstone) = helper_attrs::find(attributes, "tombstone", "variant", mistakes) else {
        return VariantRetention { retention: retention.unwrap_or(default), is_tombstone: false, ttl };
    };
    helper_attrs::reject_arguments(tombstone, "`#[tombstone]` takes no arguments", mistakes);
    if retention.is_some() {
        let message = "a `#[tombstone]` is kept as long as an id before it is known: remove `#[latest]` or `#[queue]`";
        mistakes.on(tombstone, message);
    }
    VariantRetention { retention: Retention::Queue, is_tombstone: true, ttl: None }
}

/// The retention that `#[latest]` or `#[queue]` gives a variant.
struct Named {
    retention: Option<Retention>,
    ttl: Option<u64>,
}

/// Returns the retention that the attributes of a variant name.
fn named_retention(attributes: &[Attribute], mistakes: &mut Mistakes) -> Named {
    let latest = helper_attrs::find(attributes, "latest", "variant", mistakes);
    let queue = helper_attrs::find(attributes, "queue", "variant", mistakes);
    let ttl = latest.and_then(|latest| latest_ttl(latest, mistakes));
    if let Some(queue) = queue {
        let message = "`#[queue]` takes no arguments; the `ttl` of all `queue` messages is that of \
                       `#[store(queue, ttl = \"1h\")]`";
        helper_attrs::reject_arguments(queue, message, mistakes);
    }
    let retention = match (latest, queue) {
        (None, None) => None,
        (Some(_), None) => Some(Retention::Latest),
        (None, Some(_)) => Some(Retention::Queue),
        (Some(_), Some(queue)) => {
            mistakes.on(queue, "a variant is either `#[latest]` or `#[queue]`; keep one");
            None
        }
    };
    Named { retention, ttl }
}

/// Reads `#[latest(ttl = "30s")]`.
fn latest_ttl(attribute: &Attribute, mistakes: &mut Mistakes) -> Option<u64> {
    let list = match &attribute.meta {
        Meta::Path(_) => return None,
        Meta::List(list) if !list.tokens.is_empty() => list,
        Meta::List(_) | Meta::NameValue(_) => {
            mistakes.on(attribute, "`#[latest]` takes nothing, or a `ttl` as in `#[latest(ttl = \"30s\")]`");
            return None;
        }
    };
    let parser = OptionParser {
        attribute: "latest",
        options: vec![("ttl", TTL)],
        type_option: None,
        other: foreign::SUBSCRIBER,
    };
    let mut ttl = None;
    for option in parser.parse(list.tokens.clone(), mistakes).options {
        if option.name == "ttl" {
            ttl = option.duration("; leave it out to keep the value", mistakes);
        } else {
            parser.report_unknown(&option.name, &[], mistakes);
        }
    }
    ttl
}

/// Reports `#[latest]`, `#[queue]`, `#[ephemeral]` and `#[tombstone]` on anything but a variant.
pub(crate) fn reject_elsewhere(attributes: &[Attribute], target: &str, mistakes: &mut Mistakes) {
    if let Some(attribute) = helper_attrs::find(attributes, "ephemeral", target, mistakes) {
        mistakes.on(attribute, "`#[ephemeral]` goes on a variant of an enum");
    }
    if let Some(attribute) = helper_attrs::find(attributes, "tombstone", target, mistakes) {
        mistakes.on(attribute, "`#[tombstone]` goes on a variant of an enum, whose `latest` values it drops");
    }
    for word in ["latest", "queue"] {
        if let Some(attribute) = helper_attrs::find(attributes, word, target, mistakes) {
            let message =
                format!("`#[{word}]` goes on a variant of an enum; for the whole type write `#[store({word})]`");
            mistakes.on(attribute, message);
        }
    }
}
