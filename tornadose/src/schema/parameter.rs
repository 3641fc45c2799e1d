//! The parts of a request that a subscriber reads.

use schemars::{Schema, json_schema};

/// A part of the request that a subscriber reads: a path or query parameter, a header or a cookie.
///
/// ```
/// use tornadose::schema::Parameter;
///
/// let string = schemars::json_schema!({ "type": "string" });
/// let page = Parameter::query("page", string.clone()).optional();
/// assert_ne!(page, Parameter::query("page", string));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) schema: Schema,
    pub(crate) is_required: bool,
    /// The text between the values of a list in one query parameter. Without it a list is a repeated parameter.
    pub(crate) separator: Option<String>,
}

/// Where a parameter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Parameter {
    /// Returns a part of the path, `{name}`.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let string = schemars::json_schema!({ "type": "string" });
    /// assert_ne!(Parameter::path("room", string.clone()), Parameter::query("room", string));
    /// ```
    pub fn path(name: impl Into<String>, schema: Schema) -> Self {
        Self::at(Place::Path, name, schema)
    }

    /// Returns a query parameter that is required. Its values are repeated where the schema is an array.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let _symbols = Parameter::query("symbol", schemars::json_schema!({ "type": "array", "items": { "type": "string" } }));
    /// ```
    pub fn query(name: impl Into<String>, schema: Schema) -> Self {
        Self::at(Place::Query, name, schema)
    }

    /// Returns a header that is required.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let _tenant = Parameter::header("x-tenant", schemars::json_schema!({ "type": "string" }));
    /// ```
    pub fn header(name: impl Into<String>, schema: Schema) -> Self {
        Self::at(Place::Header, name, schema)
    }

    /// Returns a cookie that is required.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let _session = Parameter::cookie("session", schemars::json_schema!({ "type": "string" }));
    /// ```
    pub fn cookie(name: impl Into<String>, schema: Schema) -> Self {
        Self::at(Place::Cookie, name, schema)
    }

    /// Makes it one that a request may leave out. A part of the path cannot be left out.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let page = Parameter::query("page", schemars::json_schema!({ "type": "integer" }));
    /// assert_ne!(page.clone().optional(), page);
    /// ```
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.is_required = self.place == Place::Path;
        self
    }

    /// Makes it a list in one text, with this text between its values.
    ///
    /// ```
    /// use tornadose::schema::Parameter;
    ///
    /// let symbols = schemars::json_schema!({ "type": "array", "items": { "type": "string" } });
    /// let _symbols = Parameter::query("symbols", symbols).separated_by(",");
    /// ```
    #[must_use]
    pub fn separated_by(mut self, separator: impl Into<String>) -> Self {
        self.separator = Some(separator.into());
        self
    }

    /// Returns the query parameter by which every client resumes.
    pub(crate) fn last_event_id() -> Self {
        let schema = json_schema!({ "type": "string", "description": "The newest id that the client has read, to resume after it." });
        Self::query("last_event_id", schema).optional()
    }

    /// Returns the query parameter of a `#[ticket]` field. Expansions call it.
    #[doc(hidden)]
    pub fn ticket() -> Self {
        Self::query(
            "ticket",
            json_schema!({ "type": "string", "description": "A ticket for the path, which is good for a minute." }),
        )
    }

    fn at(place: Place, name: impl Into<String>, schema: Schema) -> Self {
        Self { place, name: name.into(), schema, is_required: true, separator: None }
    }
}
