//! Reads a subscriber's fields off a request, and a WebSocket's texts off the wire. Which field stands where is for the
//! macro, how a text becomes a value for `text`.

mod text;

use std::any::type_name;
use std::fmt::Display;

use salvo::http::StatusError;
use salvo::http::cookie::Cookie;
use salvo::{Depot, Request};
use serde::de::DeserializeOwned;

use crate::handler::extract::text::{Lists, Unread, read};
use crate::subscriber::close::{Close, ReceiveError};

/// The path parameter `{name}`, percent-decoded.
///
/// # Errors
///
/// 400 when it cannot be read, 500 when the route has no such parameter.
pub fn param<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let text: Option<&str> = request.params().get(name).map(String::as_str);
    read(text.as_slice(), Lists::Refused).map_err(|unread| match unread {
        Unread::Missing(_) => {
            StatusError::internal_server_error().brief(format!("the route has no parameter `{{{name}}}`"))
        }
        unread => refused("path parameter", name, &unread),
    })
}

/// The query parameter of this name, percent-decoded; a list of them when it is repeated.
///
/// # Errors
///
/// 400 when it is missing or cannot be read.
pub fn query<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let texts: Vec<&str> =
        request.queries().get_vec(name).map(|texts| texts.iter().map(String::as_str).collect()).unwrap_or_default();
    read(&texts, Lists::Allowed).map_err(|unread| refused("query parameter", name, &unread))
}

/// The header of this name.
///
/// # Errors
///
/// 400 when it is missing, is not UTF-8, stands twice or cannot be read.
pub fn header<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let texts: Result<Vec<&str>, _> =
        request.headers().get_all(name).iter().map(|value| std::str::from_utf8(value.as_bytes())).collect();
    texts
        .map_err(|_| Unread::Unfit("expected UTF-8".into()))
        .and_then(|texts| read(&texts, Lists::Refused))
        .map_err(|unread| refused("header", name, &unread))
}

/// The cookie of this name, percent-decoded.
///
/// # Errors
///
/// 400 when it is missing or cannot be read.
pub fn cookie<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let text = request.cookie(name).map(Cookie::value);
    read(text.as_slice(), Lists::Refused).map_err(|unread| refused("cookie", name, &unread))
}

/// What a hoop has put into the depot by its type.
///
/// # Errors
///
/// 500 when no hoop has.
pub fn depot<T: Clone + Send + Sync + 'static>(depot: &Depot) -> Result<T, StatusError> {
    depot.get_typed().cloned().map_err(|_| {
        let brief = format!("no hoop has put a `{}` into the depot by `insert_typed`", type_name::<T>());
        StatusError::internal_server_error().brief(brief)
    })
}

/// What a hoop has put into the depot under this name.
///
/// # Errors
///
/// 500 when no hoop has, or it is of another type.
pub fn depot_named<T: Clone + Send + Sync + 'static>(depot: &Depot, name: &str) -> Result<T, StatusError> {
    depot.get(name).cloned().map_err(|other| {
        let brief = match other {
            None => format!("no hoop has put `{name}` into the depot"),
            Some(_) => format!("what a hoop has put into the depot as `{name}` is no `{}`", type_name::<T>()),
        };
        StatusError::internal_server_error().brief(brief)
    })
}

/// The client's fault, unless the field's type can be read from no text at all.
fn refused(source: &str, name: &str, unread: &Unread) -> StatusError {
    let status = match unread {
        Unread::Missing(_) | Unread::Unfit(_) => StatusError::bad_request(),
        Unread::Impossible(_) => StatusError::internal_server_error(),
    };
    status.brief(format!("{source} `{name}`: {unread}"))
}

/// The value in a text from the client.
///
/// # Errors
///
/// Says to the client what does not fit.
pub fn parse_text<T: DeserializeOwned>(text: &str) -> Result<T, ReceiveError> {
    serde_json::from_str(text).map_err(|error| ReceiveError::Report(error.to_string()))
}

/// What a `receive` function may return.
#[diagnostic::on_unimplemented(
    message = "a `receive` function returns nothing or a `Result<(), E>` whose error can be displayed, not `{Self}`",
    label = "returns `{Self}`"
)]
pub trait IntoReceiveResult {
    /// Whether the text was taken.
    ///
    /// # Errors
    ///
    /// Why it was not.
    fn into_receive_result(self) -> Result<(), ReceiveError>;
}

impl IntoReceiveResult for () {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        Ok(())
    }
}

impl<T, E: Display> IntoReceiveResult for Result<T, E> {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        self.map(drop).map_err(|error| ReceiveError::Report(error.to_string()))
    }
}

