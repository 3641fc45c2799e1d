//! Reads the value of one option: numbers, texts, durations, sizes, paths, words and lists. Which option takes which is for
//! each attribute's `args`.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, ExprPath, Ident, Lit, LitInt, LitStr, Path, Type};

use crate::diagnostics::Mistakes;
use crate::raw_option::{Value, Written};

/// Longer than any connection lives, and far from where adding it to the time of day overflows.
const LONGEST: u64 = 365 * 24 * 60 * 60 * 1000;

/// More messages and connections than fit in any machine; a `usize` everywhere.
const MOST: u64 = u32::MAX as u64;

/// What an option takes, to say it when it was given something else: "`replay` takes …, like …".
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) takes: &'static str,
    pub(crate) like: &'static str,
}

impl Written {
    /// An option without a value.
    pub(crate) fn flag(&self, mistakes: &mut Mistakes) {
        if !matches!(self.value, Value::Absent | Value::Told) {
            mistakes.at(self.name.span(), format!("`{}` is a flag and takes no value", self.name));
        }
    }

    /// A whole number of things, from 1; `why` ends the sentence that refuses 0.
    pub(crate) fn count(&self, form: Form, why: &str, mistakes: &mut Mistakes) -> Option<u64> {
        let number: LitInt = match self.literal(form, mistakes)? {
            Lit::Int(number) if number.suffix().is_empty() => number,
            other => return self.refuse(other, form, mistakes),
        };
        match number.base10_digits().parse() {
            Ok(0) => {
                mistakes.on(number, format!("`{}` must be at least 1{why}", self.name));
                None
            }
            Ok(count) if count <= MOST => Some(count),
            _ => {
                mistakes.on(number, format!("`{}` must be at most {MOST}", self.name));
                None
            }
        }
    }

    /// A text in quotes.
    pub(crate) fn text(&self, form: Form, mistakes: &mut Mistakes) -> Option<LitStr> {
        match self.literal(form, mistakes)? {
            Lit::Str(text) => Some(text),
            other => self.refuse(other, form, mistakes),
        }
    }

    /// A duration in quotes, in milliseconds; `why` ends the sentence that refuses zero.
    pub(crate) fn duration(&self, form: Form, why: &str, mistakes: &mut Mistakes) -> Option<u64> {
        let text = self.text(form, mistakes)?;
        let written = text.value();
        let Some((digits, unit)) = quantity(&written, &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)])
        else {
            return self.refuse(text, form, mistakes);
        };
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(0) => {
                mistakes.on(text, format!("`{}` must be longer than zero{why}", self.name));
                None
            }
            Some(milliseconds) if milliseconds <= LONGEST => Some(milliseconds),
            _ => {
                mistakes.on(text, format!("`{}` must be at most a year, `\"8760h\"`", self.name));
                None
            }
        }
    }

    /// A number of bytes in quotes, with a unit.
    pub(crate) fn size(&self, form: Form, mistakes: &mut Mistakes) -> Option<u64> {
        let text = self.text(form, mistakes)?;
        let written = text.value();
        let Some((digits, unit)) = quantity(&written, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]) else {
            return self.refuse(text, form, mistakes);
        };
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(0) => {
                mistakes.on(text, format!("`{}` must be larger than zero", self.name));
                None
            }
            Some(bytes) if i64::try_from(bytes).is_ok() => Some(bytes),
            _ => {
                mistakes.on(text, format!("`{}` is more than any machine has", self.name));
                None
            }
        }
    }

    /// The path of a function.
    pub(crate) fn function(&self, form: Form, mistakes: &mut Mistakes) -> Option<ExprPath> {
        match self.expr(form, mistakes)? {
            Expr::Path(path) => Some(path.clone()),
            other => self.refuse(other, form, mistakes),
        }
    }

    /// The path of the library, in `crate = path`.
    pub(crate) fn library(&self, mistakes: &mut Mistakes) -> Option<Path> {
        let form = Form { takes: "the path of the library", like: "`crate = live`" };
        match self.expr(form, mistakes)? {
            Expr::Path(path) if path.qself.is_none() => Some(path.path.clone()),
            other => self.refuse(other, form, mistakes),
        }
    }

    /// A type.
    pub(crate) fn ty(&self, form: Form, mistakes: &mut Mistakes) -> Option<Type> {
        match &self.value {
            Value::Type(ty) => Some(ty.clone()),
            _ => self.expr(form, mistakes).and_then(|other| self.refuse(other, form, mistakes)),
        }
    }

    /// The word, when the value is nothing but one.
    pub(crate) fn word(&self) -> Option<&Ident> {
        match &self.value {
            Value::Expr(expr) => match peel(expr) {
                Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Texts in brackets, at least one, each once.
    pub(crate) fn texts(&self, form: Form, why: &str, mistakes: &mut Mistakes) -> Option<Vec<LitStr>> {
        let array = match self.expr(form, mistakes)? {
            Expr::Array(array) => array,
            other => return self.refuse(other, form, mistakes),
        };
        if array.elems.is_empty() {
            mistakes.on(array, format!("`{}` is empty: {why}", self.name));
        }
        let mut texts: Vec<LitStr> = Vec::new();
        for element in &array.elems {
            match peel(element) {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                    if texts.iter().any(|earlier| earlier.value() == text.value()) {
                        mistakes.on(text, format!("`{}` is listed twice", text.value()));
                    } else {
                        texts.push(text.clone());
                    }
                }
                other => mistakes.on(other, format!("`{}` takes {}, like {}", self.name, form.takes, form.like)),
            }
        }
        Some(texts)
    }

    /// Says that the value is none that this option takes.
    pub(crate) fn refuse<T>(&self, value: impl ToTokens, form: Form, mistakes: &mut Mistakes) -> Option<T> {
        mistakes.on(value, self.takes(form));
        None
    }

    fn takes(&self, form: Form) -> String {
        format!("`{}` takes {}, like {}", self.name.unraw(), form.takes, form.like)
    }

    fn literal(&self, form: Form, mistakes: &mut Mistakes) -> Option<Lit> {
        match self.expr(form, mistakes)? {
            Expr::Lit(literal) => Some(literal.lit.clone()),
            other => self.refuse(other, form, mistakes),
        }
    }

    fn expr(&self, form: Form, mistakes: &mut Mistakes) -> Option<&Expr> {
        match &self.value {
            Value::Expr(expr) => return Some(peel(expr)),
            Value::Type(ty) => mistakes.on(ty, self.takes(form)),
            Value::Unreadable(at) => mistakes.at(*at, self.takes(form)),
            Value::Absent | Value::Missing => {
                let message = format!("`{}` needs a value: {}, like {}", self.name, form.takes, form.like);
                mistakes.at(self.name.span(), message);
            }
            Value::Told => {}
        }
        None
    }
}

/// What comes through `macro_rules!` may be wrapped in groups that nobody sees.
pub(crate) fn peel(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

/// Splits `15s` into its digits and the worth of its unit.
fn quantity<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(&'a str, u64)> {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let digits = text.strip_suffix(unit).filter(|digits| !digits.is_empty())?;
    let worth = units.iter().find(|(name, _)| *name == unit)?.1;
    Some((digits, worth))
}

/// A token of HTTP (RFC 9110 §5.6.2): names of headers, cookies and WebSocket subprotocols.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{is_token, quantity};

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
            assert_eq!(quantity(text, &units), expected, "{text:?}");
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
