//! The attribute `#[finish]`, on the variants of an enum.

use syn::Attribute;

use super::retention::Retention;
use crate::diagnostics::Mistakes;
use crate::helper_attrs;

/// Returns whether a variant is the last message of its key.
pub(crate) fn of_variant(attributes: &[Attribute], retention: Retention, mistakes: &mut Mistakes) -> bool {
    let Some(attribute) = helper_attrs::find(attributes, "finish", "variant", mistakes) else { return false };
    helper_attrs::reject_arguments(attribute, "`#[finish]` takes no arguments", mistakes);
    match retention {
        Retention::Queue => {}
        Retention::Latest => {
            let message = "`#[finish]` goes on a `queue` variant, because a slow connection may skip a `latest` one: write \
                           `#[queue]` in front of it";
            mistakes.on(attribute, message);
        }
        Retention::Ephemeral => {
            let message = "`#[finish]` goes on a `queue` variant, because a slow connection may miss an `#[ephemeral]` one; \
                           keep one";
            mistakes.on(attribute, message);
        }
    }
    true
}

/// Reports `#[finish]` on anything but a variant.
pub(crate) fn reject_elsewhere(attributes: &[Attribute], target: &str, mistakes: &mut Mistakes) {
    if let Some(attribute) = helper_attrs::find(attributes, "finish", target, mistakes) {
        let message = "`#[finish]` goes on a variant of an enum; to finish keys with `store.finish(&key)` write \
                       `#[store(..., finish)]`";
        mistakes.on(attribute, message);
    }
}
