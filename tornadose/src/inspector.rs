//! The inspector: a page on which developers and operators look at stores and their connections. It is mounted as a
//! router.
//!
//! # Ordering
//!
//! A report of a store or of its connections replaces the one before. Gaps and ends are reported in the order in
//! which they happen to a connection.
//!
//! # Lagging
//!
//! A page that is too slow for the gaps and ends that are kept gets a gap itself.
//!
//! # Closing
//!
//! Stores are looked at as long as a page is connected. The pages' own streams end with their server, and when all
//! stores that they show are closed.

mod access;
mod assets;
mod clock;
mod inspected;
mod report;
mod sample;
mod watching;
mod events;
mod tail;
mod disconnect;

use std::fmt;
use std::sync::Arc;

use salvo::http::StatusError;
use salvo::{Depot, Request, Router};

use crate::inspector::access::Access;
use crate::inspector::assets::{Asset, Page};
use crate::inspector::disconnect::Disconnect;
use crate::inspector::events::Events;
use crate::inspector::inspected::Inspected;
use crate::inspector::tail::Tails;
use crate::inspector::watching::Watched;
use crate::message::Message;
use crate::script::script;
use crate::store::Store;

/// Creates an inspector: a page for developers and operators, which shows stores and their connections.
///
/// The page shows of each store its head, what it keeps, and the keys with most readers; of connections their
/// transport, age, keys, position, what they have yet to read, and the last gap or end that they were told of. It
/// shows gaps and ends as they happen, and the messages of a key. A key can be disconnected on it, as by
/// [`Store::disconnect`].
///
/// ```
/// use tornadose::prelude::*;
///
/// #[store(queue)]
/// #[derive(Serialize)]
/// struct Line {
///     #[key]
///     room: String,
///     text: String,
/// }
///
/// let store: Store<Line> = Store::new();
/// let inspector = tornadose::inspector().store(&store).public();
/// let router = Router::new().push(Router::with_path("inspector").push(inspector.router()));
/// # tornadose_test::run(async move {
/// # let app = tornadose_test::Harness::new(router);
/// # assert_eq!(app.get("/inspector/").await.status(), 200);
/// # });
/// ```
///
/// # Who may look
///
/// It shows the keys and messages of all users, so it is closed until it is told who may look: by
/// [`authorize`](Inspector::authorize), or by [`public`](Inspector::public) where only operators can reach it. With
/// neither, each request gets 403, and its text says so. A build with `debug_assertions` lets in requests from the
/// same machine: from a loopback address, to `localhost` or a loopback address, and through no proxy.
///
/// Requests of other sites' pages are refused always, as far as browsers tell of them. A page of a name that another has led to
/// the server's address (DNS rebinding) is of the same site: with [`public`](Inspector::public), or a hook that does not
/// ask for a cookie or a password, let something in front refuse the names of others.
///
/// # Costs
///
/// While no page is connected a reader costs what it costs without an inspector. While one is, each store is sampled
/// once a second: up to 16,384 readers, of which the 200 that are furthest behind are shown. The store is locked for
/// a page of readers at a time.
///
/// It loads nothing from elsewhere: its policy is `default-src 'none'`, with scripts, styles and connections of its
/// own path.
pub fn inspector() -> Inspector {
    Inspector { stores: Vec::new(), access: Access::Local }
}

/// An inspector that is being set up, see [`inspector`].
///
/// ```
/// # use tornadose::prelude::*;
/// # #[store(latest)]
/// # #[derive(Serialize)]
/// # struct Tick(f64);
/// let ticks: Store<Tick> = Store::new();
/// let router = Router::with_path("inspector").push(tornadose::inspector().store(&ticks).router());
/// # drop(router);
/// ```
#[must_use = "it shows nothing until its `router` is mounted"]
pub struct Inspector {
    stores: Vec<Arc<dyn Inspected>>,
    access: Access,
}

impl Inspector {
    /// Adds a store to those that are shown.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[store(queue)]
    /// # #[derive(Serialize)]
    /// # struct Line(String);
    /// let (ticks, lines): (Store<Tick>, Store<Line>) = (Store::new(), Store::new());
    /// let inspector = tornadose::inspector().store(&ticks).store(&lines);
    /// # drop(inspector);
    /// ```
    pub fn store<M: Message>(mut self, store: &Store<M>) -> Self {
        self.stores.push(Arc::new(store.clone()));
        self
    }

    /// Lets in the requests that a hook allows. It runs for every request of the inspector, also for the page's
    /// scripts.
    ///
    /// The hook takes what it needs of the request before it waits:
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # async fn is_operator(session: Option<String>) -> bool { session.as_deref() == Some("7") }
    /// # tornadose_test::run(async {
    /// let ticks: Store<Tick> = Store::new();
    /// let inspector = tornadose::inspector().store(&ticks).authorize(|request, _depot| {
    ///     let session = request.cookie("session").map(|cookie| cookie.value().to_owned());
    ///     async move { if is_operator(session).await { Ok(()) } else { Err(StatusError::not_found()) } }
    /// });
    /// let router = Router::with_path("inspector").push(inspector.router());
    /// # let app = tornadose_test::Harness::new(router);
    /// # assert_eq!(app.client("operator").cookie("session", 7).get("/inspector/").await.status(), 200);
    /// # assert_eq!(app.client("stranger").get("/inspector/").await.status(), 404);
    /// # });
    /// ```
    ///
    /// A middleware that has logged somebody in may have left them in the depot. A browser sends its cookies, or the
    /// credentials of HTTP's own authentication, with the page's stream too; other headers it does not send.
    ///
    /// # Errors
    ///
    /// The hook's error is the response.
    ///
    /// # Panics
    ///
    /// A panic of the hook is answered with 500.
    pub fn authorize<H, F>(mut self, hook: H) -> Self
    where
        H: Fn(&Request, &Depot) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), StatusError>> + Send + 'static,
    {
        self.access = Access::hook(hook);
        self
    }

    /// Lets in every request, because only operators can reach the path: the server listens at an address of its own,
    /// say, or a middleware refuses others.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// # #[handler]
    /// # async fn refuse_strangers() {}
    /// let ticks: Store<Tick> = Store::new();
    /// let inspector = tornadose::inspector().store(&ticks).public();
    /// let router = Router::with_path("inspector").hoop(refuse_strangers).push(inspector.router());
    /// # drop(router);
    /// ```
    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// Returns the routes of the inspector, to be pushed below any path.
    ///
    /// ```
    /// # use tornadose::prelude::*;
    /// # #[store(latest)]
    /// # #[derive(Serialize)]
    /// # struct Tick(f64);
    /// let ticks: Store<Tick> = Store::new();
    /// let inspector = tornadose::inspector().store(&ticks);
    /// let router = Router::with_path("operators/inspector").push(inspector.router());
    /// # drop(router);
    /// ```
    pub fn router(self) -> Router {
        let Self { stores, access } = self;
        let watched = Arc::new(Watched::new(stores));
        Router::new()
            .hoop(access)
            .get(Page)
            .push(Router::with_path("tornadose.js").get(script()))
            .push(Router::with_path("inspector.js").get(Asset::SCRIPT))
            .push(Router::with_path("inspector.css").get(Asset::STYLE))
            .push(Router::with_path("events").get(Events::new(&watched)))
            .push(Router::with_path("tail/{store}").get(Tails::new(&watched)))
            .push(Router::with_path("disconnect").post(Disconnect::new(&watched)))
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<_> = self.stores.iter().map(|store| store.channel()).collect();
        f.debug_struct("Inspector").field("stores", &channels).finish_non_exhaustive()
    }
}
