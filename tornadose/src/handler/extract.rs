//! Reads the fields of a subscriber from a request, and the messages of a WebSocket client from their texts.
//! Expansions of `#[subscriber]` call these functions through the traits of [`value`]. [`text`] turns a text into a value.

pub(crate) mod value;
pub(crate) mod own;
mod error;
mod text;

use std::any::type_name;

use salvo::http::StatusError;
use salvo::http::cookie::Cookie;
use salvo::{Depot, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::handler::extract::error::FieldError;
use crate::handler::extract::text::{Multiplicity, read};
use crate::subscriber::close::ReceiveError;

/// Reads the path parameter `{name}`, percent-decoded.
///
/// # Errors
///
/// 400 when it cannot be read, 500 when the route has no such parameter.
pub(crate) fn param<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let text: Option<&str> = request.params().get(name).map(String::as_str);
    read(text.as_slice(), Multiplicity::One).map_err(|error| match error {
        FieldError::Missing(_) => {
            StatusError::internal_server_error().brief(format!("the route has no parameter `{{{name}}}`"))
        }
        error => field_error("path parameter", name, &error),
    })
}

/// Reads the query parameter `name`, percent-decoded. A repeated parameter can be read as a list.
///
/// # Errors
///
/// 400 when it is missing or cannot be read.
pub(crate) fn query<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    read_query(request, name, Multiplicity::Many)
}

/// As [`query`], but a list of a parameter that is missing is empty.
///
/// # Errors
///
/// 400 when it cannot be read.
pub(crate) fn query_or_empty<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    read_query(request, name, Multiplicity::ManyOrNone)
}

fn read_query<T: DeserializeOwned>(
    request: &Request,
    name: &str,
    multiplicity: Multiplicity,
) -> Result<T, StatusError> {
    let texts: Vec<&str> =
        request.queries().get_vec(name).map(|texts| texts.iter().map(String::as_str).collect()).unwrap_or_default();
    read(&texts, multiplicity).map_err(|error| field_error("query parameter", name, &error))
}

/// Reads the query parameter `name`, percent-decoded and then split at the separator, as a list. Empty parts are left out,
/// so that an empty parameter has none. It may also be repeated.
///
/// # Errors
///
/// 400 when it is missing, has no part or cannot be read.
pub(crate) fn split_query<T: DeserializeOwned>(
    request: &Request,
    name: &str,
    separator: &str,
) -> Result<T, StatusError> {
    read_split_query(request, name, separator, Multiplicity::Many)
}

/// As [`split_query`], but a list of a parameter that is missing or has no part is empty.
///
/// # Errors
///
/// 400 when it cannot be read.
pub(crate) fn split_query_or_empty<T: DeserializeOwned>(
    request: &Request,
    name: &str,
    separator: &str,
) -> Result<T, StatusError> {
    read_split_query(request, name, separator, Multiplicity::ManyOrNone)
}

fn read_split_query<T: DeserializeOwned>(
    request: &Request,
    name: &str,
    separator: &str,
    multiplicity: Multiplicity,
) -> Result<T, StatusError> {
    let texts = request.queries().get_vec(name).into_iter().flatten();
    let parts = texts.flat_map(|text| text.split(separator)).filter(|part| !part.is_empty());
    read(&parts.collect::<Vec<_>>(), multiplicity).map_err(|error| field_error("query parameter", name, &error))
}

/// Reads the header `name`.
///
/// # Errors
///
/// 400 when it is missing, is not UTF-8, is given twice or cannot be read.
pub(crate) fn header<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let texts: Result<Vec<&str>, _> =
        request.headers().get_all(name).iter().map(|value| std::str::from_utf8(value.as_bytes())).collect();
    texts
        .map_err(|_| FieldError::Invalid("expected UTF-8".into()))
        .and_then(|texts| read(&texts, Multiplicity::One))
        .map_err(|error| field_error("header", name, &error))
}

/// Reads the cookie `name`, percent-decoded.
///
/// # Errors
///
/// 400 when it is missing or cannot be read.
pub(crate) fn cookie<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T, StatusError> {
    let text = request.cookie(name).map(Cookie::value);
    read(text.as_slice(), Multiplicity::One).map_err(|error| field_error("cookie", name, &error))
}

/// Clones the value that a middleware (hoop) inserted into the depot by its type.
///
/// # Errors
///
/// 500 when there is none.
pub(crate) fn depot<T: Clone + Send + Sync + 'static>(depot: &Depot) -> Result<T, StatusError> {
    depot_ref(depot).cloned()
}

