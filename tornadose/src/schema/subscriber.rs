//! The trait of subscribers that are described.

use schemars::{Schema, SchemaGenerator};

use crate::schema::message::MessageSchema;
use crate::schema::parameter::Parameter;
use crate::subscriber::Subscriber;

/// A subscriber that is described. `#[subscriber(…, schema)]` implements it where the message is described too.
///
/// The transports, the keys that a client may watch and what the library itself sends are known from the
/// [`Subscriber`]. An implementation by hand adds what that does not tell:
///
/// ```
/// # use schemars::JsonSchema;
/// use schemars::SchemaGenerator;
/// use tornadose::prelude::*;
/// use tornadose::schema::{Parameter, SubscriberSchema};
/// # use tornadose::subscriber::KeyOf;
/// #
/// # #[store(latest, schema)]
/// # #[derive(Serialize, JsonSchema)]
/// # struct Quote { #[key] symbol: String, bid: f64 }
///
/// struct Quotes(Keys<QuoteKey>);
///
/// impl Subscriber for Quotes {
///     // As in the documentation of the trait.
///     # type Message = Quote;
///     # fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> { Ok(Self(Keys::All)) }
///     # fn keys(&self) -> Keys<KeyOf<Self>> { self.0.clone() }
/// }
///
/// impl SubscriberSchema for Quotes {
///     const NAME: &'static str = "Quotes";
///
///     fn parameters(_: &mut SchemaGenerator) -> Vec<Parameter> {
///         let symbols = schemars::json_schema!({ "type": "array", "items": { "type": "string" } });
///         vec![Parameter::query("symbols", symbols).separated_by(",").optional()]
///     }
/// }
///
/// let document = tornadose::schema().route::<Quotes>("/quotes").asyncapi();
/// assert!(document.to_string().contains("symbols"));
/// ```
#[diagnostic::on_unimplemented(
    message = "the stream of `{Self}` is not described",
    label = "has no schema",
    note = "write `schema` in its attribute, as in `#[subscriber(sse, store = …, schema)]`, or `impl SubscriberSchema for {Self}`"
)]
pub trait SubscriberSchema: Subscriber {
    /// The name of the stream in documents and types. Two of one name are told apart by a number.
    const NAME: &'static str;

    /// The description of the stream, in Markdown.
    const DESCRIPTION: &'static str = "";

    /// Returns the parts of the request that it reads. Definitions are added to the generator, which describes what is
    /// deserialized.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn parameters(schemas: &mut SchemaGenerator) -> Vec<Parameter> {
        Vec::new()
    }

    /// Returns the schemas of the texts that [`receive`](Subscriber::receive) takes and replies with; `None` for a
    /// subscriber that takes none. The first generator describes what is deserialized, the second what is serialized.
    #[expect(unused_variables, reason = "the names are documentation")]
    fn texts(taken: &mut SchemaGenerator, replies: &mut SchemaGenerator) -> Option<TextSchemas> {
        None
    }
}

/// Compiles for a message that is described.
#[doc(hidden)]
pub fn expect_described<M: MessageSchema>() {}

/// The schemas of the texts that a client sends, and of the replies to those with which it asks.
///
/// ```
/// use tornadose::schema::TextSchemas;
///
/// let text = schemars::json_schema!({ "type": "string" });
/// let _echo = TextSchemas { taken: text.clone(), reply: text };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TextSchemas {
    /// Of what the client sends.
    pub taken: Schema,
    /// Of the reply.
    pub reply: Schema,
}
