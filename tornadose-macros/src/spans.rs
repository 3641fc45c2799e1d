//! Where in the user's text an expansion stands, so that rustc tells of a mistake under the word that makes it.

use proc_macro2::{Ident, Span};
use syn::{Path, Type};

/// Where a type is told to be wrong: rustc underlines one token there.
pub(crate) fn type_span(ty: &Type) -> Span {
    match ty {
        Type::Group(group) => type_span(&group.elem),
        Type::Path(path) => path_span(&path.path),
        other => syn::spanned::Spanned::span(other),
    }
}

/// The last word of a path: the whole of one cannot be underlined.
pub(crate) fn path_span(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span())
}

/// A local of ours, which nothing that the user wrote can name or shadow. The underscores are for what hygiene does not
/// reach: a pattern is no binding where a constant or a unit struct has its name, and each of Salvo's handlers is one.
pub(crate) fn local(name: &str, at: Span) -> Ident {
    Ident::new(&format!("__{name}"), Span::mixed_site().located_at(at))
}

/// The `self` of a function whose signature is written without a place.
pub(crate) fn this(at: Span) -> Ident {
    Ident::new("self", Span::call_site().located_at(at))
}
