//! Parses the list of options in an attribute's parentheses: `word`, `word = value`, commas. Each attribute's `args`
//! lists its options; `value` interprets their values.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, Lit, Token, Type};

use crate::diagnostics::{Mistakes, join_words, suggest};
use crate::foreign::{self, AttributeOptions};

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

    fn is_flag(self) -> bool {
        self.what == Self::FLAG.what
    }
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
    /// The attribute on a type that takes other options.
    pub(crate) other: AttributeOptions,
}

/// The options that were written, in order. Of two with one name only the first is here; the second is a mistake.
pub(crate) struct Parsed {
    pub(crate) options: Vec<RawOption>,
    /// Whether a part could not be read. An option that is absent may be in that part.
    pub(crate) has_syntax_error: bool,
}

impl OptionParser {
    pub(crate) fn parse(&self, arguments: TokenStream, mistakes: &mut Mistakes) -> Parsed {
        let list = |input: ParseStream<'_>| Ok(self.parse_list(input, mistakes));
        list.parse2(arguments).unwrap_or_else(|_| Parsed { options: Vec::new(), has_syntax_error: true })
    }

    /// Reports an option that does not exist, and returns those that its name resembles, or `None` when it belongs
    /// elsewhere. `given` are the options that are written already.
    pub(crate) fn report_unknown(
        &self,
        name: &Ident,
        given: &[String],
        mistakes: &mut Mistakes,
    ) -> Option<Vec<&'static str>> {
        let written = name.unraw().to_string();
        if let Some(message) = foreign::explain(&written, self.attribute, self.other) {
            mistakes.at(name.span(), message);
            return None;
        }
        let left: Vec<&'static str> =
            self.names().into_iter().filter(|name| given.iter().all(|given| given != name)).collect();
        let suggestions = suggest(&written, &left);
        let hint = match suggestions.as_slice() {
            [] => self.expectation(),
            words => format!("did you mean {}?", join_words(words, "or")),
        };
        mistakes.at(name.span(), format!("unknown option `{name}`; {hint}"));
        Some(suggestions)
    }

    fn names(&self) -> Vec<&'static str> {
        self.options.iter().map(|(name, _)| *name).collect()
    }

    fn expectation(&self) -> String {
        format!("`#[{}]` takes {}", self.attribute, join_words(&self.names(), "and"))
    }

    /// Returns the value that the option takes, or `None` when there is no such option.
    fn expected(&self, name: &Ident) -> Option<Expected> {
        self.options.iter().find(|(known, _)| name == known).map(|(_, expected)| *expected)
    }

    fn parse_list(&self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Parsed {
        let mut parsed = Parsed { options: Vec::new(), has_syntax_error: false };
        let mut seen = HashSet::new();
        while !input.is_empty() {
            let Ok(name) = input.call(Ident::parse_any) else {
                mistakes.at(input.span(), format!("expected an option; {}", self.expectation()));
                parsed.has_syntax_error = true;
                skip_option(input);
                continue;
            };
            let value = self.parse_value(&name, input, mistakes);
            parsed.has_syntax_error |= matches!(value, Value::Reported);
            let has_value = !matches!(value, Value::Absent);
            let is_known = self.expected(&name).is_some();
            if !input.is_empty() && !input.peek(Token![,]) {
                parsed.has_syntax_error = true;
                // The value of an option that does not exist is not a second mistake.
                if is_known {
                    let subject = if has_value { "the value of " } else { "" };
                    mistakes.at(input.span(), format!("expected `,` after {subject}`{name}`"));
                }
                // A word may be the next option, whose comma was forgotten. Anything else is skipped.
                if !input.peek(Ident::peek_any) || !is_known {
                    skip_option(input);
                }
            } else {
                skip_option(input);
            }
            if seen.insert(name.to_string()) {
                let expected = self.expected(&name).unwrap_or(Expected::FLAG);
                parsed.options.push(RawOption { name, value, expected });
            } else {
                mistakes.at(name.span(), format!("`{name}` is given twice; keep one"));
            }
        }
        parsed
    }

    fn parse_value(&self, name: &Ident, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Value {
        let takes_value = self.expected(name).is_some_and(|expected| !expected.is_flag());
        if takes_value && input.peek(Token![:]) && !input.peek(Token![::]) {
            // The value is read as if the right sign were there.
            mistakes.at(input.span(), format!("expected `=`: write `{name} = ...`"));
            let _colon = input.parse::<Token![:]>();
        } else if input.peek(Token![=]) {
            let _equals = input.parse::<Token![=]>();
        } else if takes_value && !input.is_empty() && !input.peek(Token![,]) {
            mistakes.at(input.span(), format!("expected `=`: write `{name} = ...`"));
            skip_to_comma(input);
            return Value::Reported;
        } else {
            return Value::Absent;
        }
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
