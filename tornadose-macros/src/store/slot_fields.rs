//! The `#[slot]` fields of messages, and the slots of tombstones.

use proc_macro2::Ident;
use syn::Fields;

use super::model::{Key, Variant, key};
use super::retention::Retention;
use crate::diagnostics::Mistakes;
use crate::helper_attrs;

/// The kind of message that has the fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Latest,
    Tombstone,
    /// A `queue` message, which has no slots. The text says how to make it a `latest` one.
    Queue(&'static str),
    /// An ephemeral message, which has no slots.
    Ephemeral,
}

/// Returns the fields with `#[slot]`.
pub(super) fn collect(fields: &Fields, holder: Holder, mistakes: &mut Mistakes) -> Vec<Key> {
    let mut slots: Vec<Key> = Vec::new();
    for field in fields {
        let Some(attribute) = helper_attrs::find(&field.attrs, "slot", "field", mistakes) else { continue };
        helper_attrs::reject_arguments(attribute, "`#[slot]` takes no arguments", mistakes);
        let Some(slot) = key(field) else {
            mistakes.on(attribute, "`#[slot]` needs a field with a name");
            continue;
        };
        if field.attrs.iter().any(|attribute| attribute.path().is_ident("key")) {
            let message = format!(
                "`{}` is either a `#[key]`, which routes, or a `#[slot]` of the values of one key; keep one",
                slot.name
            );
            mistakes.on(attribute, message);
        } else if let Holder::Queue(cure) = holder {
            let message = format!("every `queue` message is kept, so none has a `#[slot]`: remove it, or {cure}");
            mistakes.on(attribute, message);
        } else if holder == Holder::Ephemeral {
            mistakes.on(attribute, "nothing is kept of an `#[ephemeral]` message, so it has no `#[slot]`: remove one");
        } else if helper_attrs::is_skipped(&field.attrs) {
            mistakes.on(attribute, "a `#[slot]` field cannot be skipped by serde: other processes know values by it");
        }
        // Rustc reports a second field of one name.
        if slots.iter().all(|earlier| earlier.name != slot.name) {
            slots.push(slot);
        }
    }
    slots
}

/// Reports tombstones that drop nothing.
pub(super) fn check_tombstones(variants: &[Variant], mistakes: &mut Mistakes) {
    let has_latest = variants.iter().any(|variant| variant.retention == Retention::Latest);
    for tombstone in variants.iter().filter(|variant| variant.is_tombstone) {
        let name = &tombstone.name;
        if !has_latest {
            let message =
                "a `#[tombstone]` drops `latest` values, and this type has none: put `#[latest]` on a variant";
            mistakes.at(name.span(), message);
        } else if !tombstone.slots.is_empty() && dropped_by(tombstone, variants).next().is_none() {
            let message = format!(
                "no `latest` variant has the slots of `{name}`: give it those of one, or none, to drop all values of its key"
            );
            mistakes.at(name.span(), message);
        }
    }
}

/// Returns the `latest` variants of whose values a tombstone with slots drops one: those with slots of the same names.
pub(super) fn dropped_by<'a>(tombstone: &'a Variant, variants: &'a [Variant]) -> impl Iterator<Item = &'a Variant> {
    let has = |slots: &[Key], name: &Ident| slots.iter().any(|slot| slot.name == *name);
    variants.iter().filter(move |variant| {
        variant.retention == Retention::Latest
            && variant.slots.len() == tombstone.slots.len()
            && variant.slots.iter().all(|slot| has(&tombstone.slots, &slot.name))
    })
}