/// Returns the value that a middleware (hoop) inserted into the depot by its type.
///
/// # Errors
///
/// 500 when there is none.
pub(crate) fn depot_ref<T: Send + Sync + 'static>(depot: &Depot) -> Result<&T, StatusError> {
    depot.get_typed().map_err(|_| {
        log_missing::<T>();
        let brief = format!("the depot has no `{}`: no hoop inserted one by `insert_typed`", type_name::<T>());
        StatusError::internal_server_error().brief(brief)
    })
}

/// Logs that a middleware did not do its part. The response tells it to the client alone.
fn log_missing<T>() {
    tracing::warn!(target: "tornadose", type_name = type_name::<T>(), "depot value missing");
}

/// Clones the value that a middleware (hoop) inserted into the depot under this name.
///
/// # Errors
///
/// 500 when there is none, or it is of another type.
pub(crate) fn depot_named<T: Clone + Send + Sync + 'static>(depot: &Depot, name: &str) -> Result<T, StatusError> {
    depot.get(name).cloned().map_err(|other| {
        log_missing::<T>();
        let brief = match other {
            None => format!("the depot has no entry `{name}`: no hoop inserted it"),
            Some(_) => format!("depot entry `{name}` is not a `{}`", type_name::<T>()),
        };
        StatusError::internal_server_error().brief(brief)
    })
}

/// Returns 400 for a value from the client, and 500 for a type that no text can be read as.
fn field_error(source: &str, name: &str, error: &FieldError) -> StatusError {
    let status = match error {
        FieldError::Missing(_) | FieldError::Invalid(_) => StatusError::bad_request(),
        FieldError::Unsupported(_) => StatusError::internal_server_error(),
    };
    status.brief(format!("{source} `{name}`: {error}"))
}

