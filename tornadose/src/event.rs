//! The name and the data of a message, as clients receive them. The log adds the id; `wire` writes the bytes.

mod variant;
pub(crate) mod error;
pub(crate) mod name;
pub(crate) mod encode;

use std::cell::Cell;

use serde::ser::Serialize;

use crate::event::error::EncodeError;
use crate::event::name::EventName;
use crate::event::variant::VariantSerializer;

/// The name and the data of one message, before it has an id.
///
/// The attribute `#[store]` makes it with [`Event::json`]. A [`Message`](crate::Message) that is implemented by hand
/// may send any text.
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
/// let event = Event::json(&Room::Said { text: "hi".into() })?;
/// assert_eq!(event.name(), Some("said"));
/// assert_eq!(event.data(), r#"{"text":"hi"}"#);
/// # Ok::<(), tornadose::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    name: Option<EventName>,
    data: Data,
}

/// A WebSocket event embeds JSON as it is, and other text as a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Json(String),
    Text(String),
}

thread_local! {
    /// JSON is written here and then copied at its exact length: spare capacity would be kept and not be counted by
    /// `memory`.
    static ENCODE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest capacity, in bytes, that a thread keeps for its next event.
const ENCODE_BUFFER_MAX: usize = 64 << 10;

impl Event {
    /// Creates the event of a value, as serde sees it. The event of an enum's variant has the variant's name and
    /// content; the event of any other value has no name, and the value's JSON.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], when the value cannot be serialized or the variant's name is not an [`EventName`].
    ///
    /// ```
    /// use tornadose::Event;
    ///
    /// assert_eq!(Event::json(&[1, 2])?.data(), "[1,2]");
    /// assert_eq!(Event::json(&Some("hi"))?.name(), None);
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        // The buffer is taken: a value may make other events while it is serialized.
        let mut buffer = ENCODE_BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        let name = value.serialize(VariantSerializer(&mut serde_json::Serializer::new(&mut buffer)))?;
        let json = str::from_utf8(&buffer).expect("serde_json writes UTF-8").to_owned();
        if buffer.capacity() <= ENCODE_BUFFER_MAX {
            // In a thread that is ending the thread-local may be gone; the buffer is dropped then.
            ENCODE_BUFFER.try_with(|kept| kept.set(buffer)).ok();
        }
        Ok(Self { name: name.map(EventName::try_from).transpose()?, data: Data::Json(json) })
    }

    /// Creates an event whose data is any text, for example a fragment of HTML. Its lines may end with LF, CR or
    /// CRLF; a client reads LF.
    ///
    /// ```
    /// use tornadose::{Event, EventName};
    ///
    /// let event = Event::text("<li>one</li>\n<li>two</li>").with_name(EventName::try_from("list")?);
    /// assert_eq!(event.name(), Some("list"));
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn text(data: impl Into<String>) -> Self {
        Self { name: None, data: Data::Text(data.into()) }
    }

    /// Replaces the name.
    ///
    /// ```
    /// use tornadose::{Event, EventName};
    ///
    /// let event = Event::json("hi")?.with_name(EventName::try_from("greeting")?);
    /// assert_eq!(event.name(), Some("greeting"));
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// Returns the name. A browser dispatches an event without a name as `message`.
    ///
    /// ```
    /// assert_eq!(tornadose::Event::text("hi").name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(EventName::as_str)
    }

    /// Returns the data: JSON, unless the event was made with [`Event::text`].
    ///
    /// ```
    /// assert_eq!(tornadose::Event::json(&[1, 2])?.data(), "[1,2]");
    /// # Ok::<(), tornadose::EncodeError>(())
    /// ```
    pub fn data(&self) -> &str {
        match &self.data {
            Data::Json(data) | Data::Text(data) => data,
        }
    }

    /// Returns the most bytes that the event takes on any transport, without the fixed envelope. Each line of text
    /// takes `data: ` in Server-Sent Events; a control character or a quote takes an escape in the JSON of a
    /// WebSocket.
    pub(crate) fn encoded_len_max(&self) -> usize {
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

#[cfg(test)]
mod tests {
    use serde::ser::{Error, Serializer};

    use super::*;

    /// Makes another event while it is serialized.
    struct Nested;

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = Event::json("inner").map_err(S::Error::custom)?;
            serializer.collect_seq(["outer", inner.data()])
        }
    }

    #[test]
    fn a_value_may_make_events_while_it_is_serialized() {
        for _ in 0..2 {
            assert_eq!(Event::json(&Nested).unwrap().data(), r#"["outer","\"inner\""]"#);
        }
    }

    /// Fails after part of it has been written.
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq([Ok(1), Err("no")].map(|item| item.map_err(Unserializable)))
        }
    }

    struct Unserializable(&'static str);

    impl Serialize for Unserializable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom(self.0))
        }
    }

    #[test]
    fn an_event_has_nothing_of_a_value_that_failed_before() {
        assert!(Event::json(&Broken).is_err());
        assert_eq!(Event::json(&7).unwrap().data(), "7");
    }

    #[test]
    fn an_event_has_no_spare_capacity() {
        for length in [0, 100, 1000, ENCODE_BUFFER_MAX + 1] {
            let event = Event::json(&"x".repeat(length)).unwrap();
            let Data::Json(json) = event.data else { panic!("not JSON") };
            assert_eq!((json.len(), json.capacity()), (length + 2, length + 2));
        }
    }

    #[test]
    fn a_thread_keeps_no_large_buffer() {
        Event::json(&"x".repeat(ENCODE_BUFFER_MAX + 1)).unwrap();
        assert_eq!(ENCODE_BUFFER.take().capacity(), 0);
        Event::json("x").unwrap();
        assert!((1..=ENCODE_BUFFER_MAX).contains(&ENCODE_BUFFER.take().capacity()));
    }
}
