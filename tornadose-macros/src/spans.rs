//! Spans for expansions, so that rustc reports a mistake under the word that causes it.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
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

/// The span of the first word of a path.
pub(crate) fn first_span(path: &Path) -> Span {
    path.segments.first().map_or_else(Span::call_site, |segment| segment.ident.span())
}

/// The span of a generated call that has a `self` in its arguments. With one origin for all of its tokens rustc
/// underlines the place; and it does not suggest to edit the user's text there.
pub(crate) fn generated_span(at: Span) -> Span {
    Span::call_site().located_at(at)
}

/// The span of a generated call that has a local variable in its arguments, see [`generated_span`].
pub(crate) fn generated_local_span(at: Span) -> Span {
    Span::mixed_site().located_at(at)
}

/// Returns the name at another span, at which rustc reports what is wrong with its value.
pub(crate) fn respanned(name: &Ident, span: Span) -> Ident {
    let mut respanned = name.clone();
    respanned.set_span(span);
    respanned
}

/// Returns the tokens at another span. Groups, as in `pub(in path)`, keep their content's spans.
pub(crate) fn respanned_tokens(tokens: impl ToTokens, span: Span) -> TokenStream {
    let respanned = tokens.to_token_stream().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    respanned.collect()
}

/// Moves the identifiers away from the user's word at which they are located, except those of `user`. The punctuation
/// stays, and rustc reports errors from the first to the last token of a path.
///
/// Editors take an identifier that is located at a word for the word: go to definition would lead to each of them.
pub(crate) fn unlinked(tokens: TokenStream, user: impl ToTokens) -> TokenStream {
    // Keywords at which an item begins. They have no definition.
    let mut words = vec!["type".to_owned(), "fn".to_owned(), "let".to_owned()];
    collect_words(user.to_token_stream(), &mut words);
    unlink(tokens, &words)
}

fn unlink(tokens: TokenStream, words: &[String]) -> TokenStream {
    let unlinked = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(mut word) if !words.contains(&word.to_string()) => {
            word.set_span(word.span().located_at(Span::call_site()));
            TokenTree::Ident(word)
        }
        TokenTree::Group(group) => {
            let mut unlinked = Group::new(group.delimiter(), unlink(group.stream(), words));
            unlinked.set_span(group.span());
            TokenTree::Group(unlinked)
        }
        other => other,
    });
    unlinked.collect()
}

fn collect_words(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => collect_words(group.stream(), words),
            _ => {}
        }
    }
}

/// Returns a local variable that nothing in the user's code can name or shadow.
///
/// The name begins with underscores because hygiene does not cover patterns: where a constant or a unit struct has the
/// name, the pattern is that item and not a binding. Each of Salvo's handlers is a unit struct.
pub(crate) fn hygienic_ident(name: &str, at: Span) -> Ident {
    Ident::new(&format!("__{name}"), generated_local_span(at))
}

/// Returns a `self` located at a span. It names the `self` of a signature that `quote!` writes.
pub(crate) fn self_ident(at: Span) -> Ident {
    Ident::new("self", generated_span(at))
}
