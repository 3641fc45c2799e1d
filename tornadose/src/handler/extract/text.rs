//! A serde deserializer for the texts that a request has under one name, such as the values of a query parameter.

use std::fmt::Display;

use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use crate::handler::extract::error::FieldError;

/// Reads a value from the texts under one name. No text reads as `None`, several texts read as a list.
pub(super) fn read<T: DeserializeOwned>(texts: &[&str], multiplicity: Multiplicity) -> Result<T, FieldError> {
    T::deserialize(Values { texts, multiplicity })
}

/// Whether a name may have several texts, which read as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplicity {
    One,
    Many,
    /// No text reads as an empty list.
    ManyOrNone,
}

#[derive(Clone, Copy)]
struct Values<'a> {
    texts: &'a [&'a str],
    multiplicity: Multiplicity,
}

impl<'a> Values<'a> {
    /// Returns the only text.
    fn one(self, expected: impl Display) -> Result<&'a str, FieldError> {
        match self.texts {
            [] => Err(FieldError::Missing(expected.to_string())),
            [text] => Ok(text),
            several => Err(FieldError::Invalid(format!("given {} times, expected one {expected}", several.len()))),
        }
    }

    fn list(self) -> Result<impl Iterator<Item = Values<'a>> + Clone, FieldError> {
        match (self.multiplicity, self.texts) {
            (Multiplicity::One, _) => {
                Err(FieldError::Unsupported("a list can only be read from query parameters".into()))
            }
            (Multiplicity::Many, []) => Err(FieldError::Missing("a list".into())),
            (Multiplicity::Many | Multiplicity::ManyOrNone, texts) => {
                Ok(texts.chunks(1).map(move |one| Values { texts: one, multiplicity: Multiplicity::One }))
            }
        }
    }
}

impl IntoDeserializer<'_, FieldError> for Values<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident, $visit:ident, $type:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
            let expected = stringify!($type);
            visitor.$visit(self.one(expected)?.parse::<$type>().map_err(|_| FieldError::expected(expected))?)
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
            visitor.visit_str(self.one("text")?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values<'_> {
    type Error = FieldError;

    parsed! {
        deserialize_i8, visit_i8, i8; deserialize_i16, visit_i16, i16; deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64; deserialize_i128, visit_i128, i128; deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16; deserialize_u32, visit_u32, u32; deserialize_u64, visit_u64, u64;
        deserialize_u128, visit_u128, u128; deserialize_f32, visit_f32, f32; deserialize_f64, visit_f64, f64;
    }
    text! { deserialize_any deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let expected = "`true` or `false`";
        visitor.visit_bool(self.one(expected)?.parse().map_err(|_| FieldError::expected(expected))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let expected = "character";
        visitor.visit_char(self.one(expected)?.parse().map_err(|_| FieldError::expected("one character"))?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_bytes(self.one("text")?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if self.texts.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.one("empty text")? {
            "" => visitor.visit_unit(),
            _ => Err(FieldError::expected("an empty text")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let mut list = SeqDeserializer::new(self.list()?);
        let value = visitor.visit_seq(&mut list)?;
        list.end()?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldError> {
        Err(FieldError::Unsupported("a map cannot be read from a text".into()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FieldError> {
        Err(FieldError::Unsupported(format!("the struct `{name}` cannot be read from a text")))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        let text = self.one(format_args!("`{}`", variants.join("` or `")))?;
        visitor.visit_enum(text.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests;
