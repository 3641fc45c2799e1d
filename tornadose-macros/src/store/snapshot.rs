//! The attribute `#[snapshot(…)]`, on the variant of an enum that is the sum of other variants.

use proc_macro2::Ident;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, ExprPath, Fields, Lit, Member, Meta, Token, Type};

use super::model::Variant;
use super::retention::Retention;
use crate::diagnostics::{Mistakes, join_words, suggest};
use crate::helper_attrs;
use crate::value::ungroup;

const OPTIONS: [&str; 4] = ["apply", "init", "of", "version"];

/// A snapshot after all checks.
pub(crate) struct Snapshot {
    /// The variant that it is.
    pub(crate) variant: Ident,
    /// The field with the state, and its type.
    pub(crate) state: Member,
    pub(crate) state_type: Type,
    pub(crate) apply: ExprPath,
    pub(crate) init: Option<ExprPath>,
    pub(crate) version: Option<u32>,
    /// The variants that it sums.
    pub(crate) summed: Vec<Ident>,
    /// Whether these are all other `queue` variants.
    pub(crate) sums_everything: bool,
}

/// What `#[snapshot(…)]` says.
#[derive(Default)]
struct Arguments {
    apply: Option<ExprPath>,
    init: Option<ExprPath>,
    version: Option<u32>,
    of: Option<Vec<Ident>>,
}

/// Returns the snapshot of an enum with these variants.
pub(super) fn of_enum(body: &syn::DataEnum, variants: &[Variant], mistakes: &mut Mistakes) -> Option<Snapshot> {
    let mut found: Option<(&syn::Variant, &Variant, Arguments)> = None;
    for (written, variant) in body.variants.iter().zip(variants) {
        let Some(attribute) = helper_attrs::find(&written.attrs, "snapshot", "variant", mistakes) else { continue };
        if let Some((first, ..)) = &found {
            let message = format!("`{}` is the `#[snapshot]` of this type already; keep one", first.ident);
            mistakes.on(attribute, message);
            continue;
        }
        let arguments = arguments(attribute, &body.variants, mistakes);
        check_variant(attribute, variant, mistakes);
        found = Some((written, variant, arguments));
    }
    let (written, variant, arguments) = found?;
    let state = state(written, mistakes);
    let summed = summed(variant, variants, arguments.of, mistakes);
    let (state, state_type) = state?;
    let is_left_out = |other: &&Variant| {
        other.retention == Retention::Queue && other.name != variant.name && !summed.contains(&other.name)
    };
    Some(Snapshot {
        variant: variant.name.clone(),
        state,
        state_type,
        apply: arguments.apply?,
        init: arguments.init,
        version: arguments.version,
        sums_everything: !variants.iter().any(|other| is_left_out(&other)),
        summed,
    })
}

fn arguments(
    attribute: &Attribute,
    variants: &Punctuated<syn::Variant, Token![,]>,
    mistakes: &mut Mistakes,
) -> Arguments {
    let mut read = Arguments::default();
    let list = match &attribute.meta {
        Meta::List(list) => list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok(),
        Meta::Path(_) | Meta::NameValue(_) => None,
    };
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        let message = "`#[snapshot]` takes the function that sums messages, as in `#[snapshot(apply = append)]`";
        mistakes.on(attribute, message);
        return read;
    };
    let mut seen: Vec<String> = Vec::new();
    let mut has_unknown = false;
    for option in &list {
        let name = option.path().get_ident().map(ToString::to_string).unwrap_or_default();
        if seen.contains(&name) {
            mistakes.on(option.path(), format!("`{name}` is given twice; keep one"));
            continue;
        }
        match name.as_str() {
            "apply" => read.apply = function(option, "apply = append", mistakes),
            "init" => read.init = function(option, "init = begin", mistakes),
            "version" => read.version = version(option, mistakes),
            "of" => read.of = of(option, variants, mistakes),
            _ => {
                has_unknown = true;
                let hint = match suggest(&name, &OPTIONS).as_slice() {
                    [] => format!("`#[snapshot]` takes {}", join_words(&OPTIONS, "and")),
                    words => format!("did you mean {}?", join_words(words, "or")),
                };
                mistakes.on(option.path(), format!("unknown option `{name}`; {hint}"));
            }
        }
        seen.push(name);
    }
    if !has_unknown && !seen.iter().any(|name| name == "apply") {
        let message = "`#[snapshot]` needs the function that sums messages, as in `#[snapshot(apply = append)]`";
        mistakes.on(attribute, message);
    }
    read
}

fn function(option: &Meta, example: &str, mistakes: &mut Mistakes) -> Option<ExprPath> {
    if let Meta::NameValue(pair) = option
        && let Expr::Path(path) = ungroup(&pair.value)
    {
        return Some(path.clone());
    }
    let name = option.path().get_ident()?;
    mistakes.on(option, format!("`{name}` takes the path of a function, like `{example}`"));
    None
}

fn version(option: &Meta, mistakes: &mut Mistakes) -> Option<u32> {
    if let Meta::NameValue(pair) = option
        && let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = ungroup(&pair.value)
        && number.suffix().is_empty()
        && let Ok(version) = number.base10_parse()
    {
        return Some(version);
    }
    mistakes.on(option, "`version` takes a whole number, like `version = 2`");
    None
}

