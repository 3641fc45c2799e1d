//! Serde over the texts under one name in a request. Where they stand in it is for `extract`.

use std::fmt::{self, Display};

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

/// Reads a value from the texts under one name. A text that is not there reads as `None`; a list reads several.
pub(super) fn read<T: DeserializeOwned>(texts: &[&str], lists: Lists) -> Result<T, Unread> {
    T::deserialize(Texts { texts, lists })
}

/// Whether a name may stand several times, and so be a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    Allowed,
    Refused,
}

/// Why there is no value. None of it repeats what the client wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Nothing is there; what was expected.
    Missing(String),
    /// Something else is there.
    Unfit(String),
    /// The type is none that a text can be, whatever the client writes.
    Impossible(String),
}

impl Unread {
    fn expected(what: impl Display) -> Self {
        Self::Unfit(format!("expected {what}"))
    }
}

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "missing, expected {what}"),
            Self::Unfit(why) | Self::Impossible(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: Display>(message: T) -> Self {
        Self::Unfit(message.to_string())
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            // The text names a variant that has content.
            Unexpected::UnitVariant => Self::expected("a variant without content"),
            _ => Self::expected(expected),
        }
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::Unfit(format!("expected {expected}, not {length} values"))
    }
    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        match variants {
            [] => Self::Impossible("an enum without variants has no value".into()),
            [one] => Self::expected(format_args!("`{one}`")),
            [rest @ .., last] => Self::expected(format_args!("`{}` or `{last}`", rest.join("`, `"))),
        }
    }
}

#[derive(Clone, Copy)]
struct Texts<'a> {
    texts: &'a [&'a str],
    lists: Lists,
}

impl<'a> Texts<'a> {
    /// The text, when it is exactly one.
    fn one(self, expected: impl Display) -> Result<&'a str, Unread> {
        match self.texts {
            [] => Err(Unread::Missing(expected.to_string())),
            [text] => Ok(text),
            several => Err(Unread::Unfit(format!("given {} times, expected one {expected}", several.len()))),
        }
    }

    fn list(self) -> Result<impl Iterator<Item = Texts<'a>> + Clone, Unread> {
        match (self.lists, self.texts) {
            (Lists::Refused, _) => Err(Unread::Impossible("a list can only be read from query parameters".into())),
            (Lists::Allowed, []) => Err(Unread::Missing("a list".into())),
            (Lists::Allowed, texts) => Ok(texts.chunks(1).map(move |one| Texts { texts: one, lists: Lists::Refused })),
        }
    }
}

