//! The reply to a text with which a client asked.

use std::any::type_name;
use std::borrow::Cow;

use serde::Serialize;

/// The reply to an ask, a text of a client that waits for one. [`Subscriber::receive`](crate::Subscriber::receive)
/// returns it; the client receives it as the event `tornadose:reply`.
///
/// ```
/// use tornadose::subscriber::{ReceiveError, Reply};
///
/// fn double(text: &str) -> Result<Option<Reply>, ReceiveError> {
///     let number: u32 = text.parse().map_err(|_| ReceiveError::Report("not a number".into()))?;
///     Ok(Some(Reply::new(&(2 * number))))
/// }
/// # assert!(double("21").is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(Result<Cow<'static, str>, NotEncoded>);

/// The value of a reply cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotEncoded {
    pub(crate) type_name: &'static str,
}

impl Reply {
    /// Encodes the value as JSON. The client of a value that cannot be encoded receives `tornadose:error` instead, and
    /// the server logs the type of the value.
    ///
    /// ```
    /// use tornadose::subscriber::Reply;
    ///
    /// assert_eq!(Reply::new(&["a", "b"]), Reply::new(&("a", "b")));
    /// ```
    #[must_use]
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Self {
        // A hook without a reply returns `()` for each text, and pays no allocation for that.
        let mut null = [0; 4];
        if size_of_val(value) == 0 && serde_json::to_writer(&mut null[..], value).is_ok() && null == *b"null" {
            return Self(Ok(Cow::Borrowed("null")));
        }
        let json = serde_json::to_string(value);
        Self(json.map(Cow::Owned).map_err(|_| NotEncoded { type_name: type_name::<T>() }))
    }

    pub(crate) fn json(&self) -> Result<&str, &NotEncoded> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Serialize;

    use super::Reply;

    #[derive(Serialize)]
    struct Nothing;

    #[derive(Serialize)]
    struct Empty {}

    #[derive(Serialize)]
    enum Answer {
        Yes,
    }

    #[test]
    fn a_value_is_written_as_json() {
        for (reply, json) in [
            (Reply::new(&()), "null"),
            (Reply::new(&Nothing), "null"),
            (Reply::new(&Empty {}), "{}"),
            (Reply::new(&Answer::Yes), r#""Yes""#),
            (Reply::new(""), r#""""#),
            (Reply::new(&[0; 0]), "[]"),
            (Reply::new(&Some(7)), "7"),
        ] {
            assert_eq!(reply.json(), Ok(json));
        }
    }

    #[test]
    fn a_value_that_cannot_be_encoded_is_known_by_its_type() {
        let reply = Reply::new(&HashMap::from([((1, 2), 3)]));
        assert!(reply.json().unwrap_err().type_name.contains("HashMap<(i32, i32), i32"));
    }
}
