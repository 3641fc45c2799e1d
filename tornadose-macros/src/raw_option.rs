//! Parses the list of options in an attribute's parentheses: `word`, `word = value`, commas. Each attribute's `args`
//! lists its options; `value` interprets their values.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, Lit, Token, Type, token};

use crate::diagnostics::{Mistakes, join_words, suggest};

/// One option as it was written.
pub(crate) struct RawOption {
    pub(crate) name: Ident,
    pub(crate) value: Value,
    pub(crate) expected: Expected,
}

/// The value that an option expects. The message for any other value is "`replay` takes {what}, like {example}".
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) what: &'static str,
    pub(crate) example: &'static str,
}

impl Expected {
    pub(crate) const FLAG: Self = expected("no value", "the word alone");
    pub(crate) const LIBRARY: Self = expected("the path of the library", "`crate = my_kit::tornadose`");
}

pub(crate) const fn expected(what: &'static str, example: &'static str) -> Expected {
    Expected { what, example }
}

pub(crate) enum Value {
    /// There is no `=`.
    Absent,
    /// Nothing follows the `=`.
    Missing,
    /// The tokens at this span are not an expression or a type.
    Unreadable(Span),
    /// Its mistake has been reported.
    Reported,
    Type(Type),
    Expr(Expr),
}

/// The options that an attribute takes.
pub(crate) struct OptionParser {
    pub(crate) attribute: &'static str,
    pub(crate) options: Vec<(&'static str, Expected)>,
    /// The option whose value is a type, if any.
    pub(crate) type_option: Option<&'static str>,
}

impl OptionParser {
    /// Returns the options in order. Of two with one name it returns the first; the second is a mistake.
    pub(crate) fn parse(&self, arguments: TokenStream, mistakes: &mut Mistakes) -> Vec<RawOption> {
        let list = |input: ParseStream<'_>| Ok(self.parse_list(input, mistakes));
        list.parse2(arguments).unwrap_or_default()
    }

    /// Reports an option that does not exist, and returns the one that its name resembles.
    pub(crate) fn report_unknown(&self, name: &Ident, mistakes: &mut Mistakes) -> Option<&'static str> {
        let suggestion = suggest(&name.to_string(), &self.names());
        let hint = match suggestion {
            Some(suggestion) => format!("did you mean `{suggestion}`?"),
            None => self.expectation(),
        };
        mistakes.at(name.span(), format!("unknown option `{name}`; {hint}"));
        suggestion
    }

    fn names(&self) -> Vec<&'static str> {
        self.options.iter().map(|(name, _)| *name).collect()
    }

    fn expectation(&self) -> String {
        format!("`#[{}]` takes {}", self.attribute, join_words(&self.names(), "and"))
    }

    fn parse_list(&self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Vec<RawOption> {
        let mut options = Vec::new();
        let mut seen = HashSet::new();
        while !input.is_empty() {
            let Ok(name) = input.call(Ident::parse_any) else {
                mistakes.at(input.span(), format!("expected an option; {}", self.expectation()));
                skip_option(input);
                continue;
            };
            let value = self.parse_value(&name, input, mistakes);
            let has_value = !matches!(value, Value::Absent);
            if !input.is_empty() && !input.peek(Token![,]) {
                let subject = if has_value { "the value of " } else { "" };
                mistakes.at(input.span(), format!("expected `,` after {subject}`{name}`"));
                // A word may be the next option, whose comma was forgotten. Anything else is skipped.
                if !input.peek(Ident::peek_any) {
                    skip_option(input);
                }
            } else {
                skip_option(input);
            }
            if seen.insert(name.to_string()) {
                let known = self.options.iter().find(|(known, _)| name == known);
                let expected = known.map_or(Expected::FLAG, |(_, expected)| *expected);
                options.push(RawOption { name, value, expected });
            } else {
                mistakes.at(name.span(), format!("`{name}` is given twice; keep one"));
            }
        }
        options
    }

    fn parse_value(&self, name: &Ident, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Value {
        if input.peek(token::Paren) && self.options.iter().any(|(known, _)| name == known) {
            mistakes.at(input.span(), format!("expected `=`: write `{name} = ...`"));
            skip_to_comma(input);
            return Value::Reported;
        }
        if !input.peek(Token![=]) {
            return Value::Absent;
        }
        let _equals = input.parse::<Token![=]>();
        if input.is_empty() || input.peek(Token![,]) {
            return Value::Missing;
        }
        let at = input.span();
        let value = if self.type_option.is_some_and(|option| name == option) && !input.peek(Lit) {
            input.parse().map(Value::Type)
        } else {
            input.parse().map(Value::Expr)
        };
        value.unwrap_or_else(|_| {
            skip_to_comma(input);
            Value::Unreadable(at)
        })
    }
}

/// Skips to the next option, past its comma.
fn skip_option(input: ParseStream<'_>) {
    skip_to_comma(input);
    let _comma = input.parse::<Option<Token![,]>>();
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _skipped = input.parse::<proc_macro2::TokenTree>();
    }
}
