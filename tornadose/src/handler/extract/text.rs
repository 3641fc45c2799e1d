//! A serde deserializer for the texts that a request has under one name, such as the values of a query parameter.

use std::fmt::{self, Display};

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

/// Reads a value from the texts under one name. No text reads as `None`, several texts read as a list.
pub(super) fn read<T: DeserializeOwned>(texts: &[&str], multiplicity: Multiplicity) -> Result<T, FieldError> {
    T::deserialize(Values { texts, multiplicity })
}

/// Whether a name may have several texts, which read as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplicity {
    One,
    Many,
}

/// Why a field has no value. No message repeats what the client wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    /// There is no text. Holds what was expected.
    Missing(String),
    /// The text is not a value of the type.
    Invalid(String),
    /// No text can be a value of the type.
    Unsupported(String),
}

impl FieldError {
    fn expected(what: impl Display) -> Self {
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
            (Multiplicity::Many, texts) => {
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
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::num::NonZeroU8;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::{FieldError, Multiplicity, read};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Side {
        Buy,
        Sell,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Point,
        #[allow(dead_code)]
        Circle(f64),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct UserId(u64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Since(Option<u64>);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        left: u8,
    }

    fn assert_reads<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], value: T) {
        assert_eq!(read(texts, Multiplicity::Many), Ok(value), "{texts:?}");
    }

    fn assert_fails<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], why: &str) {
        assert_eq!(read::<T>(texts, Multiplicity::Many).unwrap_err().to_string(), why, "{texts:?}");
    }

    #[test]
    fn a_text_reads_as_its_type() {
        assert_reads(&["rust"], "rust".to_string());
        assert_reads(&[""], String::new());
        assert_reads(&["7"], 7_u64);
        assert_reads(&["-7"], -7_i8);
        assert_reads(&["340282366920938463463374607431768211455"], u128::MAX);
        assert_reads(&["0.5"], 0.5_f64);
        assert_reads(&["true"], true);
        assert_reads(&["ü"], 'ü');
        assert_reads(&["sell"], Side::Sell);
        assert_reads(&["Point"], Shape::Point);
        assert_reads(&["7"], UserId(7));
        assert_reads(&["7"], Since(Some(7)));
        assert_reads(&[""], ());
        assert_reads(&["x"], serde_json::Value::from("x"));
    }

    #[test]
    fn an_option_may_be_missing() {
        assert_reads(&[], None::<u64>);
        assert_reads(&["7"], Some(7_u64));
        assert_reads(&[], None::<Vec<u64>>);
        assert_reads(&[], Since(None));
        assert_fails::<Option<u64>>(&[""], "expected u64");
        assert_fails::<u64>(&[], "missing, expected u64");
        assert_fails::<String>(&[], "missing, expected text");
        assert_fails::<UserId>(&[], "missing, expected u64");
        assert_fails::<bool>(&[], "missing, expected `true` or `false`");
        assert_fails::<Side>(&[], "missing, expected `buy` or `sell`");
    }

    #[test]
    fn a_list_reads_repeated_texts() {
        assert_reads(&["1", "2"], vec![1_u8, 2]);
        assert_reads(&["1"], vec![UserId(1)]);
        assert_reads(&["buy", "sell"], Some(vec![Side::Buy, Side::Sell]));
        assert_reads(&["1", "2"], (1_u8, 2_u8));
        assert_fails::<Vec<u8>>(&[], "missing, expected a list");
        assert_fails::<Vec<u8>>(&["1", "x"], "expected u8");
        assert_fails::<(u8, u8)>(&["1"], "expected a tuple of size 2, not 1 values");
        assert_fails::<(u8, u8)>(&["1", "2", "3"], "expected 2 elements in sequence, not 3 values");
        assert_fails::<u8>(&["1", "2"], "given 2 times, expected one u8");
        assert_fails::<Vec<Vec<u8>>>(&["1"], "a list can only be read from query parameters");
        let unsupported = FieldError::Unsupported("a list can only be read from query parameters".into());
        assert_eq!(read::<Vec<u8>>(&["1"], Multiplicity::One), Err(unsupported));
    }

    #[test]
    fn an_error_does_not_repeat_the_text() {
        assert_fails::<u64>(&["<script>"], "expected u64");
        assert_fails::<u8>(&["256"], "expected u8");
        assert_fails::<NonZeroU8>(&["0"], "expected a nonzero u8");
        assert_fails::<bool>(&["1"], "expected `true` or `false`");
        assert_fails::<char>(&["ab"], "expected one character");
        assert_fails::<Side>(&["<script>"], "expected `buy` or `sell`");
        assert_fails::<()>(&["x"], "expected an empty text");
        assert_fails::<Shape>(&["Circle"], "expected a variant without content");
    }

    #[test]
    fn a_type_that_no_text_can_be_is_unsupported() {
        fn assert_unsupported<T: DeserializeOwned + Debug>(text: &str) {
            let error = read::<T>(&[text], Multiplicity::Many).unwrap_err();
            assert!(matches!(error, FieldError::Unsupported(_)), "{error:?}");
        }
        assert_unsupported::<Pair>("1");
        assert_unsupported::<BTreeMap<String, String>>("1");
    }

    #[test]
    fn no_text_panics() {
        let mut random = fastrand::Rng::with_seed(0);
        for _ in 0..5_000 {
            let length = random.usize(..12);
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let text = String::from_utf8_lossy(&bytes);
            let _: Result<u64, _> = read(&[&text], Multiplicity::Many);
            let _: Result<f64, _> = read(&[&text, &text], Multiplicity::Many);
            let _: Result<Option<Vec<char>>, _> = read(&[&text, &text], Multiplicity::Many);
            let _: Result<Side, _> = read(&[&text], Multiplicity::One);
            assert_eq!(read::<String>(&[&text], Multiplicity::One).as_deref(), Ok(&*text));
        }
    }
}