impl<T> IntoReceiveResult for Result<T, Close> {
    fn into_receive_result(self) -> Result<(), ReceiveError> {
        self.map(drop).map_err(ReceiveError::Close)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use salvo::http::header::{HeaderName, HeaderValue};
    use salvo::http::{StatusCode, StatusError};
    use salvo::{Depot, Request};

    use super::{IntoReceiveResult, cookie, depot, depot_named, header, param, parse_text, query};
    use crate::subscriber::close::{Close, CloseCode, ReceiveError};

    fn request(query: &str) -> Request {
        let mut request = Request::default();
        *request.uri_mut() = format!("http://localhost/?{query}").parse().unwrap();
        request
    }

    fn with_header(name: &'static str, value: &[u8]) -> Request {
        let mut request = Request::default();
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        request
    }

    fn told<T: Debug>(read: Result<T, StatusError>) -> (StatusCode, String) {
        let error = read.unwrap_err();
        (error.code, error.brief)
    }

    fn bad(brief: &str) -> (StatusCode, String) {
        (StatusCode::BAD_REQUEST, brief.into())
    }

    fn ours(brief: &str) -> (StatusCode, String) {
        (StatusCode::INTERNAL_SERVER_ERROR, brief.into())
    }

    #[test]
    fn a_query_parameter_is_read_and_its_lack_is_told() {
        let request = request("since=7&room=a%20b+c&tag=1&tag=2&odd=%ff%00&empty");
        assert_eq!(query::<u64>(&request, "since").unwrap(), 7);
        assert_eq!(query::<String>(&request, "room").unwrap(), "a b c");
        assert_eq!(query::<Vec<u8>>(&request, "tag").unwrap(), [1, 2]);
        assert_eq!(query::<String>(&request, "odd").unwrap(), "\u{fffd}\0");
        assert_eq!(query::<String>(&request, "empty").unwrap(), "");
        assert_eq!(query::<Option<u64>>(&request, "until").unwrap(), None);
        assert_eq!(told(query::<u64>(&request, "until")), bad("query parameter `until`: missing, expected u64"));
        assert_eq!(told(query::<u64>(&request, "room")), bad("query parameter `room`: expected u64"));
        assert_eq!(told(query::<u8>(&request, "tag")), bad("query parameter `tag`: given 2 times, expected one u8"));
    }

    #[test]
    fn a_path_parameter_that_the_route_has_not_is_our_fault() {
        let mut request = Request::default();
        request.params_mut().insert("room", "7".into());
        assert_eq!(param::<u64>(&request, "room").unwrap(), 7);
        assert_eq!(param::<Option<u64>>(&request, "user").unwrap(), None);
        assert_eq!(told(param::<bool>(&request, "room")), bad("path parameter `room`: expected `true` or `false`"));
        assert_eq!(told(param::<u64>(&request, "user")), ours("the route has no parameter `{user}`"));
        let list = ours("path parameter `room`: a list can only be read from query parameters");
        assert_eq!(told(param::<Vec<u64>>(&request, "room")), list);
    }

    #[test]
    fn a_header_is_read_and_odd_bytes_are_refused() {
        let request = with_header("x-tenant", "größe".as_bytes());
        assert_eq!(header::<String>(&request, "X-Tenant").unwrap(), "größe");
        assert_eq!(header::<Option<String>>(&request, "x-user").unwrap(), None);
        assert_eq!(told(header::<String>(&request, "x-user")), bad("header `x-user`: missing, expected text"));
        for odd in [b"\xff".as_slice(), b"\xc3", b"\x80\x80"] {
            assert_eq!(told(header::<String>(&with_header("x", odd), "x")), bad("header `x`: expected UTF-8"));
        }
        let mut twice = with_header("x", b"1");
        twice.headers_mut().append("x", HeaderValue::from_static("2"));
        assert_eq!(told(header::<u8>(&twice, "x")), bad("header `x`: given 2 times, expected one u8"));
    }

    #[test]
    fn a_cookie_is_read() {
        let mut request = Request::default();
        request.cookies_mut().add_original(("session", "7"));
        assert_eq!(cookie::<u64>(&request, "session").unwrap(), 7);
        assert_eq!(told(cookie::<u64>(&request, "user")), bad("cookie `user`: missing, expected u64"));
    }

    #[test]
    fn what_no_hoop_has_stored_is_our_fault() {
        let mut stored = Depot::new();
        stored.insert_typed(7_u64);
        stored.insert("user", 8_u64);
        assert_eq!(depot::<u64>(&stored).unwrap(), 7);
        assert_eq!(depot_named::<u64>(&stored, "user").unwrap(), 8);
        assert_eq!(told(depot::<u8>(&stored)), ours("no hoop has put a `u8` into the depot by `insert_typed`"));
        assert_eq!(told(depot_named::<u8>(&stored, "name")), ours("no hoop has put `name` into the depot"));
        let other = ours("what a hoop has put into the depot as `user` is no `u8`");
        assert_eq!(told(depot_named::<u8>(&stored, "user")), other);
    }

    #[test]
    fn a_text_that_is_no_json_of_the_type_is_answered() {
        assert_eq!(parse_text::<u8>("7"), Ok(7));
        for text in ["", "hello?", "256", "7 8", "\u{0}", "[".repeat(10_000).as_str()] {
            assert!(matches!(parse_text::<u8>(text), Err(ReceiveError::Report(_))), "{text:?}");
        }
    }

    #[test]
    fn an_error_that_is_a_close_ends_the_connection() {
        let close = Close::new(CloseCode::literal::<4003>(), "muted");
        assert_eq!(().into_receive_result(), Ok(()));
        assert_eq!(Ok::<u8, String>(7).into_receive_result(), Ok(()));
        assert_eq!(Err::<(), _>("not now").into_receive_result(), Err(ReceiveError::Report("not now".into())));
        assert_eq!(Err::<(), _>(close.clone()).into_receive_result(), Err(ReceiveError::Close(close)));
    }
}
