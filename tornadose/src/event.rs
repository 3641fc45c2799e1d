//! What a message looks like outside: an event has a name and data. Ids belong to the log, bytes to `wire`.

mod variant;
pub(crate) mod error;
pub(crate) mod name;

use std::cell::Cell;

use serde::ser::Serialize;

use crate::event::error::EncodeError;
use crate::event::name::EventName;
use crate::event::variant::ByVariant;

/// The name and the data of one message, before it has a place in a log.
///
/// The attribute `#[store]` makes it by [`Event::json`]; who implements [`Message`](crate::Message) by hand may send any text.
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

/// JSON stands in a WebSocket event as it is; other text becomes a JSON string there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Json(String),
    Text(String),
}

thread_local! {
    /// Where JSON is written, to be copied at its length: what is kept has no spare room, which no bound would count.
    static DRAFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Room that a thread keeps for its next draft, in bytes.
const LONGEST_DRAFT: usize = 64 << 10;

impl Event {
    /// The event of a value, as serde sees it: a variant of an enum is named after the variant and carries its content,
    /// anything else has no name and is its own JSON.
    ///
    /// # Errors
    ///
    /// When serde refuses the value, or its variant's name cannot stand on the wire ([`EventName`]).
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        // Taken, so that a value which makes events while it is serialized finds another.
        let mut draft = DRAFT.try_with(Cell::take).unwrap_or_default();
        draft.clear();
        let name = value.serialize(ByVariant(&mut serde_json::Serializer::new(&mut draft)))?;
        let json = str::from_utf8(&draft).expect("serde_json writes UTF-8").to_owned();
        if draft.capacity() <= LONGEST_DRAFT {
            // A thread that is about to end has no place for it.
            DRAFT.try_with(|kept| kept.set(draft)).ok();
        }
        Ok(Self { name: name.map(EventName::try_from).transpose()?, data: Data::Json(json) })
    }

    /// An event whose data is any text, say a fragment of HTML. Its lines may end with LF, CR or CRLF; a client reads LF.
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

    /// The same event under this name.
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
    /// assert_eq!(tornadose::Event::json(&[1, 2])?.data(), "[1,2]");
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

#[cfg(test)]
mod tests {
    use serde::ser::{Error, Serializer};

    use super::*;

    /// Makes an event while it is made one.
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

    /// Fails behind what it has written already.
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq([Ok(1), Err("no")].map(|item| item.map_err(Half)))
        }
    }

    struct Half(&'static str);

    impl Serialize for Half {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom(self.0))
        }
    }

    #[test]
    fn nothing_of_a_value_that_failed_is_in_the_next() {
        assert!(Event::json(&Broken).is_err());
        assert_eq!(Event::json(&7).unwrap().data(), "7");
    }

    #[test]
    fn what_is_kept_has_no_room_to_spare() {
        for length in [0, 100, 1000, LONGEST_DRAFT + 1] {
            let event = Event::json(&"x".repeat(length)).unwrap();
            let Data::Json(json) = event.data else { panic!("not JSON") };
            assert_eq!((json.len(), json.capacity()), (length + 2, length + 2));
        }
    }

    #[test]
    fn a_thread_keeps_no_long_draft() {
        Event::json(&"x".repeat(LONGEST_DRAFT + 1)).unwrap();
        assert_eq!(DRAFT.take().capacity(), 0);
        Event::json("x").unwrap();
        assert!((1..=LONGEST_DRAFT).contains(&DRAFT.take().capacity()));
    }
}
