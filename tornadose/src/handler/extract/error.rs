//! Why a field of a subscriber cannot be read, in words for the client.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

/// Why a field has no value. No message repeats what the client wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    /// The request does not have the field. Holds what was expected.
    Missing(String),
    /// The text is not a value of the type.
    Invalid(String),
    /// No text can be a value of the type.
    Unsupported(String),
}

impl FieldError {
    pub(super) fn expected(what: impl Display) -> Self {
        Self::Invalid(format!("expected {what}"))
    }
}

impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "missing, expected {what}"),
            Self::Invalid(why) | Self::Unsupported(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Invalid(message.to_string())
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            // The text is the name of a variant with content.
            Unexpected::UnitVariant => Self::expected("a variant without content"),
            _ => Self::expected(expected),
        }
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::Invalid(format!("expected {expected}, not {length} values"))
    }
    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        match variants {
            [] => Self::Unsupported("an enum without variants has no value".into()),
            [one] => Self::expected(format_args!("`{one}`")),
            [rest @ .., last] => Self::expected(format_args!("`{}` or `{last}`", rest.join("`, `"))),
        }
    }
}
