//! Reads the value of one option: numbers, texts, durations, sizes, paths, words and lists. Each attribute's `args`
//! chooses the method for each option.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, ExprPath, Ident, Lit, LitInt, LitStr, Path, Type};

use crate::diagnostics::Mistakes;
use crate::literals::Count;
use crate::raw_option::{RawOption, Value};

/// A year. It is longer than any connection lives, and adding it to the time of day does not overflow.
const MAX_DURATION_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// More messages and connections than a machine holds. It fits a `usize` on every platform with 32 bits or more.
const MAX_COUNT: u64 = u32::MAX as u64;

impl RawOption {
    /// Checks that the option has no value.
    pub(crate) fn flag(&self, mistakes: &mut Mistakes) {
        if !matches!(self.value, Value::Absent | Value::Reported) {
            mistakes.at(self.name.span(), format!("`{}` is a flag and takes no value", self.name));
        }
    }

    /// Returns a whole number from 1, or the path of a constant. `hint` ends the message for 0.
    pub(crate) fn count(&self, hint: &str, mistakes: &mut Mistakes) -> Option<Count> {
        if let Value::Expr(expr) = &self.value
            && let Expr::Path(path) = ungroup(expr)
        {
            // Words of other options come before constants.
            if self.word().is_some_and(|word| ["all", "off", "any", "public"].iter().any(|known| word == known)) {
                return self.report_mismatch(path, mistakes);
            }
            return Some(Count::Const(path.clone()));
        }
        let number: LitInt = match self.literal(mistakes)? {
            Lit::Int(number) if number.suffix().is_empty() => number,
            other => return self.report_mismatch(other, mistakes),
        };
        match number.base10_digits().parse() {
            Ok(0) => {
                mistakes.on(number, format!("`{}` must be at least 1{hint}", self.name));
                None
            }
            Ok(count) if count <= MAX_COUNT => Some(Count::Number(count)),
            _ => {
                mistakes.on(number, format!("`{}` must be at most {MAX_COUNT}", self.name));
                None
            }
        }
    }

    /// Returns a text in quotes.
    pub(crate) fn text(&self, mistakes: &mut Mistakes) -> Option<LitStr> {
        match self.literal(mistakes)? {
            Lit::Str(text) => Some(text),
            other => self.report_mismatch(other, mistakes),
        }
    }

