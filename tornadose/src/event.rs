//! What a message looks like outside: an event has a name and data. Ids belong to the log, bytes to `wire`.

mod by_variant;
pub(crate) mod error;
pub(crate) mod name;

use serde::ser::Serialize;

use crate::event::by_variant::ByVariant;
use crate::event::error::EncodeError;
use crate::event::name::EventName;

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
