//! Tickets authenticate a page that cannot send an `Authorization` header, as with `EventSource` and `WebSocket`. They are
//! sent in the query.
//!
//! A ticket names its value and its end, and is signed with a secret and the path for which it is. Nothing is kept of
//! it, so any process with the secret accepts it.

mod clock;
mod secrets;
mod issuer;
pub(crate) mod check;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::tickets::clock::Clock;
use crate::handler::tickets::secrets::Secrets;

pub use crate::handler::tickets::secrets::SecretError;

/// How long a ticket is good.
const LIFETIME: Duration = Duration::from_secs(60);

/// The greatest length of a ticket. Servers and proxies allow about 8 KB for a URL.
const LENGTH_MAX: usize = 4096;

/// Issues tickets, and verifies them: a page without cookies shows one to open a stream.
///
/// `EventSource` and `WebSocket` send no `Authorization` header. So the page asks for a ticket with a request that has
/// one, and opens the stream with the ticket in its query: `GET /inbox?ticket=…`. A ticket has a value, such as the id of
/// a user, in plain sight. It is good for 60 s and for one path, any number of times: an `EventSource` returns by itself
/// with the query that it had. A stream that is open stays open when its ticket ends; see
/// [`max_age`](crate::StreamHandler::max_age).
///
/// ```
/// use tornadose::prelude::*;
/// use tornadose::Tickets;
///
/// #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
/// struct UserId(u64);
///
/// #[store(queue)]
/// #[derive(Serialize)]
/// struct Notification {
///     #[key]
///     user: UserId,
///     title: String,
/// }
///
/// #[subscriber(sse, ws, store = Notification)]
/// struct Inbox {
///     #[key]
///     #[ticket]
///     user: UserId,
/// }
///
/// /// Knows who sent the request, by its `Authorization` header.
/// #[handler]
/// async fn login(request: &mut Request, depot: &mut Depot) {
///     if request.header::<String>("authorization").as_deref() == Some("Bearer of user 7") {
///         depot.insert_typed(UserId(7));
///     }
/// }
///
/// # tornadose_test::run(async {
/// let secret = "32 bytes or more, such as `openssl rand -hex 32` writes";
/// let tickets = Tickets::<UserId>::new([secret]).unwrap();
/// let store = Store::new();
/// let router = Router::new()
///     .push(Router::with_path("ticket").hoop(login).post(tickets.issue()))
///     .push(Router::with_path("inbox").get(Inbox::handler(&store).tickets(&tickets)));
/// # let app = tornadose_test::Harness::new(router);
/// # let denied = app.client("stranger").post("/ticket", "/inbox").await;
/// # assert_eq!(denied.status(), 401);
/// # let ticket = app.client("page").header("authorization", "Bearer of user 7").post("/ticket", "/inbox").await.text();
/// # let inbox = app.client("page").sse(&format!("/inbox?ticket={ticket}")).await;
/// # store.submit(Notification { user: UserId(7), title: "hi".into() }).await.unwrap();
/// # inbox.next_containing(serde_json::json!({ "title": "hi" })).await;
/// # });
/// ```
///
/// In the page, `live("/inbox", handlers, { ticket: "/ticket" })` of [`script`](crate::script) asks for a ticket before
/// each connection that it opens.
///
/// Several processes share the secrets. A new one replaces another in three deploys: accept it too,
/// `Tickets::new([old, new])`; sign with it, `[new, old]`; and after a minute leave out the old one.
///
/// A request without a ticket, or with one that is forged, of another path or too old, gets 401. Nothing of a ticket is
/// logged or counted. Access logs of proxies have the query, and a ticket in them is soon worthless.
///
/// Use a secret for one `Tickets` alone: a ticket does not name the type of its value, so another `Tickets` with the same
/// secret would accept it, if its JSON fits. Nor does it name the host.
///
/// The path is that of the request as the server receives it. Behind a proxy that removes a prefix, the page has to ask
/// for the path without it.
pub struct Tickets<T> {
    shared: Arc<Shared>,
    _value: PhantomData<fn() -> T>,
}

struct Shared {
    secrets: Secrets,
    clock: Clock,
}

/// The value of the ticket that a request came with.
///
/// A handler with [`tickets`](crate::StreamHandler::tickets) puts it into the request, where a [`Subscriber`] by hand finds
/// it. The attribute reads it with `#[ticket]`.
///
/// ```
/// # use tornadose::prelude::*;
/// use tornadose::Ticket;
///
/// fn user(request: &Request) -> Result<u64, StatusError> {
///     let ticket = request.extensions().get::<Ticket<u64>>();
///     ticket.map(|Ticket(user)| *user).ok_or_else(StatusError::unauthorized)
/// }
/// # assert!(user(&Request::default()).is_err());
/// ```
///
/// [`Subscriber`]: crate::Subscriber
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket<T>(pub T);

