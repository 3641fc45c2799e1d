//! Rewrites attributes on the fields and variants of an item before its derive sees them, where rustc would report them
//! beside another mistake.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{format_ident, quote};

use crate::helper_words::{LONG, TOOL};

/// The helper attribute that [`mark_unknown`] puts around an attribute.
pub(crate) const UNKNOWN: &str = "__unknown";

/// Attributes that rustc or serde knows on a field.
const KNOWN: [&str; 10] =
    ["doc", "cfg", "cfg_attr", "allow", "expect", "warn", "deny", "forbid", "deprecated", "serde"];

/// Replaces `#[body]` by `#[__unknown(body)]` on fields that have none of the words. The derive reports it, and rustc
/// does not.
///
/// Another derive may know an attribute of a field that has one of the words, so all attributes of that field stay.
pub(crate) fn mark_unknown(item: &TokenStream, words: &[&str]) -> TokenStream {
    let unknown = format_ident!("{UNKNOWN}");
    rewrite_groups(item, &|attributes| {
        let has_word = attributes.iter().any(|one| is_one_of(one, words) || is_one_of(one, &[LONG, "cfg_attr"]));
        let mark = |attribute: &TokenStream| {
            let is_known = has_word || is_path(attribute) || is_one_of(attribute, &KNOWN);
            if is_known { attribute.clone() } else { quote!(#unknown(#attribute)) }
        };
        attributes.iter().map(mark).collect()
    })
}

/// Replaces `#[key]` by `#[rustfmt::tornadose(key)]`. Rustc takes any attribute of rustfmt's, also where the derive that
/// reads it cannot be found.
pub(crate) fn use_tool_attributes(item: &TokenStream, words: &[&str]) -> TokenStream {
    let (tool, long) = (format_ident!("{TOOL}"), format_ident!("{LONG}"));
    rewrite_groups(item, &|attributes| {
        let replace = |attribute: &TokenStream| match attribute {
            word if is_one_of(word, words) => quote!(#tool::#long(#word)),
            words if is_one_of(words, &[LONG]) => quote!(#tool::#words),
            other => other.clone(),
        };
        attributes.iter().map(replace).collect()
    })
}

/// Rewrites the attributes in the item's braces and parentheses. `rewrite` is given those of each field or variant,
/// without their brackets.
fn rewrite_groups(item: &TokenStream, rewrite: &dyn Fn(&[TokenStream]) -> Vec<TokenStream>) -> TokenStream {
    let rewrite_group = |token| match token {
        // An item that a `macro_rules!` passed on is in a group without delimiters.
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            with_content(&group, rewrite_groups(&group.stream(), rewrite))
        }
        TokenTree::Group(group) if group.delimiter() != Delimiter::Bracket => {
            with_content(&group, rewrite_groups(&rewrite_attributes(&group.stream(), rewrite), rewrite))
        }
        other => other,
    };
    item.clone().into_iter().map(rewrite_group).collect()
}

fn rewrite_attributes(content: &TokenStream, rewrite: &dyn Fn(&[TokenStream]) -> Vec<TokenStream>) -> TokenStream {
    let tokens: Vec<TokenTree> = content.clone().into_iter().collect();
    let mut rest = tokens.as_slice();
    let mut rewritten = TokenStream::new();
    while let Some((first, after)) = rest.split_first() {
        let attributes: Vec<&Group> = rest.chunks(2).map_while(attribute).collect();
        if attributes.is_empty() {
            rewritten.extend([first.clone()]);
            rest = after;
            continue;
        }
        let contents: Vec<TokenStream> = attributes.iter().map(|attribute| attribute.stream()).collect();
        for ((hash, attribute), content) in rest.iter().step_by(2).zip(&attributes).zip(rewrite(&contents)) {
            rewritten.extend([hash.clone(), with_content(attribute, content)]);
        }
        rest = &rest[2 * attributes.len()..];
    }
    rewritten
}

/// Returns the brackets of an attribute.
fn attribute(tokens: &[TokenTree]) -> Option<&Group> {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(group)] if hash.as_char() == '#' => {
            (group.delimiter() == Delimiter::Bracket).then_some(group)
        }
        _ => None,
    }
}

fn with_content(group: &Group, content: TokenStream) -> TokenTree {
    let mut changed = Group::new(group.delimiter(), content);
    changed.set_span(group.span());
    TokenTree::Group(changed)
}

/// Whether the attribute is one of these words, with or without arguments.
fn is_one_of(attribute: &TokenStream, words: &[&str]) -> bool {
    let first = attribute.clone().into_iter().next();
    !is_path(attribute) && matches!(first, Some(TokenTree::Ident(first)) if words.iter().any(|word| first == word))
}

/// Whether its name is a path, as in `#[serde::skip]`.
fn is_path(attribute: &TokenStream) -> bool {
    matches!(attribute.clone().into_iter().nth(1), Some(TokenTree::Punct(colon)) if colon.as_char() == ':')
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::{mark_unknown, use_tool_attributes};

    fn tokens(text: &str) -> TokenStream {
        text.parse().expect("tokens")
    }

    #[test]
    fn an_unknown_attribute_is_marked_where_no_word_is() {
        let item = tokens(
            "#[derive(A)] struct A { #[body] /** a */ #[a::b] a: u8, #[body] #[key] b: u8, #[cfg_attr(x, key)] #[y] c: u8 }",
        );
        let marked = tokens(
            "#[derive(A)] struct A { #[__unknown(body)] /** a */ #[a::b] a: u8, #[body] #[key] b: u8, #[cfg_attr(x, key)] \
             #[y] c: u8 }",
        );
        assert_eq!(mark_unknown(&item, &["key"]).to_string(), marked.to_string());
    }

    #[test]
    fn words_are_attributes_of_a_tool_where_the_derive_may_be_missing() {
        let item =
            tokens("enum A { #[latest] B { #[key] #[serde(skip)] b: u8, #[tornadose(key)] c: u8 }, C(#[key] u8) }");
        let rewritten = tokens(
            "enum A { #[rustfmt::tornadose(latest)] B { #[rustfmt::tornadose(key)] #[serde(skip)] b: u8, \
             #[rustfmt::tornadose(key)] c: u8 }, C(#[rustfmt::tornadose(key)] u8) }",
        );
        assert_eq!(use_tool_attributes(&item, &["key", "latest"]).to_string(), rewritten.to_string());
    }
}
