//! The fields of a subscriber, and the part of the request that each is read from.

use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, Ident, Type};

use super::field_type;
use crate::diagnostics::{Mistakes, join_words};
use crate::helper_attrs;
use crate::value::is_token;

/// A field and its source.
pub(crate) struct BoundField {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) source: Source,
    /// Whether it has `#[key]`.
    pub(crate) key: bool,
}

/// The part of the request that a field is read from, and its name there.
pub(crate) enum Source {
    Param(String),
    Query(String),
    Header(String),
    Cookie(String),
    Depot,
    DepotNamed(String),
}

impl Source {
    /// Whether the client chooses the value.
    pub(crate) fn is_client_controlled(&self) -> bool {
        !matches!(self, Self::Depot | Self::DepotNamed(_))
    }
}

const SOURCES: [&str; 5] = ["param", "query", "header", "cookie", "depot"];

/// Returns the fields in order, without those that have a mistake.
pub(crate) fn bind(fields: &Fields, mistakes: &mut Mistakes) -> Vec<BoundField> {
    match fields {
        Fields::Unit => Vec::new(),
        Fields::Named(fields) => fields.named.iter().filter_map(|field| bind_one(field, mistakes)).collect(),
        Fields::Unnamed(fields) => {
            if let Some(first) = fields.unnamed.first() {
                let message = "the fields of a subscriber need names: each is looked up in the request by its name";
                mistakes.on(first, message);
            }
            Vec::new()
        }
    }
}

fn bind_one(field: &Field, mistakes: &mut Mistakes) -> Option<BoundField> {
    let name = field.ident.clone()?;
    let key = helper_attrs::find(&field.attrs, "key", "field", mistakes);
    if let Some(key) = key {
        let message =
            "`#[key]` takes no arguments; to read it from elsewhere add a source, as in `#[key] #[query(\"room\")]`";
        helper_attrs::reject_arguments(key, message, mistakes);
    }
    let sources: Vec<(&str, &Attribute)> = SOURCES
        .iter()
        .filter_map(|word| Some((*word, helper_attrs::find(&field.attrs, word, "field", mistakes)?)))
        .collect();
    let source = match sources.as_slice() {
        [] if key.is_some() => Source::Param(name.unraw().to_string()),
        [] => {
            let message = format!(
                "`{name}` has no source: add `#[key]`, `#[param]`, `#[query]`, `#[header]`, `#[cookie]` or `#[depot]`"
            );
            mistakes.at(name.span(), message);
            return None;
        }
        [(word, attribute)] => source(word, attribute, &name, mistakes)?,
        [.., (_, last)] => {
            let words: Vec<String> = sources.iter().map(|(word, _)| format!("#[{word}]")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            mistakes.on(last, format!("`{name}` has more than one source; keep {}", join_words(&words, "or")));
            return None;
        }
    };
    if let Some(mistake) = field_type::check(&field.ty, &source) {
        mistakes.push(mistake);
        return None;
    }
    Some(BoundField { name, ty: field.ty.clone(), source, key: key.is_some() })
}

fn source(word: &str, attribute: &Attribute, field: &Ident, mistakes: &mut Mistakes) -> Option<Source> {
    let literal = match helper_attrs::parse_name(attribute, word) {
        Ok(literal) => literal,
        Err(mistake) => {
            mistakes.push(mistake);
            return None;
        }
    };
    let name = match &literal {
        Some(name) => name.value(),
        None if word == "header" => field.unraw().to_string().replace('_', "-"),
        None => field.unraw().to_string(),
    };
    let error = match word {
        _ if name.is_empty() => Some("the name is empty; leave it out to use the name of the field".to_owned()),
        "header" | "cookie" if !is_token(&name) => Some(format!("not a valid {word} name")),
        "param" if name.contains(['{', '}']) => Some("write the name of the path parameter without braces".to_owned()),
        _ => None,
    };
    if let Some(message) = error {
        mistakes.at(literal.map_or_else(|| field.span(), |name| name.span()), message);
        return None;
    }
    Some(match word {
        "param" => Source::Param(name),
        "query" => Source::Query(name),
        "header" => Source::Header(name),
        "cookie" => Source::Cookie(name),
        _ if literal.is_some() => Source::DepotNamed(name),
        _ => Source::Depot,
    })
}
