//! How the keys that a client names are read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::message::key_names::NamedKey;
use crate::message::key_values::{check_readable, read_fields};

/// Reads a key from the JSON by which a client names it, for [`Subscriber::WATCH`](crate::Subscriber::WATCH).
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::subscriber::ParseKey;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Quote {
///     #[key]
///     symbol: String,
///     bid: f64,
/// }
///
/// let symbols: ParseKey<QuoteKey> = ParseKey::fields();
/// assert_eq!(symbols.parse("\"AAPL\"").unwrap().symbol, "AAPL");
/// assert!(symbols.parse("7").is_none());
/// ```
pub struct ParseKey<K>(fn(&str) -> Option<K>);

impl<K> ParseKey<K> {
    /// Reads keys by a function, which returns `None` for what is not a key. It is given the JSON of the key, or the value
    /// alone of an object with one member. A client whose text is another JSON value than the key is serialized as is told
    /// how to write it.
    ///
    /// ```
    /// use tornadose::subscriber::ParseKey;
    ///
    /// let rooms: ParseKey<u8> = ParseKey::new(|json| json.parse().ok().filter(|room| *room < 10));
    /// assert_eq!((rooms.parse("7"), rooms.parse("12")), (Some(7), None));
    /// ```
    #[must_use]
    pub const fn new(parse: fn(&str) -> Option<K>) -> Self {
        Self(parse)
    }

    /// Reads keys that implement `Deserialize`, from the JSON that they are serialized as.
    ///
    /// ```
    /// use tornadose::subscriber::ParseKey;
    ///
    /// let rooms: ParseKey<(u8, String)> = ParseKey::json();
    /// assert_eq!(rooms.parse(r#"[1,"hall"]"#), Some((1, "hall".to_string())));
    /// ```
    #[must_use]
    pub const fn json() -> Self
    where
        K: DeserializeOwned,
    {
        Self(|json| serde_json::from_str(json).ok())
    }

    /// Reads the keys of a message of [`#[store]`](macro@crate::store): the object of the key's fields, or the bare value
    /// where there is one field.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// use tornadose::subscriber::ParseKey;
    ///
    /// #[store(queue)]
    /// #[derive(Serialize)]
    /// struct Said {
    ///     #[key]
    ///     floor: u8,
    ///     #[key]
    ///     room: String,
    ///     text: String,
    /// }
    ///
    /// const ROOMS: ParseKey<SaidKey> = ParseKey::fields();
    /// assert_eq!(ROOMS.parse(r#"{"floor":1,"room":"hall"}"#).unwrap().room, "hall");
    /// ```
    ///
    /// # Panics
    ///
    /// The type of a field does not implement `Deserialize`, or the key has no field. In a constant, as here, the program
    /// does not compile.
    #[track_caller]
    #[must_use]
    pub const fn fields() -> Self
    where
        K: NamedKey,
    {
        check_readable::<K>();
        Self(read_fields::<K>)
    }

    /// Reads a key. Returns `None` for what is not one.
    ///
    /// ```
    /// use tornadose::subscriber::ParseKey;
    ///
    /// assert_eq!(ParseKey::<bool>::json().parse("true"), Some(true));
    /// ```
    #[must_use]
    pub fn parse(self, json: &str) -> Option<K> {
        (self.0)(json)
    }
}

impl<K> Clone for ParseKey<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for ParseKey<K> {}

impl<K> fmt::Debug for ParseKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseKey").finish_non_exhaustive()
    }
}

/// Selects how the key `K` is read.
#[derive(Debug)]
pub struct ParserOf<K>(PhantomData<K>);

impl<K: NamedKey> ParserOf<K> {
    /// By its fields.
    pub const PARSER: FieldsParser<K> = FieldsParser(PhantomData);
}

/// Takes the place of [`ParserOf::PARSER`] for a key that was written by hand.
pub trait OtherParser<K> {
    /// By its `Deserialize`.
    const PARSER: JsonParser<K> = JsonParser(PhantomData);
}

impl<K> OtherParser<K> for ParserOf<K> {}

/// Reads a key by its fields.
#[derive(Debug)]
pub struct FieldsParser<K>(PhantomData<K>);

impl<K: NamedKey> FieldsParser<K> {
    /// Returns what reads the key.
    ///
    /// # Panics
    ///
    /// As [`ParseKey::fields`].
    #[expect(clippy::unused_self, reason = "its type selects the method")]
    #[track_caller]
    #[must_use]
    pub const fn into_parse_key(self) -> ParseKey<K> {
        ParseKey::fields()
    }
}

/// Reads a key by its `Deserialize`.
#[derive(Debug)]
pub struct JsonParser<K>(PhantomData<K>);

impl<K> JsonParser<K> {
    /// Returns what reads the key.
    #[expect(clippy::unused_self, reason = "its type selects the method")]
    #[must_use]
    pub const fn into_parse_key(self) -> ParseKey<K>
    where
        K: DeserializeOwned,
    {
        ParseKey::json()
    }
}
