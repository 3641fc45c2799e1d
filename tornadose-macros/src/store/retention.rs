//! The retention of a message: the words `latest` and `queue`, on the attribute and on the variants of an enum.

use syn::Attribute;

use crate::diagnostics::Mistakes;
use crate::helper_attrs;
use crate::raw_option::RawOption;

/// The retention of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    Latest,
    Queue,
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
}

/// The retention of a variant, and the words beside it.
pub(crate) struct VariantRetention {
    pub(crate) retention: Retention,
    pub(crate) is_tombstone: bool,
}

/// Returns what the attributes of a variant say, else the retention `default`. A tombstone is kept as a `queue` message.
pub(crate) fn of_variant(attributes: &[Attribute], default: Retention, mistakes: &mut Mistakes) -> VariantRetention {
    let retention = named_retention(attributes, mistakes);
    let Some(tombstone) = helper_attrs::find(attributes, "tombstone", "variant", mistakes) else {
        return VariantRetention { retention: retention.unwrap_or(default), is_tombstone: false };
    };
    helper_attrs::reject_arguments(tombstone, "`#[tombstone]` takes no arguments", mistakes);
    if retention.is_some() {
        let message = "a `#[tombstone]` is kept as long as an id before it is known: remove `#[latest]` or `#[queue]`";
        mistakes.on(tombstone, message);
    }
    VariantRetention { retention: Retention::Queue, is_tombstone: true }
}

/// Returns the retention that the attributes of a variant name.
fn named_retention(attributes: &[Attribute], mistakes: &mut Mistakes) -> Option<Retention> {
    let latest = helper_attrs::find(attributes, "latest", "variant", mistakes);
    let queue = helper_attrs::find(attributes, "queue", "variant", mistakes);
    for (attribute, word) in [(latest, "latest"), (queue, "queue")] {
        if let Some(attribute) = attribute {
            helper_attrs::reject_arguments(attribute, &format!("`#[{word}]` takes no arguments"), mistakes);
        }
    }
    match (latest, queue) {
        (None, None) => None,
        (Some(_), None) => Some(Retention::Latest),
        (None, Some(_)) => Some(Retention::Queue),
        (Some(_), Some(queue)) => {
            mistakes.on(queue, "a variant is either `#[latest]` or `#[queue]`; keep one");
            None
        }
    }
}

/// Reports `#[latest]`, `#[queue]` and `#[tombstone]` on anything but a variant.
pub(crate) fn reject_elsewhere(attributes: &[Attribute], target: &str, mistakes: &mut Mistakes) {
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
