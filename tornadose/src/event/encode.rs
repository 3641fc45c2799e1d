//! How an expansion of `#[store]` makes the event of a message.

use serde::{Serialize, Serializer};

use crate::event::Event;
use crate::event::error::EncodeError;

/// A type that `#[store]` can encode. Every type that implements `Serialize` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Serialize`",
    label = "a message is sent as JSON",
    note = "put `#[derive(Serialize)]` on `{Self}`"
)]
pub trait EncodeMessage {
    /// Returns the event of an enum: a variant names it.
    ///
    /// # Errors
    ///
    /// See [`Event::json`].
    fn encode(&self) -> Result<Event, EncodeError>;

    /// Returns the event without a name, also when serde writes the value as the variant of another type.
    ///
    /// # Errors
    ///
    /// See [`Event::json`].
    fn encode_unnamed(&self) -> Result<Event, EncodeError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> EncodeMessage for T {
    fn encode(&self) -> Result<Event, EncodeError> {
        Event::json(self)
    }

    fn encode_unnamed(&self) -> Result<Event, EncodeError> {
        Event::json(&Unnamed(self))
    }
}

/// Hides from the serializer of events that a value is a variant.
struct Unnamed<'a, T>(&'a T);

impl<T: Serialize> Serialize for Unnamed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct("Unnamed", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::EncodeMessage;

    #[derive(serde::Serialize)]
    enum Inner {
        Said { text: &'static str },
        Left,
    }

    #[derive(serde::Serialize)]
    #[serde(untagged)]
    enum Outer {
        Inner(Inner),
    }

    #[test]
    fn an_unnamed_event_has_the_json_of_the_whole_value() {
        for (value, data) in [(Inner::Said { text: "hi" }, r#"{"Said":{"text":"hi"}}"#), (Inner::Left, r#""Left""#)] {
            let event = Outer::Inner(value).encode_unnamed().unwrap();
            assert_eq!((event.name(), event.data()), (None, data));
        }
        assert_eq!(Inner::Left.encode().unwrap().name(), Some("Left"));
    }
}
