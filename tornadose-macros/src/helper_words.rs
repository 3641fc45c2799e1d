//! The words of the helper attributes, such as `key` in `#[key]`, and their longer form `#[tornadose(key)]`.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, MacroDelimiter, Meta, MetaList, Path, Token, token};

use crate::diagnostics::{Mistakes, join_words, suggest};

/// The words on the fields and variants of a message, in the order in which messages list them.
pub(crate) const STORE: &[&str] = &["key", "slot", "latest", "queue", "ephemeral", "tombstone", "finish", "snapshot"];

/// The words on the fields of a subscriber.
pub(crate) const SUBSCRIBER: &[&str] =
    &["key", "keys", "param", "query", "header", "cookie", "depot", "ticket", "state", "connection", "store_handle"];

/// The attribute that takes each word as an argument.
pub(crate) const LONG: &str = "tornadose";

/// The tool whose attributes need no derive. `#[rustfmt::tornadose(key)]` is `#[key]`, see `rewrite`.
pub(crate) const TOOL: &str = "rustfmt";

/// Replaces each `#[tornadose(word …)]` on the item, its variants and fields by `#[word …]`.
pub(crate) fn expand_long_forms(item: &mut DeriveInput, words: &'static [&'static str], mistakes: &mut Mistakes) {
    let mut expand = |attributes: &mut Vec<Attribute>| expand_in(attributes, words, mistakes);
    expand(&mut item.attrs);
    match &mut item.data {
        Data::Struct(body) => body.fields.iter_mut().for_each(|field| expand(&mut field.attrs)),
        Data::Enum(body) => {
            for variant in &mut body.variants {
                expand(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| expand(&mut field.attrs));
            }
        }
        Data::Union(body) => body.fields.named.iter_mut().for_each(|field| expand(&mut field.attrs)),
    }
}

fn expand_in(attributes: &mut Vec<Attribute>, words: &'static [&'static str], mistakes: &mut Mistakes) {
    if attributes.iter().all(|attribute| !is_long(attribute.path())) {
        return;
    }
    let written = std::mem::take(attributes);
    for attribute in written {
        if !is_long(attribute.path()) {
            attributes.push(attribute);
            continue;
        }
        if let Some(arguments) = arguments(&attribute) {
            attributes.extend(arguments.into_iter().filter_map(|argument| short(argument, words, mistakes)));
        } else {
            let message = format!("`#[{LONG}]` takes {}, as in `#[{LONG}(key)]`", join_words(words, "or"));
            mistakes.on(attribute, message);
        }
    }
}

fn is_long(path: &Path) -> bool {
    path.is_ident(LONG) || path.segments.iter().map(|segment| &segment.ident).eq([TOOL, LONG])
}

/// Returns what is in the parentheses, or `None` for another form.
fn arguments(attribute: &Attribute) -> Option<Punctuated<Meta, Token![,]>> {
    let Meta::List(list) = &attribute.meta else { return None };
    list.parse_args_with(Punctuated::parse_terminated).ok().filter(|arguments| !arguments.is_empty())
}

/// Returns the attribute that the argument stands for. Rustc underlines the argument.
fn short(argument: Meta, words: &'static [&'static str], mistakes: &mut Mistakes) -> Option<Attribute> {
    let path = argument.path();
    if words.iter().all(|word| !path.is_ident(word)) {
        let word = path.get_ident().map(ToString::to_string).unwrap_or_default();
        let message = match suggest(&word, words).as_slice() {
            _ if STORE.contains(&word.as_str()) => {
                format!("`{word}` belongs to the type of a message, with `#[store(…)]`")
            }
            _ if SUBSCRIBER.contains(&word.as_str()) => {
                format!("`{word}` belongs to a field of a connection, with `#[subscriber(…)]`")
            }
            [] => format!("unknown word in `#[{LONG}(…)]`; write {}", join_words(words, "or")),
            near => format!("unknown word in `#[{LONG}(…)]`; did you mean {}?", join_words(near, "or")),
        };
        mistakes.on(path, message);
        return None;
    }
    let (first, last) = (path.span(), last_span(&argument));
    Some(Attribute {
        pound_token: Token![#](first),
        style: syn::AttrStyle::Outer,
        bracket_token: token::Bracket(last),
        meta: argument,
    })
}

fn last_span(meta: &Meta) -> Span {
    match meta {
        Meta::Path(path) => path.span(),
        Meta::List(MetaList { delimiter, .. }) => match delimiter {
            MacroDelimiter::Paren(paren) => paren.span.close(),
            MacroDelimiter::Brace(brace) => brace.span.close(),
            MacroDelimiter::Bracket(bracket) => bracket.span.close(),
        },
        Meta::NameValue(pair) => pair.value.span(),
    }
}
