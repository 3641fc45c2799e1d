//! What is true of a message: its keys, and what is kept of each variant. How that is written in Rust is for `expand`.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Field, Fields, GenericParam, Generics, Type, Visibility};

use super::args::Args;
use super::retention::Kind;
use crate::diagnostics::Mistakes;
use crate::helper_attrs;
use crate::runtime::Runtime;

/// A checked message.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) shape: Shape,
    pub(crate) capacity: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) channel: String,
    pub(crate) runtime: Runtime,
}

pub(crate) enum Shape {
    Struct { keys: Vec<Key>, kind: Kind },
    Enum(Vec<Variant>),
}

pub(crate) struct Variant {
    pub(crate) name: Ident,
    pub(crate) fields: Style,
    pub(crate) keys: Vec<Key>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Style {
    Unit,
    Tuple,
    Named,
}

/// A field that routes.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

impl Model {
    pub(crate) fn check(args: &Args, item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        concrete(&item.ident, &item.generics, mistakes);
        for word in ["latest", "queue"] {
            if let Some(attribute) = helper_attrs::find(&item.attrs, word, "item", mistakes) {
                mistakes.on(attribute, kind_place(word));
            }
        }
        if let Some(attribute) = helper_attrs::find(&item.attrs, "key", "item", mistakes) {
            mistakes.on(attribute, "`#[key]` goes on a field");
        }
        // A kind that was not said has been told; the rest is checked as if it were `queue`.
        let kind = args.kind.unwrap_or(Kind::Queue);
        let shape = match &item.data {
            Data::Struct(body) => Shape::Struct { keys: keys(&body.fields, mistakes).keys, kind },
            Data::Enum(body) => {
                if body.variants.is_empty() {
                    mistakes.at(item.ident.span(), "an enum without variants has no message to store");
                }
                Shape::Enum(variants(body, kind, mistakes))
            }
            Data::Union(body) => {
                mistakes.on(body.union_token, "a union cannot be a message: use a struct or an enum");
                return None;
            }
        };
        let model = Self {
            name: item.ident.clone(),
            visibility: item.vis.clone(),
            shape,
            capacity: args.capacity.as_ref().map(|(count, _)| *count),
            memory: args.memory,
            channel: args.channel.clone().unwrap_or_else(|| kebab(&item.ident.unraw().to_string())),
            runtime: Runtime::new(args.library.clone()),
        };
        if let Some((_, option)) = &args.capacity
            && args.kind.is_some()
            && !model.has_queue()
        {
            mistakes.at(option.span(), "`capacity` is for `queue`: a `latest` store keeps one value per key");
        }
        Some(model)
    }

    /// Whether any message is kept as a queue.
    pub(crate) fn has_queue(&self) -> bool {
        match &self.shape {
            Shape::Struct { kind, .. } => *kind == Kind::Queue,
            // Without variants nothing is `latest` either, and the lack has been told.
            Shape::Enum(variants) => variants.is_empty() || variants.iter().any(|variant| variant.kind == Kind::Queue),
        }
    }

    /// Whether any message is kept as `latest`.
    pub(crate) fn has_latest(&self) -> bool {
        match &self.shape {
            Shape::Struct { kind, .. } => *kind == Kind::Latest,
            Shape::Enum(variants) => variants.iter().any(|variant| variant.kind == Kind::Latest),
        }
    }

