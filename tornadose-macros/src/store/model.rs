//! A message after all checks: its keys, and what is kept of each variant.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, ExprPath, Field, Fields, GenericParam, Generics, Type, Visibility};

use super::args::Args;
use super::event_name;
use super::finish;
use super::retention::{self, Retention, VariantRetention};
use super::serde_attrs::SerdeAttributes;
use super::slot_fields::{self, Holder};
use super::snapshot::{self, Snapshot};
use crate::diagnostics::Mistakes;
use crate::helper_attrs;
use crate::literals::Count;
use crate::runtime::Runtime;
use crate::threads;

/// A message after all checks.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) shape: Shape,
    /// The types of the fields that may not be thread-safe.
    pub(crate) unchecked: Vec<Type>,
    pub(crate) capacity: Option<Count>,
    /// In bytes.
    pub(crate) memory: Option<u64>,
    /// In bytes.
    pub(crate) max_key: Option<u64>,
    /// How long queue messages are kept, in milliseconds.
    pub(crate) queue_ttl: Option<u64>,
    pub(crate) channel: String,
    /// Whether keys can be finished.
    pub(crate) can_finish: bool,
    pub(crate) snapshot: Option<Snapshot>,
    /// Whether its events are described.
    pub(crate) has_schema: bool,
    pub(crate) runtime: Runtime,
}

pub(crate) enum Shape {
    Struct {
        keys: Vec<Key>,
        slots: Vec<Key>,
        retention: Retention,
        /// How long a `latest` value is kept, in milliseconds.
        ttl: Option<u64>,
    },
    Enum(Vec<Variant>),
}

pub(crate) struct Variant {
    pub(crate) name: Ident,
    pub(crate) fields: Style,
    pub(crate) keys: Vec<Key>,
    pub(crate) slots: Vec<Key>,
    /// That of a tombstone is `queue`.
    pub(crate) retention: Retention,
    /// How long its `latest` values are kept, in milliseconds.
    pub(crate) ttl: Option<u64>,
    /// Whether it is the last message of its key.
    pub(crate) finishes: bool,
    pub(crate) is_tombstone: bool,
    /// Whether its event has no name.
    pub(crate) unnamed: bool,
    /// The name of its event. `None` also where serde writes another type, whose names are not known.
    pub(crate) event_name: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) enum Style {
    Unit,
    Tuple,
    Named,
}

/// A `#[key]` or `#[slot]` field.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    /// The function that serializes it, when serde is told to use another than that of its type.
    pub(crate) serialize_with: Option<ExprPath>,
}

impl Model {
    pub(crate) fn check(args: &Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        reject_generics(&item.ident, &item.generics, mistakes);
        retention::reject_elsewhere(&item.attrs, "item", mistakes);
        finish::reject_elsewhere(&item.attrs, "item", mistakes);
        snapshot::reject_elsewhere(&item.attrs, "item", mistakes);
        for word in ["key", "slot"] {
            if let Some(attribute) = helper_attrs::find(&item.attrs, word, "item", mistakes) {
                mistakes.on(attribute, format!("`#[{word}]` goes on a field"));
            }
        }
        // A missing retention has been reported. The rest is checked as if it were `queue`.
        let retention = args.retention.unwrap_or(Retention::Queue);
        let ttl = args.ttl.as_ref().map(|(ttl, _)| *ttl);
        let latest_ttl = ttl.filter(|_| args.retention == Some(Retention::Latest));
        let shape = match &item.data {
            Data::Struct(body) => {
                let keys = collect_keys(&body.fields, mistakes).keys;
                let holder = match args.retention {
                    Some(Retention::Queue) => Holder::Queue("write `#[store(latest)]`"),
                    Some(Retention::Latest | Retention::Ephemeral) | None => Holder::Latest,
                };
                let slots = slot_fields::collect(&body.fields, holder, mistakes);
                Shape::Struct { keys, slots, retention, ttl: latest_ttl }
            }
            Data::Enum(body) => {
                if body.variants.is_empty() {
                    mistakes.at(item.ident.span(), "`#[store]` needs at least one variant");
                }
                let serde = SerdeAttributes::read(&item.attrs);
                event_name::check(body.variants.iter(), &serde, mistakes);
                Shape::Enum(variants(body, (retention, latest_ttl), &serde, mistakes))
            }
            Data::Union(body) => {
                mistakes.on(body.union_token, "a union cannot be a message: use a struct or an enum");
                return None;
            }
        };
        let finishes = matches!(&shape, Shape::Enum(variants) if variants.iter().any(|variant| variant.finishes));
        let snapshot = match (&item.data, &shape) {
            (Data::Enum(body), Shape::Enum(variants)) => snapshot::of_enum(body, variants, mistakes),
            _ => None,
        };
        let model = Self {
            name: item.ident.clone(),
            visibility: item.vis.clone(),
            shape,
            unchecked: threads::unchecked(item),
            capacity: args.capacity.as_ref().map(|(count, _)| count.clone()),
            memory: args.memory,
            max_key: args.max_key,
            queue_ttl: ttl.filter(|_| args.retention != Some(Retention::Latest)),
            channel: args.channel.clone().unwrap_or_else(|| kebab(&item.ident.unraw().to_string())),
            can_finish: args.finish || finishes,
            snapshot,
            has_schema: args.schema,
            runtime: Runtime::new(args.library.clone()),
        };
        if let Some((_, option)) = &args.capacity
            && args.retention.is_some()
            && !model.has_queue()
        {
            let message = if model.has_latest() {
                "`capacity` has no effect on `latest`, which keeps one value per key: remove it"
            } else {
                "`capacity` is of `queue` messages, and there are none: remove it"
            };
            mistakes.at(option.span(), message);
        }
        if let Some((_, option)) = &args.ttl {
            let message = match args.retention {
                Some(Retention::Queue) if !model.has_queue() => {
                    "this `ttl` is of `queue` messages, and there are none: remove it, or write `#[latest(ttl = \"30s\")]` on \
                     a variant"
                }
                Some(Retention::Latest) if !model.has_latest() => {
                    "this `ttl` is of `latest` values, and there are none: remove it, or write `#[store(queue, ttl = \"1h\")]`"
                }
                _ => return Some(model),
            };
            mistakes.at(option.span(), message);
        }
        Some(model)
    }

