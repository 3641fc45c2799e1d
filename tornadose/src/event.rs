//! What a message looks like outside: an event has a name and data. Ids belong to the log, bytes to `wire`.

use std::fmt;

use serde::ser::{self, Serialize};

/// The name and the data of one message, before it has a place in a log.
///
/// The attribute `#[store]` makes it by [`Event::of`]; who implements [`Message`](crate::Message) by hand may send any text.
///
/// ```
/// use tornadose::Event;
///
/// #[derive(serde::Serialize)]
/// #[serde(rename_all = "snake_case")]
/// enum Room {
///     Said { text: String },
/// }
///
/// let event = Event::of(&Room::Said { text: "hi".into() })?;
/// assert_eq!(event.name(), Some("said"));
/// assert_eq!(event.data(), r#"{"text":"hi"}"#);
/// # Ok::<(), tornadose::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    name: Option<EventName>,
    data: Data,
}

/// JSON stands in a WebSocket event as it is; other text becomes a JSON string there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Json(String),
    Text(String),
}

impl Event {
    /// The event of a value, as serde sees it: a variant of an enum is named after the variant and carries its content,
    /// anything else has no name and is its own JSON.
    ///
    /// # Errors
    ///
    /// When serde refuses the value, or its variant's name cannot stand on the wire ([`EventName`]).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let mut bytes = Vec::with_capacity(128);
        let name = value.serialize(ByVariant(&mut serde_json::Serializer::new(&mut bytes)))?;
        let json = String::from_utf8(bytes).expect("serde_json writes UTF-8");
        Ok(Self { name: name.map(EventName::try_from).transpose()?, data: Data::Json(json) })
    }

    /// An event whose data is any text, say a fragment of HTML. Its lines may end with LF, CR or CRLF; a client reads LF.
    ///
    /// ```
    /// use tornadose::{Event, EventName};
    ///
    /// let event = Event::text("<li>one</li>\n<li>two</li>").named(EventName::try_from("list")?);
    /// assert_eq!(event.name(), Some("list"));
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn text(data: impl Into<String>) -> Self {
        Self { name: None, data: Data::Text(data.into()) }
    }

    /// The same event under this name.
    ///
    /// ```
    /// use tornadose::{Event, EventName};
    ///
    /// let event = Event::of("hi")?.named(EventName::try_from("greeting")?);
    /// assert_eq!(event.name(), Some("greeting"));
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    #[must_use]
    pub fn named(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// The name; without one a browser dispatches the event as `message`.
    ///
    /// ```
    /// assert_eq!(tornadose::Event::text("hi").name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(EventName::as_str)
    }

    /// The data, a JSON text unless the event was made by [`Event::text`].
    ///
    /// ```
    /// assert_eq!(tornadose::Event::of(&[1, 2])?.data(), "[1,2]");
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn data(&self) -> &str {
        match &self.data {
            Data::Json(data) | Data::Text(data) => data,
        }
    }

    /// At most how many bytes it takes on a transport, beside a fixed envelope: a line of text takes `data: ` with Server-Sent
    /// Events, a control character or a quote takes an escape in the JSON of a WebSocket.
    pub(crate) fn weight(&self) -> usize {
        let escaped = |text: &str| {
            text.len() + 6 * text.bytes().filter(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\')).count()
        };
        let data = match &self.data {
            Data::Json(data) => data.len(),
            Data::Text(data) => escaped(data),
        };
        data + self.name().map_or(0, escaped)
    }

    pub(crate) fn is_json(&self) -> bool {
        matches!(self.data, Data::Json(_))
    }
}

/// A name that an event may carry: not empty, without CR or LF, and none of those that a page's own `EventSource` handlers
/// or ours listen to (`error`, `open`, `tornadose:*`).
///
/// The field `event` ends at a line's end (WHATWG HTML §9.2.6), so CR or LF in a name would forge fields or events.
///
/// ```
/// use tornadose::EventName;
///
/// assert_eq!(EventName::try_from("said")?.as_str(), "said");
/// assert_eq!(EventName::try_from("a\nid: 9").unwrap_err().to_string(), r#"the event name "a\nid: 9" has a line break"#);
/// # Ok::<(), tornadose::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventName(Box<str>);

