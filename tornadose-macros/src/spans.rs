//! Spans for expansions, so that rustc reports a mistake under the word that causes it.

use proc_macro2::{Ident, Span};
use syn::{Path, Type};

/// The span of a type at which to report it: its last word, because rustc underlines one token.
pub(crate) fn type_span(ty: &Type) -> Span {
    match ty {
        Type::Group(group) => type_span(&group.elem),
        Type::Path(path) => path_span(&path.path),
        other => syn::spanned::Spanned::span(other),
    }
}

/// The span of the last word of a path, because rustc cannot underline the whole path.
pub(crate) fn path_span(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span())
}

/// Returns a local variable that nothing in the user's code can name or shadow.
///
/// The name begins with underscores because hygiene does not cover patterns: where a constant or a unit struct has the
/// name, the pattern is that item and not a binding. Each of Salvo's handlers is a unit struct.
pub(crate) fn hygienic_ident(name: &str, at: Span) -> Ident {
    Ident::new(&format!("__{name}"), Span::mixed_site().located_at(at))
}

/// Returns a `self` located at a span. It names the `self` of a signature that `quote!` writes.
pub(crate) fn self_ident(at: Span) -> Ident {
    Ident::new("self", Span::call_site().located_at(at))
}
