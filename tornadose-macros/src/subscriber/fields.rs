//! The fields of a subscriber, and where the value of each comes from.

use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, Ident, Member, Meta, Type};

use super::field_type;
use crate::diagnostics::{Mistakes, join_words, suggest};
use crate::helper_attrs::{self, QueryArguments};
use crate::helper_words;
use crate::rewrite;
use crate::value::is_token;

/// A field and its source.
pub(crate) struct BoundField {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) source: Source,
    /// `None` without `#[key]` and `#[keys]`.
    pub(crate) key: Option<KeyField>,
}

/// The field of the message's key that a field has values of.
pub(crate) struct KeyField {
    pub(crate) name: Ident,
    pub(crate) values: KeyValues,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyValues {
    /// Of `#[key]`.
    One,
    /// Of `#[keys(name)]`.
    List,
}

/// Where the value of a field comes from: a part of the request, and its name there, or the program itself.
pub(crate) enum Source {
    Param(String),
    Query(String),
    /// A query parameter whose texts are split.
    SplitQuery {
        name: String,
        separator: String,
    },
    Header(String),
    Cookie(String),
    Depot,
    DepotNamed(String),
    /// A field of a value of this type.
    DepotField {
        ty: Box<Type>,
        member: Member,
    },
    Ticket,
    State,
    Connection,
    StoreHandle,
}

impl Source {
    /// Whether the client chooses the value.
    pub(crate) fn is_client_controlled(&self) -> bool {
        !(self.is_depot() || matches!(self, Self::Ticket | Self::State | Self::Connection | Self::StoreHandle))
    }

    /// Whether the value is read from the depot.
    pub(crate) fn is_depot(&self) -> bool {
        matches!(self, Self::Depot | Self::DepotNamed(_) | Self::DepotField { .. })
    }

    /// Whether the value is read from the request.
    pub(crate) fn is_request(&self) -> bool {
        // The handler puts its store, and what it has verified, into the request.
        self.is_client_controlled() || matches!(self, Self::Ticket | Self::StoreHandle)
    }
}

const SOURCES: [&str; 9] =
    ["param", "query", "header", "cookie", "depot", "ticket", "state", "connection", "store_handle"];

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
    let key = key(field, &name, mistakes).ok()?;
    let sources: Vec<(&str, &Attribute)> = SOURCES
        .iter()
        .filter_map(|word| Some((*word, helper_attrs::find(&field.attrs, word, "field", mistakes)?)))
        .collect();
    let source = match sources.as_slice() {
        [] if report_unknown(field, mistakes) => return None,
        [] => match &key {
            Some(KeyField { values: KeyValues::One, .. }) => Source::Param(name.unraw().to_string()),
            Some(KeyField { values: KeyValues::List, .. }) => {
                let message = format!("`{name}` has no source: add `#[query]`, which may be repeated, or `#[depot]`");
                mistakes.at(name.span(), message);
                return None;
            }
            None => {
                let message = format!(
                    "`{name}` has no source: add `#[key]`, `#[param]`, `#[query]`, `#[header]`, `#[cookie]`, \
                     `#[depot]`, `#[ticket]`, `#[state]`, `#[connection]` or `#[store_handle]`"
                );
                mistakes.at(name.span(), message);
                return None;
            }
        },
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
    Some(BoundField { name, ty: field.ty.clone(), source, key })
}

/// Reports the attributes of a field without a source that nothing knows, and returns whether it has any.
fn report_unknown(field: &Field, mistakes: &mut Mistakes) -> bool {
    let mut unknown = field.attrs.iter().filter(|attribute| attribute.path().is_ident(rewrite::UNKNOWN));
    let Some(attribute) = unknown.find_map(|attribute| attribute.parse_args::<Meta>().ok()) else {
        return false;
    };
    let word = attribute.path().require_ident().map(ToString::to_string).unwrap_or_default();
    let message = match suggest(&word, helper_words::SUBSCRIBER).as_slice() {
        _ if word == "path" => "`#[path]` is an attribute of Rust: for a part of the path write `#[param]`".to_owned(),
        [] => {
            let sources: Vec<String> = SOURCES.iter().map(|word| format!("#[{word}]")).collect();
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            format!("`#[{word}]` is not a source of a field: write `#[key]`, {}", join_words(&sources, "or"))
        }
        near => {
            let near: Vec<String> = near.iter().map(|word| format!("#[{word}]")).collect();
            let near: Vec<&str> = near.iter().map(String::as_str).collect();
            format!("unknown attribute `#[{word}]`; did you mean {}?", join_words(&near, "or"))
        }
    };
    mistakes.on(attribute.path(), message);
    true
}

/// Returns the field of the key that `#[key]` or `#[keys]` names, or an error after it added a mistake.
fn key(field: &Field, name: &Ident, mistakes: &mut Mistakes) -> Result<Option<KeyField>, ()> {
    let one = helper_attrs::find(&field.attrs, "key", "field", mistakes);
    let list = helper_attrs::find(&field.attrs, "keys", "field", mistakes);
    if let Some(one) = one {
        let message =
            "`#[key]` takes no arguments; to read it from elsewhere add a source, as in `#[key] #[query(\"room\")]`";
        helper_attrs::reject_arguments(one, message, mistakes);
    }
    match (one, list) {
        (Some(_), Some(list)) => {
            let message = format!("`{name}` is either one value, `#[key]`, or a list of them, `#[keys]`; keep one");
            mistakes.on(list, message);
            Err(())
        }
        (Some(_), None) => Ok(Some(KeyField { name: name.clone(), values: KeyValues::One })),
        (None, Some(list)) => {
            let Some(name) = helper_attrs::parse_ident(list) else {
                mistakes.on(list, "`#[keys]` takes the name of the message's `#[key]`, as in `#[keys(symbol)]`");
                return Err(());
            };
            Ok(Some(KeyField { name, values: KeyValues::List }))
        }
        (None, None) => Ok(None),
    }
}

/// Returns a source that is the program's own, and takes no arguments.
fn own_source(word: &str, attribute: &Attribute, mistakes: &mut Mistakes) -> Option<Source> {
    let (source, gives) = match word {
        "ticket" => (Source::Ticket, "the value of the request's ticket"),
        "state" => (Source::State, "the default of the field's type"),
        "connection" => (Source::Connection, "the id of the connection"),
        "store_handle" => (Source::StoreHandle, "the store that the handler serves"),
        _ => return None,
    };
    helper_attrs::reject_arguments(attribute, &format!("`#[{word}]` takes no arguments: it is {gives}"), mistakes);
    Some(source)
}

fn source(word: &str, attribute: &Attribute, field: &Ident, mistakes: &mut Mistakes) -> Option<Source> {
    if let Some(source) = own_source(word, attribute, mistakes) {
        return Some(source);
    }
    if word == "depot"
        && let Some((ty, member)) = helper_attrs::parse_depot_field(attribute)
    {
        return Some(Source::DepotField { ty: Box::new(ty), member });
    }
    let arguments = match word {
        "query" => helper_attrs::parse_query(attribute),
        _ => helper_attrs::parse_name(attribute, word).map(|name| QueryArguments { name, separator: None }),
    };
    let QueryArguments { name: literal, separator } = match arguments {
        Ok(arguments) => arguments,
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
        "query" => match separator {
            Some(separator) => Source::SplitQuery { name, separator: separator.value() },
            None => Source::Query(name),
        },
        "header" => Source::Header(name),
        "cookie" => Source::Cookie(name),
        _ if literal.is_some() => Source::DepotNamed(name),
        _ => Source::Depot,
    })
}