impl EventName {
    /// The name as text.
    ///
    /// ```
    /// # use tornadose::EventName;
    /// assert_eq!(EventName::try_from("said")?.as_str(), "said");
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EventName {
    type Error = EncodeError;

    fn try_from(name: &str) -> Result<Self, EncodeError> {
        let refused = |why| Err(EncodeError(Cause::Name { name: name.into(), why }));
        if name.is_empty() {
            return refused("is empty");
        }
        if name.contains(['\r', '\n']) {
            return refused("has a line break");
        }
        if name == "error" || name == "open" || name.starts_with("tornadose:") {
            return refused("would fire a handler that is not meant: `error`, `open` and `tornadose:*` are taken");
        }
        Ok(Self(name.into()))
    }
}

/// Why a message has no event: serde refused it, or its name cannot stand on the wire.
///
/// ```
/// let error = tornadose::EventName::try_from("open").unwrap_err();
/// assert!(error.to_string().contains("are taken"));
/// ```
#[derive(Debug)]
pub struct EncodeError(Cause);

#[derive(Debug)]
enum Cause {
    Json(serde_json::Error),
    Name { name: Box<str>, why: &'static str },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Json(error) => write!(f, "the message cannot be written as JSON: {error}"),
            Cause::Name { name, why } => write!(f, "the event name {name:?} {why}"),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Json(error) => Some(error),
            Cause::Name { .. } => None,
        }
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(Cause::Json(error))
    }
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Cause::Json(ser::Error::custom(message)))
    }
}

type Json<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

/// Writes a value's JSON, but of a variant only the content; answers the variant's name.
struct ByVariant<'a, 'b>(&'a mut Json<'b>);

/// The content of a variant with several fields, and the variant's name for the end.
struct Content<C> {
    json: C,
    variant: &'static str,
}

macro_rules! unnamed {
    ($($method:ident($($value:ident: $type:ty)?);)*) => {$(
        fn $method(self $(, $value: $type)?) -> Result<Self::Ok, EncodeError> {
            self.0.$method($($value)?)?;
            Ok(None)
        }
    )*};
}

impl<'a, 'b> ser::Serializer for ByVariant<'a, 'b> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    type SerializeSeq = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeSeq>;
    type SerializeTuple = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeTuple>;
    type SerializeTupleStruct = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeTupleStruct>;
    type SerializeTupleVariant = Content<<&'a mut Json<'b> as ser::Serializer>::SerializeTuple>;
    type SerializeMap = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeMap>;
    type SerializeStruct = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeStruct>;
    type SerializeStructVariant = Content<<&'a mut Json<'b> as ser::Serializer>::SerializeStruct>;

    unnamed! {
        serialize_bool(v: bool); serialize_i8(v: i8); serialize_i16(v: i16); serialize_i32(v: i32); serialize_i64(v: i64);
        serialize_i128(v: i128); serialize_u8(v: u8); serialize_u16(v: u16); serialize_u32(v: u32); serialize_u64(v: u64);
        serialize_u128(v: u128); serialize_f32(v: f32); serialize_f64(v: f64); serialize_char(v: char); serialize_str(v: &str);
        serialize_bytes(v: &[u8]); serialize_none(); serialize_unit(); serialize_unit_struct(name: &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_some(value)?;
        Ok(None)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_newtype_struct(name, value)?;
        Ok(None)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_unit()?;
        Ok(Some(variant))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, EncodeError> {
        value.serialize(self.0)?;
        Ok(Some(variant))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        Ok(Unnamed(self.0.serialize_seq(len)?))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, EncodeError> {
        Ok(Unnamed(self.0.serialize_tuple(len)?))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Ok(Unnamed(self.0.serialize_tuple_struct(name, len)?))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        Ok(Content { json: self.0.serialize_tuple(len)?, variant })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Ok(Unnamed(self.0.serialize_map(len)?))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, EncodeError> {
        Ok(Unnamed(self.0.serialize_struct(name, len)?))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        Ok(Content { json: self.0.serialize_struct(name, len)?, variant })
    }
}

/// A sequence, map or struct that is not a variant's content.
struct Unnamed<C>(C);

macro_rules! forward {
    ($trait:ident, $method:ident) => {
        impl<C: ser::$trait<Ok = (), Error = serde_json::Error>> ser::$trait for Unnamed<C> {
            type Ok = Option<&'static str>;
            type Error = EncodeError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                Ok(self.0.$method(value)?)
            }
            fn end(self) -> Result<Self::Ok, EncodeError> {
                self.0.end()?;
                Ok(None)
            }
        }
    };
}
forward!(SerializeSeq, serialize_element);
forward!(SerializeTuple, serialize_element);
forward!(SerializeTupleStruct, serialize_field);

impl<C: ser::SerializeMap<Ok = (), Error = serde_json::Error>> ser::SerializeMap for Unnamed<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_key(key)?)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_value(value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.0.end()?;
        Ok(None)
    }
}

impl<C: ser::SerializeStruct<Ok = (), Error = serde_json::Error>> ser::SerializeStruct for Unnamed<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_field(key, value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.0.end()?;
        Ok(None)
    }
}

impl<C: ser::SerializeTuple<Ok = (), Error = serde_json::Error>> ser::SerializeTupleVariant for Content<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(self.json.serialize_element(value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.json.end()?;
        Ok(Some(self.variant))
    }
}

impl<C: ser::SerializeStruct<Ok = (), Error = serde_json::Error>> ser::SerializeStructVariant for Content<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        Ok(self.json.serialize_field(key, value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.json.end()?;
        Ok(Some(self.variant))
    }
}