impl IntoDeserializer<'_, Unread> for Texts<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident, $visit:ident, $type:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
            let expected = stringify!($type);
            visitor.$visit(self.one(expected)?.parse::<$type>().map_err(|_| Unread::expected(expected))?)
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
            visitor.visit_str(self.one("text")?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Texts<'_> {
    type Error = Unread;

    parsed! {
        deserialize_i8, visit_i8, i8; deserialize_i16, visit_i16, i16; deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64; deserialize_i128, visit_i128, i128; deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16; deserialize_u32, visit_u32, u32; deserialize_u64, visit_u64, u64;
        deserialize_u128, visit_u128, u128; deserialize_f32, visit_f32, f32; deserialize_f64, visit_f64, f64;
    }
    text! { deserialize_any deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let expected = "`true` or `false`";
        visitor.visit_bool(self.one(expected)?.parse().map_err(|_| Unread::expected(expected))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let expected = "character";
        visitor.visit_char(self.one(expected)?.parse().map_err(|_| Unread::expected("one character"))?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_bytes(self.one("text")?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.texts.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.one("empty text")? {
            "" => visitor.visit_unit(),
            _ => Err(Unread::expected("an empty text")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let mut list = SeqDeserializer::new(self.list()?);
        let value = visitor.visit_seq(&mut list)?;
        list.end()?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unread> {
        Err(Unread::Impossible("a map cannot be read from a text".into()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unread> {
        Err(Unread::Impossible(format!("the struct `{name}` cannot be read from a text")))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        let text = self.one(format_args!("`{}`", variants.join("` or `")))?;
        visitor.visit_enum(text.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
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

    use super::{Lists, Unread, read};

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

    fn reads<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], value: T) {
        assert_eq!(read(texts, Lists::Allowed), Ok(value), "{texts:?}");
    }

    fn fails<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], why: &str) {
        assert_eq!(read::<T>(texts, Lists::Allowed).unwrap_err().to_string(), why, "{texts:?}");
    }

    #[test]
    fn a_text_reads_as_its_type() {
        reads(&["rust"], "rust".to_string());
        reads(&[""], String::new());
        reads(&["7"], 7_u64);
        reads(&["-7"], -7_i8);
        reads(&["340282366920938463463374607431768211455"], u128::MAX);
        reads(&["0.5"], 0.5_f64);
        reads(&["true"], true);
        reads(&["ü"], 'ü');
        reads(&["sell"], Side::Sell);
        reads(&["Point"], Shape::Point);
        reads(&["7"], UserId(7));
        reads(&["7"], Since(Some(7)));
        reads(&[""], ());
        reads(&["x"], serde_json::Value::from("x"));
    }

    #[test]
    fn an_option_may_be_missing() {
        reads(&[], None::<u64>);
        reads(&["7"], Some(7_u64));
        reads(&[], None::<Vec<u64>>);
        reads(&[], Since(None));
        fails::<Option<u64>>(&[""], "expected u64");
        fails::<u64>(&[], "missing, expected u64");
        fails::<String>(&[], "missing, expected text");
        fails::<UserId>(&[], "missing, expected u64");
        fails::<bool>(&[], "missing, expected `true` or `false`");
        fails::<Side>(&[], "missing, expected `buy` or `sell`");
    }

    #[test]
    fn a_list_reads_what_is_repeated() {
        reads(&["1", "2"], vec![1_u8, 2]);
        reads(&["1"], vec![UserId(1)]);
        reads(&["buy", "sell"], Some(vec![Side::Buy, Side::Sell]));
        reads(&["1", "2"], (1_u8, 2_u8));
        fails::<Vec<u8>>(&[], "missing, expected a list");
        fails::<Vec<u8>>(&["1", "x"], "expected u8");
        fails::<(u8, u8)>(&["1"], "expected a tuple of size 2, not 1 values");
        fails::<(u8, u8)>(&["1", "2", "3"], "expected 2 elements in sequence, not 3 values");
        fails::<u8>(&["1", "2"], "given 2 times, expected one u8");
        fails::<Vec<Vec<u8>>>(&["1"], "a list can only be read from query parameters");
        let refused = Unread::Impossible("a list can only be read from query parameters".into());
        assert_eq!(read::<Vec<u8>>(&["1"], Lists::Refused), Err(refused));
    }

    #[test]
    fn what_does_not_fit_is_told_without_repeating_it() {
        fails::<u64>(&["<script>"], "expected u64");
        fails::<u8>(&["256"], "expected u8");
        fails::<NonZeroU8>(&["0"], "expected a nonzero u8");
        fails::<bool>(&["1"], "expected `true` or `false`");
        fails::<char>(&["ab"], "expected one character");
        fails::<Side>(&["<script>"], "expected `buy` or `sell`");
        fails::<()>(&["x"], "expected an empty text");
        fails::<Shape>(&["Circle"], "expected a variant without content");
    }

    #[test]
    fn a_type_that_no_text_can_be_is_impossible() {
        fn impossible<T: DeserializeOwned + Debug>(text: &str) {
            let unread = read::<T>(&[text], Lists::Allowed).unwrap_err();
            assert!(matches!(unread, Unread::Impossible(_)), "{unread:?}");
        }
        impossible::<Pair>("1");
        impossible::<BTreeMap<String, String>>("1");
    }

    #[test]
    fn no_text_panics() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..state % 12)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // The top bits are the random ones of this generator.
                    (state >> 56) as u8
                })
                .collect();
            state = state.wrapping_add(1);
            let text = String::from_utf8_lossy(&bytes);
            let _: Result<u64, _> = read(&[&text], Lists::Allowed);
            let _: Result<f64, _> = read(&[&text, &text], Lists::Allowed);
            let _: Result<Option<Vec<char>>, _> = read(&[&text, &text], Lists::Allowed);
            let _: Result<Side, _> = read(&[&text], Lists::Refused);
            assert_eq!(read::<String>(&[&text], Lists::Refused).as_deref(), Ok(&*text));
        }
    }
}