    /// The keys, with their types as they are first written.
    pub(crate) fn keys(&self) -> &[Key] {
        match &self.shape {
            Shape::Struct { keys, .. } => keys,
            Shape::Enum(variants) => variants.first().map_or(&[], |variant| &variant.keys),
        }
    }
}

/// That the message is one type that owns its data.
fn concrete(name: &Ident, generics: &Generics, mistakes: &mut Mistakes) {
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

fn variants(body: &syn::DataEnum, kind: Kind, mistakes: &mut Mistakes) -> Vec<Variant> {
    let mut broken = false;
    let variants: Vec<Variant> = body
        .variants
        .iter()
        .map(|variant| {
            if let Some(attribute) = helper_attrs::find(&variant.attrs, "key", "variant", mistakes) {
                mistakes.on(attribute, "`#[key]` goes on a field, not on a variant");
                broken = true;
            }
            let found = keys(&variant.fields, mistakes);
            broken |= found.broken;
            Variant {
                name: variant.ident.clone(),
                fields: match variant.fields {
                    Fields::Named(_) => Style::Named,
                    Fields::Unnamed(_) => Style::Tuple,
                    Fields::Unit => Style::Unit,
                },
                keys: found.keys,
                kind: variant_kind(&variant.attrs, kind, mistakes),
            }
        })
        .collect();
    // Who put a key in the wrong place also "misses" it in the right one.
    if !broken {
        same_keys(&variants, mistakes);
    }
    variants
}

fn variant_kind(attributes: &[Attribute], kind: Kind, mistakes: &mut Mistakes) -> Kind {
    let latest = helper_attrs::find(attributes, "latest", "variant", mistakes);
    let queue = helper_attrs::find(attributes, "queue", "variant", mistakes);
    for (attribute, word) in [(latest, "latest"), (queue, "queue")] {
        if let Some(attribute) = attribute {
            helper_attrs::bare(attribute, &format!("`#[{word}]` takes no arguments"), mistakes);
        }
    }
    match (latest, queue) {
        (None, None) => kind,
        (Some(_), None) => Kind::Latest,
        (None, Some(_)) => Kind::Queue,
        (Some(_), Some(queue)) => {
            mistakes.on(queue, "a variant is either `#[latest]` or `#[queue]`; keep one");
            kind
        }
    }
}

struct Found {
    keys: Vec<Key>,
    /// Whether a key was marked where none can be.
    broken: bool,
}

fn keys(fields: &Fields, mistakes: &mut Mistakes) -> Found {
    let mut found = Found { keys: Vec::new(), broken: false };
    for field in fields {
        for word in ["latest", "queue"] {
            if let Some(attribute) = helper_attrs::find(&field.attrs, word, "field", mistakes) {
                mistakes.on(attribute, kind_place(word));
            }
        }
        let Some(attribute) = helper_attrs::find(&field.attrs, "key", "field", mistakes) else { continue };
        helper_attrs::bare(attribute, "`#[key]` takes no arguments here", mistakes);
        if helper_attrs::is_skipped(&field.attrs) {
            let message = "a key must be serialized: a store on Redis could not tell whose message it is";
            mistakes.on(attribute, message);
        }
        found.keys.extend(key(field));
        if field.ident.is_none() {
            found.broken = true;
            let message =
                "`#[key]` needs a field with a name: it is matched by name with the `#[key]` of the connection";
            mistakes.on(attribute, message);
        }
    }
    found
}

fn key(field: &Field) -> Option<Key> {
    Some(Key { name: field.ident.clone()?, ty: field.ty.clone() })
}

/// That every variant has the keys of the first that has any.
fn same_keys(variants: &[Variant], mistakes: &mut Mistakes) {
    let Some(first) = variants.iter().find(|variant| !variant.keys.is_empty()) else { return };
    let lacks = |one: &Variant, other: &Variant| {
        other.keys.iter().find(|key| one.keys.iter().all(|own| own.name != key.name)).map(|key| key.name.clone())
    };
    for variant in variants {
        let (without, key, with) = match (lacks(variant, first), lacks(first, variant)) {
            (Some(key), _) => (variant, key, first),
            (None, Some(key)) => (first, key, variant),
            (None, None) => continue,
        };
        let message = format!(
            "`{}` has no `#[key] {key}`, but `{}` has: every variant needs the same keys",
            without.name, with.name
        );
        mistakes.at(variant.name.span(), message);
    }
}

fn kind_place(word: &str) -> String {
    format!("`#[{word}]` goes on a variant of an enum; for the whole type write `#[store({word})]`")
}

/// `RoomEvent` → `room-event`, `HTTPEvent` → `http-event`.
fn kebab(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut kebab = String::with_capacity(name.len() + 4);
    for (at, &character) in characters.iter().enumerate() {
        if character == '_' {
            if !kebab.is_empty() && !kebab.ends_with('-') {
                kebab.push('-');
            }
            continue;
        }
        let after_word = at > 0 && (characters[at - 1].is_lowercase() || characters[at - 1].is_ascii_digit());
        let before_word = at > 0 && characters.get(at + 1).is_some_and(|next| next.is_lowercase());
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
