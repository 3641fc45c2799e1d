//! Reads the list of options in an attribute's parentheses: `word`, `word = value`, commas. What a value means is for
//! `value`, which options there are for each attribute's `args`.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, Lit, Token, Type, token};

use crate::diagnostics::{Mistakes, listed, meant};

/// One option as it was written.
pub(crate) struct Written {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    /// No `=`.
    Absent,
    /// `=`, and nothing after it.
    Missing,
    /// Nothing that Rust could read, where it stands.
    Unreadable(Span),
    /// Something whose mistake has been told.
    Told,
    Type(Type),
    Expr(Expr),
}

/// An attribute and the options it takes.
pub(crate) struct Options {
    pub(crate) attribute: &'static str,
    pub(crate) words: &'static [&'static str],
    /// Those of the words whose value is a type.
    pub(crate) types: &'static [&'static str],
}

impl Options {
    /// The options in order; one that is given twice only once.
    pub(crate) fn read(&self, arguments: TokenStream, mistakes: &mut Mistakes) -> Vec<Written> {
        let list = |input: ParseStream<'_>| Ok(self.list(input, mistakes));
        list.parse2(arguments).unwrap_or_default()
    }

    /// Says that a word is none of the options, and answers which one was meant.
    pub(crate) fn unknown(&self, word: &Ident, mistakes: &mut Mistakes) -> Option<&'static str> {
        let meant = meant(&word.to_string(), self.words);
        let hint = meant.map(|word| format!(": did you mean `{word}`?")).unwrap_or_default();
        let stop = if meant.is_some() { "" } else { ";" };
        mistakes.at(word.span(), format!("unknown option `{word}`{hint}{stop} {}", self.takes()));
        meant
    }

    fn takes(&self) -> String {
        format!("`#[{}]` takes {}", self.attribute, listed(self.words, "and"))
    }

    fn list(&self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Vec<Written> {
        let mut options = Vec::new();
        let mut seen = HashSet::new();
        while !input.is_empty() {
            let Ok(name) = input.call(Ident::parse_any) else {
                mistakes.at(input.span(), format!("expected an option; {}", self.takes()));
                to_next(input);
                continue;
            };
            let value = self.value(&name, input, mistakes);
            let valued = !matches!(value, Value::Absent);
            if !input.is_empty() && !input.peek(Token![,]) {
                let what = if valued { "the value of " } else { "" };
                mistakes.at(input.span(), format!("expected `,` after {what}`{name}`"));
                // What follows is an option whose comma was forgotten, or nothing that can be read.
                if !input.peek(Ident::peek_any) {
                    to_next(input);
                }
            } else {
                to_next(input);
            }
            if seen.insert(name.to_string()) {
                options.push(Written { name, value });
            } else {
                mistakes.at(name.span(), format!("`{name}` is given twice"));
            }
        }
        options
    }

    fn value(&self, name: &Ident, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Value {
        if input.peek(token::Paren) && self.words.iter().any(|word| name == word) {
            mistakes.at(input.span(), format!("a value comes after `=`, as in `{name} = ...`"));
            to_comma(input);
            return Value::Told;
        }
        if !input.peek(Token![=]) {
            return Value::Absent;
        }
        let _equals = input.parse::<Token![=]>();
        if input.is_empty() || input.peek(Token![,]) {
            return Value::Missing;
        }
        let at = input.span();
        let value = if self.types.iter().any(|word| name == word) && !input.peek(Lit) {
            input.parse().map(Value::Type)
        } else {
            input.parse().map(Value::Expr)
        };
        value.unwrap_or_else(|_| {
            to_comma(input);
            Value::Unreadable(at)
        })
    }
}

/// Passes over what cannot be read, and the comma behind it.
fn to_next(input: ParseStream<'_>) {
    to_comma(input);
    let _comma = input.parse::<Option<Token![,]>>();
}

fn to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _passed = input.parse::<proc_macro2::TokenTree>();
    }
}
