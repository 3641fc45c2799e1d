//! What one connection is: the trait `Subscriber` and its options. How it is served is the handler's affair.

pub(crate) mod options;
pub(crate) mod close;

use std::future::{Future, ready};

use salvo::{Depot, Request, http::StatusError};

use crate::message::{Keys, Message};
use crate::store::Store;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::options::Options;

/// One connection to the messages of a store. The attribute [`#[subscriber]`](macro@crate::subscriber) implements it; by
/// hand it takes what the attribute does not offer, here a set of keys:
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Quote {
///     #[key]
///     symbol: String,
///     bid: f64,
/// }
///
/// /// `GET /quotes?symbols=AAPL,MSFT`
/// struct Watchlist(Vec<QuoteKey>);
///
/// impl Subscriber for Watchlist {
///     type Message = Quote;
///
///     fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
///         let symbols: String = request.query("symbols").ok_or_else(StatusError::bad_request)?;
///         Ok(Self(symbols.split(',').map(|symbol| QuoteKey { symbol: symbol.into() }).collect()))
///     }
///     fn keys(&self) -> Keys<QuoteKey> {
///         Keys::Set(self.0.clone())
///     }
/// }
///
/// let router = Router::with_path("quotes").get(StreamHandler::<Watchlist>::new(&Store::new()));
/// # drop(router);
/// ```
///
/// The struct lives as long as its connection and is dropped once: `impl Drop` is the disconnect hook.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a subscriber",
    label = "not a subscriber",
    note = "put `#[subscriber(sse, store = …)]` on `{Self}`"
)]
pub trait Subscriber: Sized + Send + Sync + 'static {
    /// What it receives.
    type Message: Message;

    /// How it is served.
    const OPTIONS: Options = Options::new();

    /// Reads the connection off its request.
    ///
    /// # Errors
    ///
    /// Becomes the HTTP answer; nothing was subscribed.
    fn from_request(request: &Request, depot: &Depot) -> Result<Self, StatusError>;

    /// Whose messages it receives; asked once, after [`authorize`](Self::authorize).
    fn keys(&self) -> Keys<KeyOf<Self>>;

    /// Decides whether the connection may open, and may complete it. Runs before the first byte.
    ///
    /// # Errors
    ///
    /// Becomes the HTTP answer; nothing was subscribed.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client leaves while it runs.
    fn authorize(&mut self) -> impl Future<Output = Result<(), StatusError>> + Send {
        ready(Ok(()))
    }

    /// Whether this message goes to the client; `false` withholds it. Called once per message and connection.
    #[expect(unused_variables, reason = "the names are for those who write it")]
    fn filter(&self, message: &Self::Message) -> bool {
        true
    }

    /// Takes a text that the client sent over a WebSocket. Texts come one at a time; nothing is delivered while it runs.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Report`] tells the client why and keeps the connection, [`ReceiveError::Close`] ends it.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connection ends while it runs.
    #[expect(unused_variables, reason = "the names are for those who write it")]
    fn receive(
        &mut self,
        text: &str,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<(), ReceiveError>> + Send {
        ready(Ok(()))
    }
}

/// The key type of a subscriber's messages.
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Tick(f64);
///
/// #[subscriber(sse, store = Tick)]
/// struct Ticks;
///
/// let _: tornadose::KeyOf<Ticks> = tornadose::NoKey;
/// ```
pub type KeyOf<S> = <<S as Subscriber>::Message as Message>::Key;
