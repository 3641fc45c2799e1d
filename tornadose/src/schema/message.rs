//! The trait of messages whose events are described.

use schemars::{Schema, SchemaGenerator};

use crate::message::Message;

/// A message type whose events are described. `#[store(…, schema)]` implements it for a type with
/// [`JsonSchema`](crate::schema::JsonSchema).
///
/// An implementation by hand describes what its [`event`](Message::event) writes:
///
/// ```
/// use schemars::{JsonSchema, SchemaGenerator};
/// use tornadose::schema::{EventSchema, MessageSchema};
/// use tornadose::{EncodeError, Event, Message, NoKey, Retention};
///
/// struct Fragment(String);
///
/// impl Message for Fragment {
///     type Key = NoKey;
///     const CHANNEL: &'static str = "fragments";
///     # fn key(&self) -> NoKey { NoKey }
///     # fn retention(&self) -> Retention { Retention::Latest }
///
///     fn event(&self) -> Result<Event, EncodeError> {
///         Ok(Event::text(&self.0))
///     }
/// }
///
/// impl MessageSchema for Fragment {
///     fn event_schemas(schemas: &mut SchemaGenerator) -> Vec<EventSchema> {
///         vec![EventSchema::unnamed(String::json_schema(schemas)).description("A fragment of HTML.")]
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the events of `{Self}` are not described",
    label = "has no schema",
    note = "write `schema` in its attribute, as in `#[store(queue, schema)]`, or `impl MessageSchema for {Self}`"
)]
pub trait MessageSchema: Message {
    /// Returns the events that its messages have. Definitions are added to the generator, which describes what is
    /// serialized.
    fn event_schemas(schemas: &mut SchemaGenerator) -> Vec<EventSchema>;

    /// Returns the schema of a key as clients know it: the object of its fields, or the value of the only one. `None` for
    /// a message without a key.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn key_schema(schemas: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    /// Returns the schema of a slot as clients know it, as that of a key. `None` for a message without slots.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn slot_schema(schemas: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// One kind of event: its name and the schema of its data.
///
/// ```
/// use tornadose::schema::EventSchema;
///
/// let said = EventSchema::named("said", schemars::json_schema!({ "type": "string" }));
/// assert_eq!(said.name(), Some("said"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EventSchema {
    pub(crate) name: Option<String>,
    pub(crate) data: Schema,
    pub(crate) description: Option<String>,
}

impl EventSchema {
    /// Returns an event with a name.
    ///
    /// ```
    /// # use tornadose::schema::EventSchema;
    /// let _left = EventSchema::named("left", schemars::json_schema!({ "type": "null" }));
    /// ```
    pub fn named(name: impl Into<String>, data: Schema) -> Self {
        Self { name: Some(name.into()), data, description: None }
    }

    /// Returns an event without a name, which browsers call `message`.
    ///
    /// ```
    /// # use tornadose::schema::EventSchema;
    /// assert_eq!(EventSchema::unnamed(schemars::json_schema!({ "type": "number" })).name(), None);
    /// ```
    pub fn unnamed(data: Schema) -> Self {
        Self { name: None, data, description: None }
    }

    /// Adds a description.
    ///
    /// ```
    /// # use tornadose::schema::EventSchema;
    /// let tick = EventSchema::unnamed(schemars::json_schema!({ "type": "number" }));
    /// let _tick = tick.description("The newest number.");
    /// ```
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Returns the name.
    ///
    /// ```
    /// # use tornadose::schema::EventSchema;
    /// let left = EventSchema::named("left", schemars::json_schema!(true));
    /// assert_eq!(left.name(), Some("left"));
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the schema of its data.
    ///
    /// ```
    /// # use tornadose::schema::EventSchema;
    /// let left = EventSchema::named("left", schemars::json_schema!(true));
    /// assert_eq!(left.data(), &schemars::json_schema!(true));
    /// ```
    #[must_use]
    pub fn data(&self) -> &Schema {
        &self.data
    }

    /// The name by which a page handles the event.
    pub(crate) fn handler(&self) -> &str {
        self.name.as_deref().unwrap_or("message")
    }
}