    /// Whether any message is kept as `queue`.
    pub(crate) fn has_queue(&self) -> bool {
        match &self.shape {
            Shape::Struct { retention, .. } => *retention == Retention::Queue,
            // An enum without variants is a mistake that has been reported. `queue` causes no second one.
            Shape::Enum(variants) => {
                variants.is_empty() || variants.iter().any(|variant| variant.retention == Retention::Queue)
            }
        }
    }

    /// Whether any message has slots.
    pub(crate) fn has_slots(&self) -> bool {
        match &self.shape {
            Shape::Struct { slots, .. } => !slots.is_empty(),
            Shape::Enum(variants) => {
                variants.iter().any(|variant| variant.retention == Retention::Latest && !variant.slots.is_empty())
            }
        }
    }

    /// Whether any `latest` value expires.
    pub(crate) fn has_latest_ttl(&self) -> bool {
        match &self.shape {
            Shape::Struct { ttl, .. } => ttl.is_some(),
            Shape::Enum(variants) => variants.iter().any(|variant| variant.ttl.is_some()),
        }
    }

    /// Whether any message is kept as `latest`.
    pub(crate) fn has_latest(&self) -> bool {
        match &self.shape {
            Shape::Struct { retention, .. } => *retention == Retention::Latest,
            Shape::Enum(variants) => variants.iter().any(|variant| variant.retention == Retention::Latest),
        }
    }

    /// Whether any message is ephemeral.
    pub(crate) fn has_ephemeral(&self) -> bool {
        match &self.shape {
            Shape::Struct { .. } => false,
            Shape::Enum(variants) => variants.iter().any(|variant| variant.retention == Retention::Ephemeral),
        }
    }

    /// The keys. Of an enum, those of the first variant.
    pub(crate) fn keys(&self) -> &[Key] {
        match &self.shape {
            Shape::Struct { keys, .. } => keys,
            Shape::Enum(variants) => variants.first().map_or(&[], |variant| &variant.keys),
        }
    }
}

/// Reports lifetimes and generic parameters.
fn reject_generics(name: &Ident, generics: &Generics, mistakes: &mut Mistakes) {
    let lifetime = generics.params.iter().find(|parameter| matches!(parameter, GenericParam::Lifetime(_)));
    if let Some(lifetime) = lifetime {
        let message = "a stored message must own its data: remove the lifetime (use `String` instead of `&str`)";
        mistakes.on(lifetime, message);
    }
    if let Some(generic) = generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_))) {
        let message = format!(
            "a stored message must be one concrete type, because its channel is named after it: wrap it, as in `struct \
             {name}s({name}<f64>);`"
        );
        mistakes.on(generic, message);
    }
}