/// Parses the JSON of a text from the client.
///
/// # Errors
///
/// Reports the error of the JSON to the client.
pub(crate) fn parse_text<'text, T: Deserialize<'text>>(text: &'text str) -> Result<T, ReceiveError> {
    serde_json::from_str(text).map_err(|error| ReceiveError::Report(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use salvo::http::header::{HeaderName, HeaderValue};
    use salvo::http::{StatusCode, StatusError};
    use salvo::{Depot, Request};

    use super::{
        cookie, depot, depot_named, header, param, parse_text, query, query_or_empty, split_query, split_query_or_empty,
    };
    use crate::subscriber::close::ReceiveError;

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

    fn error_of<T: Debug>(read: Result<T, StatusError>) -> (StatusCode, String) {
        let error = read.unwrap_err();
        (error.code, error.brief)
    }

    fn bad_request(brief: &str) -> (StatusCode, String) {
        (StatusCode::BAD_REQUEST, brief.into())
    }

    fn server_error(brief: &str) -> (StatusCode, String) {
        (StatusCode::INTERNAL_SERVER_ERROR, brief.into())
    }

    #[test]
    fn a_query_parameter_is_read_and_a_missing_one_is_reported() {
        let request = request("since=7&room=a%20b+c&tag=1&tag=2&odd=%ff%00&empty");
        assert_eq!(query::<u64>(&request, "since").unwrap(), 7);
        assert_eq!(query::<String>(&request, "room").unwrap(), "a b c");
        assert_eq!(query::<Vec<u8>>(&request, "tag").unwrap(), [1, 2]);
        assert_eq!(query::<String>(&request, "odd").unwrap(), "\u{fffd}\0");
        assert_eq!(query::<String>(&request, "empty").unwrap(), "");
        assert_eq!(query::<Option<u64>>(&request, "until").unwrap(), None);
        assert_eq!(
            error_of(query::<u64>(&request, "until")),
            bad_request("query parameter `until`: missing, expected u64")
        );
        assert_eq!(error_of(query::<u64>(&request, "room")), bad_request("query parameter `room`: expected u64"));
        assert_eq!(
            error_of(query::<u8>(&request, "tag")),
            bad_request("query parameter `tag`: given 2 times, expected one u8")
        );
    }

    #[test]
    fn a_query_parameter_is_split_after_it_was_decoded() {
        let request = request("tag=1,2&tag=3&room=a%2Cb,,c%20d&empty=&commas=,,&odd=1,x");
        assert_eq!(split_query::<Vec<u8>>(&request, "tag", ",").unwrap(), [1, 2, 3]);
        assert_eq!(split_query::<Vec<String>>(&request, "room", ",").unwrap(), ["a", "b", "c d"]);
        assert_eq!(split_query::<Vec<String>>(&request, "room", ",,").unwrap(), ["a,b", "c d"]);
        assert_eq!(split_query::<Option<Vec<String>>>(&request, "empty", ",").unwrap(), None);
        let expected = |name: &str, what: &str| bad_request(&format!("query parameter `{name}`: {what}"));
        for name in ["empty", "commas", "none"] {
            let error = error_of(split_query::<Vec<String>>(&request, name, ","));
            assert_eq!(error, expected(name, "missing, expected a list"));
        }
        assert_eq!(error_of(split_query::<Vec<u8>>(&request, "odd", ",")), expected("odd", "expected u8"));
    }

    #[test]
    fn a_list_that_may_be_empty_needs_no_parameter() {
        let request = request("tag=1&tag=2,3&commas=,,");
        assert_eq!(query_or_empty::<Vec<String>>(&request, "tag").unwrap(), ["1", "2,3"]);
        assert_eq!(query_or_empty::<Vec<u8>>(&request, "none").unwrap(), [0; 0]);
        assert_eq!(query_or_empty::<Option<Vec<u8>>>(&request, "none").unwrap(), None);
        assert_eq!(split_query_or_empty::<Vec<u8>>(&request, "tag", ",").unwrap(), [1, 2, 3]);
        for name in ["commas", "none"] {
            assert_eq!(split_query_or_empty::<Vec<u8>>(&request, name, ",").unwrap(), [0; 0]);
        }
        let error = error_of(query_or_empty::<Vec<u8>>(&request, "tag"));
        assert_eq!(error, bad_request("query parameter `tag`: expected u8"));
    }

    #[test]
    fn a_path_parameter_missing_in_the_route_is_a_server_error() {
        let mut request = Request::default();
        request.params_mut().insert("room", "7".into());
        assert_eq!(param::<u64>(&request, "room").unwrap(), 7);
        assert_eq!(param::<Option<u64>>(&request, "user").unwrap(), None);
        assert_eq!(
            error_of(param::<bool>(&request, "room")),
            bad_request("path parameter `room`: expected `true` or `false`")
        );
        assert_eq!(error_of(param::<u64>(&request, "user")), server_error("the route has no parameter `{user}`"));
        let list = server_error("path parameter `room`: a list can only be read from query parameters");
        assert_eq!(error_of(param::<Vec<u64>>(&request, "room")), list);
    }

    #[test]
    fn a_header_is_read_and_odd_bytes_are_refused() {
        let request = with_header("x-tenant", "größe".as_bytes());
        assert_eq!(header::<String>(&request, "X-Tenant").unwrap(), "größe");
        assert_eq!(header::<Option<String>>(&request, "x-user").unwrap(), None);
        assert_eq!(
            error_of(header::<String>(&request, "x-user")),
            bad_request("header `x-user`: missing, expected text")
        );
        for odd in [b"\xff".as_slice(), b"\xc3", b"\x80\x80"] {
            assert_eq!(
                error_of(header::<String>(&with_header("x", odd), "x")),
                bad_request("header `x`: expected UTF-8")
            );
        }
        let mut twice = with_header("x", b"1");
        twice.headers_mut().append("x", HeaderValue::from_static("2"));
        assert_eq!(error_of(header::<u8>(&twice, "x")), bad_request("header `x`: given 2 times, expected one u8"));
    }

    #[test]
    fn a_cookie_is_read() {
        let mut request = Request::default();
        request.cookies_mut().add_original(("session", "7"));
        assert_eq!(cookie::<u64>(&request, "session").unwrap(), 7);
        assert_eq!(error_of(cookie::<u64>(&request, "user")), bad_request("cookie `user`: missing, expected u64"));
    }

    #[test]
    fn a_value_missing_in_the_depot_is_a_server_error() {
        let mut stored = Depot::new();
        stored.insert_typed(7_u64);
        stored.insert("user", 8_u64);
        assert_eq!(depot::<u64>(&stored).unwrap(), 7);
        assert_eq!(depot_named::<u64>(&stored, "user").unwrap(), 8);
        assert_eq!(
            error_of(depot::<u8>(&stored)),
            server_error("the depot has no `u8`: no hoop inserted one by `insert_typed`")
        );
        assert_eq!(
            error_of(depot_named::<u8>(&stored, "name")),
            server_error("the depot has no entry `name`: no hoop inserted it")
        );
        let other = server_error("depot entry `user` is not a `u8`");
        assert_eq!(error_of(depot_named::<u8>(&stored, "user")), other);
    }

    #[test]
    fn a_text_that_is_not_json_of_the_type_is_reported() {
        assert_eq!(parse_text::<u8>("7"), Ok(7));
        for text in ["", "hello?", "256", "7 8", "\u{0}", "[".repeat(10_000).as_str()] {
            assert!(matches!(parse_text::<u8>(text), Err(ReceiveError::Report(_))), "{text:?}");
        }
    }
}