/// Reads the names in `of(…)`, which must be those of variants.
fn of(option: &Meta, variants: &Punctuated<syn::Variant, Token![,]>, mistakes: &mut Mistakes) -> Option<Vec<Ident>> {
    let names = match option {
        Meta::List(list) => list.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated).ok(),
        Meta::Path(_) | Meta::NameValue(_) => None,
    };
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        mistakes.on(option, "`of` takes the names of variants, like `of(Token)`");
        return None;
    };
    for name in &names {
        if variants.iter().any(|variant| variant.ident == *name) {
            continue;
        }
        let known: Vec<String> = variants.iter().map(|variant| variant.ident.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = match suggest(&name.to_string(), &known).as_slice() {
            [] => String::new(),
            words => format!(", did you mean {}?", join_words(words, "or")),
        };
        mistakes.at(name.span(), format!("there is no variant `{name}`{hint}"));
    }
    Some(names.into_iter().collect())
}

/// Reports a variant that cannot be a snapshot.
fn check_variant(attribute: &Attribute, variant: &Variant, mistakes: &mut Mistakes) {
    let message = match variant.retention {
        Retention::Latest => {
            "`#[snapshot]` goes on a `queue` variant, because it takes the place of `queue` messages: write `#[queue]` in \
             front of it"
        }
        Retention::Ephemeral => {
            "nothing is kept of an `#[ephemeral]` message, so it cannot be a `#[snapshot]`; keep one"
        }
        Retention::Queue if variant.finishes => {
            "a `#[snapshot]` may be submitted in the middle, so it cannot `#[finish]` its key; keep one"
        }
        Retention::Queue if variant.is_tombstone => "a `#[snapshot]` cannot be a `#[tombstone]`; keep one",
        Retention::Queue => return,
    };
    mistakes.on(attribute, message);
}

/// Returns the field of a snapshot that is not a key.
fn state(variant: &syn::Variant, mistakes: &mut Mistakes) -> Option<(Member, Type)> {
    let is_key = |field: &&syn::Field| field.attrs.iter().any(|attribute| attribute.path().is_ident("key"));
    let name = &variant.ident;
    let others: Vec<(usize, &syn::Field)> =
        variant.fields.iter().enumerate().filter(|(_, field)| !is_key(field)).collect();
    match others.as_slice() {
        [(index, field)] => {
            let member = match &variant.fields {
                Fields::Named(_) => Member::Named(field.ident.clone()?),
                Fields::Unnamed(_) | Fields::Unit => Member::from(*index),
            };
            Some((member, field.ty.clone()))
        }
        [] => {
            let message = format!("a `#[snapshot]` has one field beside its keys, the state: `{name}` has none");
            mistakes.at(name.span(), message);
            None
        }
        [_, (_, second), ..] => {
            let message =
                format!("a `#[snapshot]` has one field beside its keys, the state: make a struct of those of `{name}`");
            mistakes.on(second, message);
            None
        }
    }
}

/// Returns the variants that a snapshot sums: those of `of`, else all that can be.
fn summed(snapshot: &Variant, variants: &[Variant], of: Option<Vec<Ident>>, mistakes: &mut Mistakes) -> Vec<Ident> {
    let Some(of) = of else {
        let can_be = |variant: &&Variant| {
            variant.retention == Retention::Queue
                && !variant.finishes
                && !variant.is_tombstone
                && variant.name != snapshot.name
        };
        let summed: Vec<Ident> = variants.iter().filter(can_be).map(|variant| variant.name.clone()).collect();
        if summed.is_empty() {
            let message = format!("`{}` sums nothing: the type has no other `queue` message", snapshot.name);
            mistakes.at(snapshot.name.span(), message);
        }
        return summed;
    };
    for name in &of {
        let Some(variant) = variants.iter().find(|variant| variant.name == *name) else { continue };
        let message = match variant.retention {
            Retention::Latest => format!("a snapshot sums `queue` messages, and `{name}` is a `latest` one"),
            Retention::Ephemeral => format!("a snapshot sums `queue` messages, and `{name}` is `#[ephemeral]`"),
            Retention::Queue if variant.finishes => {
                format!("a snapshot does not sum the end of its key: leave `{name}`, which has `#[finish]`, out")
            }
            Retention::Queue if variant.is_tombstone => {
                format!("a snapshot does not sum what drops values: leave `{name}`, which has `#[tombstone]`, out")
            }
            Retention::Queue if variant.name == snapshot.name => {
                format!("`{name}` is the snapshot itself, which replaces: leave it out")
            }
            Retention::Queue => continue,
        };
        mistakes.at(name.span(), message);
    }
    of
}

/// Reports `#[snapshot]` on anything but a variant.
pub(crate) fn reject_elsewhere(attributes: &[Attribute], target: &str, mistakes: &mut Mistakes) {
    if let Some(attribute) = helper_attrs::find(attributes, "snapshot", target, mistakes) {
        let message = "`#[snapshot]` goes on a variant of an enum, which is the sum of other variants";
        mistakes.on(attribute, message);
    }
}