/// Why a ticket is not accepted.
///
/// ```
/// use tornadose::{TicketError, Tickets};
///
/// let tickets = Tickets::<u64>::new(["a secret of 32 bytes, or of more"]).unwrap();
/// assert_eq!(tickets.verify("forged", "/inbox"), Err(TicketError::Invalid));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// It is not a ticket, or was not signed for this path with one of the secrets.
    Invalid,
    /// Its time is over.
    Expired,
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the ticket is not valid for this path; ask for a new one",
            Self::Expired => "the ticket has expired; ask for a new one",
        })
    }
}

impl std::error::Error for TicketError {}

/// Why a ticket cannot be signed.
///
/// ```
/// use tornadose::{SignError, Tickets};
///
/// let tickets = Tickets::<String>::new(["a secret of 32 bytes, or of more"]).unwrap();
/// let long = tickets.sign(&"x".repeat(9000), "/inbox");
/// assert!(matches!(long, Err(SignError::TooLong { .. })));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SignError {
    /// The value cannot be written as JSON.
    NotEncoded(serde_json::Error),
    /// The ticket would be longer than 4096 bytes, and with it the URL.
    TooLong {
        /// The length of the ticket, in bytes.
        length: usize,
    },
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncoded(error) => write!(f, "the value of the ticket cannot be written as JSON: {error}"),
            Self::TooLong { length } => {
                write!(
                    f,
                    "the ticket would have {length} bytes, and at most {LENGTH_MAX} are allowed; sign an id instead"
                )
            }
        }
    }
}

impl std::error::Error for SignError {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Tickets<T> {
    /// Creates tickets that are signed with the first secret, and accepted when they are signed with any.
    ///
    /// A secret has at least 32 bytes, chosen at random: whoever knows it can make tickets.
    ///
    /// # Errors
    ///
    /// Without a secret, and with one that is too short.
    ///
    /// ```
    /// use tornadose::Tickets;
    ///
    /// assert!(Tickets::<u64>::new(["a secret of 32 bytes, or of more", "the secret that it has replaced!"]).is_ok());
    /// assert!(Tickets::<u64>::new(["short"]).is_err());
    /// ```
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SecretError> {
        let secrets = Secrets::new(secrets)?;
        Ok(Self { shared: Arc::new(Shared { secrets, clock: Clock::start() }), _value: PhantomData })
    }

    /// Signs a ticket for a path, for a program that passes it to a page in its own way.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON, or is too long.
    ///
    /// ```
    /// # use tornadose::Tickets;
    /// # let tickets = Tickets::<u64>::new(["a secret of 32 bytes, or of more"]).unwrap();
    /// let ticket = tickets.sign(&7, "/inbox").unwrap();
    /// assert_eq!(tickets.verify(&ticket, "/inbox"), Ok(7));
    /// assert!(tickets.verify(&ticket, "/outbox").is_err());
    /// ```
    pub fn sign(&self, value: &T, path: &str) -> Result<String, SignError> {
        let Shared { secrets, clock } = &*self.shared;
        let value = serde_json::to_vec(value).map_err(SignError::NotEncoded)?;
        let end = clock.unix_time().saturating_add(LIFETIME);
        let content = format!("{}.{}", end.as_millis(), BASE64_URL_SAFE_NO_PAD.encode(value));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(secrets.sign(path, &content));
        let ticket = format!("{content}.{signature}");
        if ticket.len() > LENGTH_MAX { Err(SignError::TooLong { length: ticket.len() }) } else { Ok(ticket) }
    }

