//! Where each field of a connection comes from, by its attributes.

use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, Ident, Type};

use crate::diagnostics::{Mistakes, listed};
use crate::helper_attrs;
use crate::value::is_token;

/// A checked field.
pub(crate) struct Read {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) source: Source,
    /// Whether it chooses what the connection receives.
    pub(crate) key: bool,
}

/// Where a field comes from, and its name there.
pub(crate) enum Source {
    Param(String),
    Query(String),
    Header(String),
    Cookie(String),
    Depot,
    DepotNamed(String),
}

impl Source {
    /// Whether the client says what it is.
    pub(crate) fn is_clients(&self) -> bool {
        !matches!(self, Self::Depot | Self::DepotNamed(_))
    }
}

const SOURCES: [&str; 5] = ["param", "query", "header", "cookie", "depot"];

/// The fields in order, without those whose mistakes have been told.
pub(crate) fn read(fields: &Fields, mistakes: &mut Mistakes) -> Vec<Read> {
    match fields {
        Fields::Unit => Vec::new(),
        Fields::Named(fields) => fields.named.iter().filter_map(|field| read_one(field, mistakes)).collect(),
        Fields::Unnamed(fields) => {
            if let Some(first) = fields.unnamed.first() {
                let message = "the fields of a subscriber need names: a name is what is looked up in the request";
                mistakes.on(first, message);
            }
            Vec::new()
        }
    }
}

fn read_one(field: &Field, mistakes: &mut Mistakes) -> Option<Read> {
    let name = field.ident.clone()?;
    let key = helper_attrs::find(&field.attrs, "key", "field", mistakes);
    if let Some(key) = key {
        let message =
            "`#[key]` takes no arguments; to read it from elsewhere add a source, as in `#[key] #[query(\"room\")]`";
        helper_attrs::bare(key, message, mistakes);
    }
    let sources: Vec<(&str, &Attribute)> = SOURCES
        .iter()
        .filter_map(|word| Some((*word, helper_attrs::find(&field.attrs, word, "field", mistakes)?)))
        .collect();
    let source = match sources.as_slice() {
        [] if key.is_some() => Source::Param(name.unraw().to_string()),
        [] => {
            let message = format!(
                "say where `{name}` comes from: `#[key]`, `#[param]`, `#[query]`, `#[header]`, `#[cookie]` or `#[depot]`"
            );
            mistakes.at(name.span(), message);
            return None;
        }
        [(word, attribute)] => source(word, attribute, &name, mistakes)?,
        [.., (_, last)] => {
            let words: Vec<String> = sources.iter().map(|(word, _)| format!("#[{word}]")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            mistakes.on(last, format!("`{name}` is read from one place: keep {}", listed(&words, "or")));
            return None;
        }
    };
    Some(Read { name, ty: field.ty.clone(), source, key: key.is_some() })
}

fn source(word: &str, attribute: &Attribute, field: &Ident, mistakes: &mut Mistakes) -> Option<Source> {
    let literal = match helper_attrs::name(attribute, word) {
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
    let wrong = match word {
        _ if name.is_empty() => Some("the name is empty".to_owned()),
        "header" | "cookie" if !is_token(&name) => Some(format!("not a valid name of a {word}")),
        "param" if name.contains(['{', '}']) => Some("write the name of the path parameter without braces".to_owned()),
        _ => None,
    };
    if let Some(message) = wrong {
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