fn variants(
    body: &syn::DataEnum,
    (retention, latest_ttl): (Retention, Option<u64>),
    of_enum: &SerdeAttributes,
    mistakes: &mut Mistakes,
) -> Vec<Variant> {
    let mut misplaced = false;
    let variants: Vec<Variant> = body
        .variants
        .iter()
        .map(|variant| {
            for word in ["key", "slot"] {
                if let Some(attribute) = helper_attrs::find(&variant.attrs, word, "variant", mistakes) {
                    mistakes.on(attribute, format!("`#[{word}]` goes on a field, not on a variant"));
                    misplaced = true;
                }
            }
            let found = collect_keys(&variant.fields, mistakes);
            misplaced |= found.misplaced;
            let VariantRetention { retention, is_tombstone, ttl } =
                retention::of_variant(&variant.attrs, retention, mistakes);
            let holder = match retention {
                _ if is_tombstone => Holder::Tombstone,
                Retention::Latest => Holder::Latest,
                Retention::Queue => Holder::Queue("put `#[latest]` on the variant"),
                Retention::Ephemeral => Holder::Ephemeral,
            };
            Variant {
                name: variant.ident.clone(),
                fields: match variant.fields {
                    Fields::Named(_) => Style::Named,
                    Fields::Unnamed(_) => Style::Tuple,
                    Fields::Unit => Style::Unit,
                },
                keys: found.keys,
                slots: slot_fields::collect(&variant.fields, holder, mistakes),
                retention,
                is_tombstone,
                ttl: ttl.or(latest_ttl).filter(|_| retention == Retention::Latest),
                finishes: finish::of_variant(&variant.attrs, retention, mistakes),
                unnamed: of_enum.unnamed || SerdeAttributes::read(&variant.attrs).unnamed,
                event_name: event_name::of_variant(variant, &SerdeAttributes::read(&variant.attrs), of_enum),
            }
        })
        .collect();
    // A misplaced key is also missing in the right place, and a variant that serde skips has another mistake. Neither is
    // reported again.
    if !misplaced && body.variants.iter().all(|variant| SerdeAttributes::read(&variant.attrs).skip.is_none()) {
        check_same_keys(&variants, mistakes);
    }
    slot_fields::check_tombstones(&variants, mistakes);
    variants
}

struct KeyFields {
    keys: Vec<Key>,
    /// Whether `#[key]` was somewhere that cannot be a key.
    misplaced: bool,
}

fn collect_keys(fields: &Fields, mistakes: &mut Mistakes) -> KeyFields {
    let mut found = KeyFields { keys: Vec::new(), misplaced: false };
    for field in fields {
        retention::reject_elsewhere(&field.attrs, "field", mistakes);
        finish::reject_elsewhere(&field.attrs, "field", mistakes);
        snapshot::reject_elsewhere(&field.attrs, "field", mistakes);
        let Some(attribute) = helper_attrs::find(&field.attrs, "key", "field", mistakes) else { continue };
        helper_attrs::reject_arguments(attribute, "`#[key]` takes no arguments here", mistakes);
        if helper_attrs::is_skipped(&field.attrs) {
            let message = "a `#[key]` field cannot be skipped by serde: other processes route by it";
            mistakes.on(attribute, message);
        }
        // Rustc reports a second field of one name.
        if found.keys.iter().all(|earlier| Some(&earlier.name) != field.ident.as_ref()) {
            found.keys.extend(key(field));
        }
        if field.ident.is_none() {
            found.misplaced = true;
            mistakes.on(attribute, "`#[key]` needs a field with a name: subscribers match keys by name");
        }
    }
    found
}

/// Returns the field as a key or slot, unless it has no name.
pub(super) fn key(field: &Field) -> Option<Key> {
    let serialize_with = helper_attrs::serialize_with(&field.attrs);
    Some(Key { name: field.ident.clone()?, ty: field.ty.clone(), serialize_with })
}

/// Reports variants whose keys differ from those of the first variant that has any.
fn check_same_keys(variants: &[Variant], mistakes: &mut Mistakes) {
    let Some(first) = variants.iter().find(|variant| !variant.keys.is_empty()) else { return };
    let missing_in = |variant: &Variant, other: &Variant| {
        other.keys.iter().find(|key| variant.keys.iter().all(|own| own.name != key.name)).map(|key| key.name.clone())
    };
    for variant in variants {
        let (without, key, with) = match (missing_in(variant, first), missing_in(first, variant)) {
            (Some(key), _) => (variant, key, first),
            (None, Some(key)) => (first, key, variant),
            (None, None) => continue,
        };
        let message = format!(
            "`{}` has no `#[key] {key}`, but `{}` does: every variant needs the same keys",
            without.name, with.name
        );
        mistakes.at(variant.name.span(), message);
    }
}

/// Returns the name in kebab case: `RoomEvent` becomes `room-event`, `HTTPEvent` becomes `http-event`.
fn kebab(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut kebab = String::with_capacity(name.len() + 4);
    for (index, &character) in characters.iter().enumerate() {
        if character == '_' {
            if !kebab.is_empty() && !kebab.ends_with('-') {
                kebab.push('-');
            }
            continue;
        }
        let after_word = index > 0 && (characters[index - 1].is_lowercase() || characters[index - 1].is_ascii_digit());
        let before_word = index > 0 && characters.get(index + 1).is_some_and(|next| next.is_lowercase());
        if character.is_uppercase() && (after_word || before_word) && !kebab.is_empty() && !kebab.ends_with('-') {
            kebab.push('-');
        }
        kebab.extend(character.to_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn a_channel_is_named_after_its_type() {
        for (name, channel) in [
            ("Tick", "tick"),
            ("RoomEvent", "room-event"),
            ("HTTPEvent", "http-event"),
            ("Sha256Sum", "sha256-sum"),
            ("X", "x"),
            ("snake_case", "snake-case"),
            ("Ärger", "ärger"),
        ] {
            assert_eq!(kebab(name), channel);
        }
    }
}