    /// Verifies a ticket for a path, and returns its value.
    ///
    /// # Errors
    ///
    /// When it is not good for the path, or not any more.
    ///
    /// ```
    /// # use tornadose::Tickets;
    /// # let tickets = Tickets::<u64>::new(["a secret of 32 bytes, or of more"]).unwrap();
    /// let ticket = tickets.sign(&7, "/inbox").unwrap();
    /// assert_eq!(tickets.verify(&ticket, "/inbox"), Ok(7));
    /// ```
    pub fn verify(&self, ticket: &str, path: &str) -> Result<T, TicketError> {
        let Shared { secrets, clock } = &*self.shared;
        if ticket.len() > LENGTH_MAX {
            return Err(TicketError::Invalid);
        }
        let (content, signature) = ticket.rsplit_once('.').ok_or(TicketError::Invalid)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TicketError::Invalid)?;
        // The ticket is not trusted until its signature is verified.
        if !secrets.is_signed(path, content, &signature) {
            return Err(TicketError::Invalid);
        }
        let (end, value) = content.split_once('.').ok_or(TicketError::Invalid)?;
        let end = end.parse().map(Duration::from_millis).map_err(|_| TicketError::Invalid)?;
        if clock.unix_time() >= end {
            return Err(TicketError::Expired);
        }
        let value = BASE64_URL_SAFE_NO_PAD.decode(value).map_err(|_| TicketError::Invalid)?;
        serde_json::from_slice(&value).map_err(|_| TicketError::Invalid)
    }
}

impl<T> Clone for Tickets<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _value: PhantomData }
    }
}

impl<T> fmt::Debug for Tickets<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secrets stay secret.
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECRET: &str = "a secret of 32 bytes, or of more";
    const OTHER: &str = "the secret that it has replaced!";

    fn tickets(secrets: &[&str]) -> Tickets<u64> {
        Tickets::new(secrets).unwrap()
    }

    #[tornadose_test::test]
    async fn a_ticket_is_valid_for_its_path_and_a_minute() {
        let tickets = tickets(&[SECRET]);
        let ticket = tickets.sign(&7, "/inbox").unwrap();
        for path in ["/outbox", "/inbox/", "/", "", "/inbox?x"] {
            assert_eq!(tickets.verify(&ticket, path), Err(TicketError::Invalid), "{path}");
        }
        tokio::time::sleep(Duration::from_millis(59_900)).await;
        assert_eq!(tickets.verify(&ticket, "/inbox"), Ok(7));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(tickets.verify(&ticket, "/inbox"), Err(TicketError::Expired));
    }

    #[test]
    fn a_secret_is_replaced_in_two_steps() {
        let (before, during, after) = (tickets(&[OTHER]), tickets(&[SECRET, OTHER]), tickets(&[SECRET]));
        let old = before.sign(&7, "/inbox").unwrap();
        let new = during.sign(&8, "/inbox").unwrap();
        assert_eq!((during.verify(&old, "/inbox"), during.verify(&new, "/inbox")), (Ok(7), Ok(8)));
        assert_eq!((after.verify(&old, "/inbox"), after.verify(&new, "/inbox")), (Err(TicketError::Invalid), Ok(8)));
    }

    #[test]
    fn a_ticket_with_any_byte_changed_is_invalid() {
        let tickets = tickets(&[SECRET]);
        let ticket = tickets.sign(&7, "/inbox").unwrap();
        for index in 0..ticket.len() {
            for byte in [b'0', b'A', b'.', b'-', b'z'] {
                let mut forged = ticket.clone().into_bytes();
                if std::mem::replace(&mut forged[index], byte) != byte {
                    let forged = String::from_utf8(forged).unwrap();
                    // The unused bits of the last character must be zero.
                    assert_eq!(tickets.verify(&forged, "/inbox"), Err(TicketError::Invalid), "{forged}");
                }
            }
            assert_eq!(tickets.verify(&ticket[..index], "/inbox"), Err(TicketError::Invalid));
        }
        for odd in ["", ".", "..", "a.b.c", "99999999999999999999.Nw.AAAA", &"9".repeat(5000)] {
            assert_eq!(tickets.verify(odd, "/inbox"), Err(TicketError::Invalid), "{odd}");
        }
    }

    #[test]
    fn the_path_and_the_content_cannot_be_taken_for_one_another() {
        let tickets = tickets(&[SECRET]);
        let ticket = tickets.sign(&7, "/inbox").unwrap();
        let (content, signature) = ticket.rsplit_once('.').unwrap();
        let (head, tail) = content.split_at(1);
        assert_eq!(tickets.verify(&format!("{tail}.{signature}"), &format!("/inbox{head}")), Err(TicketError::Invalid));
    }

    #[test]
    fn secrets_are_refused_that_are_short_or_missing_and_are_not_shown() {
        assert_eq!(Tickets::<u64>::new([] as [&str; 0]).unwrap_err(), SecretError::None);
        assert_eq!(Tickets::<u64>::new([SECRET, "short"]).unwrap_err(), SecretError::Short { length: 5 });
        assert!(!format!("{:?}", tickets(&[SECRET])).contains("secret"));
    }
}