    /// Returns a duration in quotes, in milliseconds. `hint` ends the message for zero.
    pub(crate) fn duration(&self, hint: &str, mistakes: &mut Mistakes) -> Option<u64> {
        let text = self.text(mistakes)?;
        let written = text.value();
        let Some((digits, unit)) = split_quantity(&written, &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)])
        else {
            return self.report_mismatch(text, mistakes);
        };
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(0) => {
                mistakes.on(text, format!("`{}` must be longer than zero{hint}", self.name));
                None
            }
            Some(milliseconds) if milliseconds <= MAX_DURATION_MS => Some(milliseconds),
            _ => {
                mistakes.on(text, format!("`{}` must be at most a year, `\"8760h\"`", self.name));
                None
            }
        }
    }

    /// Returns a size in quotes, in bytes.
    pub(crate) fn size(&self, mistakes: &mut Mistakes) -> Option<u64> {
        let text = self.text(mistakes)?;
        let written = text.value();
        let Some((digits, unit)) = split_quantity(&written, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
        else {
            return self.report_mismatch(text, mistakes);
        };
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(0) => {
                mistakes.on(text, format!("`{}` must be larger than zero", self.name));
                None
            }
            Some(bytes) if i64::try_from(bytes).is_ok() => Some(bytes),
            _ => {
                mistakes.on(text, format!("`{}` must be less than 2^63 bytes", self.name));
                None
            }
        }
    }

    /// Returns the path of a function.
    pub(crate) fn function(&self, mistakes: &mut Mistakes) -> Option<ExprPath> {
        match self.expr(mistakes)? {
            Expr::Path(path) => Some(path.clone()),
            other => self.report_mismatch(other, mistakes),
        }
    }

    /// Returns the path of the library, in `crate = path`.
    pub(crate) fn library(&self, mistakes: &mut Mistakes) -> Option<Path> {
        match self.expr(mistakes)? {
            Expr::Path(path) if path.qself.is_none() => Some(path.path.clone()),
            other => self.report_mismatch(other, mistakes),
        }
    }

    /// Returns a type.
    pub(crate) fn ty(&self, mistakes: &mut Mistakes) -> Option<Type> {
        match &self.value {
            Value::Type(ty) => Some(ty.clone()),
            _ => self.expr(mistakes).and_then(|other| self.report_mismatch(other, mistakes)),
        }
    }

    /// Returns the value when it is a single word.
    pub(crate) fn word(&self) -> Option<&Ident> {
        match &self.value {
            Value::Expr(expr) => match ungroup(expr) {
                Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the texts in brackets. An empty list and a text that is listed twice are mistakes; `hint` ends the
    /// message for the first.
    pub(crate) fn texts(&self, hint: &str, mistakes: &mut Mistakes) -> Option<Vec<LitStr>> {
        let array = match self.expr(mistakes)? {
            Expr::Array(array) => array,
            other => return self.report_mismatch(other, mistakes),
        };
        if array.elems.is_empty() {
            mistakes.on(array, format!("`{}` is empty: {hint}", self.name));
        }
        let mut texts: Vec<LitStr> = Vec::new();
        for element in &array.elems {
            match ungroup(element) {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                    if texts.iter().any(|earlier| earlier.value() == text.value()) {
                        mistakes.on(text, format!("`{}` is listed twice", text.value()));
                    } else {
                        texts.push(text.clone());
                    }
                }
                other => mistakes
                    .on(other, format!("`{}` takes {}, like {}", self.name, self.expected.what, self.expected.example)),
            }
        }
        Some(texts)
    }

    /// Reports that the option does not take this value.
    pub(crate) fn report_mismatch<T>(&self, value: impl ToTokens, mistakes: &mut Mistakes) -> Option<T> {
        mistakes.on(value, self.expectation());
        None
    }

    fn expectation(&self) -> String {
        format!("`{}` takes {}, like {}", self.name.unraw(), self.expected.what, self.expected.example)
    }

    fn literal(&self, mistakes: &mut Mistakes) -> Option<Lit> {
        match self.expr(mistakes)? {
            Expr::Lit(literal) => Some(literal.lit.clone()),
            other => self.report_mismatch(other, mistakes),
        }
    }

    fn expr(&self, mistakes: &mut Mistakes) -> Option<&Expr> {
        match &self.value {
            Value::Expr(expr) => return Some(ungroup(expr)),
            Value::Type(ty) => mistakes.on(ty, self.expectation()),
            Value::Unreadable(at) => mistakes.at(*at, self.expectation()),
            Value::Absent | Value::Missing => {
                let message =
                    format!("`{}` needs a value: {}, like {}", self.name, self.expected.what, self.expected.example);
                mistakes.at(self.name.span(), message);
            }
            Value::Reported => {}
        }
        None
    }
}

/// Removes the groups without delimiters in which `macro_rules!` passes expressions on.
pub(crate) fn ungroup(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

/// Splits `15s` into its digits and the factor of its unit.
fn split_quantity<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(&'a str, u64)> {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let digits = text.strip_suffix(unit).filter(|digits| !digits.is_empty())?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    Some((digits, factor))
}

/// Whether the text is a token of HTTP (RFC 9110 §5.6.2), as the names of headers, cookies and subprotocols are.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{is_token, split_quantity};

    #[test]
    fn a_quantity_is_digits_and_a_unit() {
        let units = [("ms", 1), ("s", 1000)];
        for (text, expected) in [
            ("15s", Some(("15", 1000))),
            ("500ms", Some(("500", 1))),
            ("0s", Some(("0", 1000))),
            ("15 s", None),
            ("15", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("15S", None),
            ("١s", None),
            ("1s1s", None),
        ] {
            assert_eq!(split_quantity(text, &units), expected, "{text:?}");
        }
    }

    #[test]
    fn a_token_has_no_spaces_or_separators() {
        for (text, expected) in
            [("v1.chat", true), ("graphql-ws", true), ("", false), ("a b", false), ("a,b", false), ("ü", false)]
        {
            assert_eq!(is_token(text), expected, "{text:?}");
        }
    }
}
