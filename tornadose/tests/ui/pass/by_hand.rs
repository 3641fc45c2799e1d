//! Both traits implemented by hand, beside the macros, and generic.
#![deny(warnings, missing_docs)]

use std::marker::PhantomData;

use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Lag, Options, Origins, ReceiveError, Reply, Transports};
use tornadose::{EncodeError, Event, NoKey, Retention};

/// A fragment of HTML.
pub struct Fragment {
    page: String,
    html: String,
}

impl Message for Fragment {
    type Key = String;
    const CHANNEL: &'static str = "fragments";

    fn key(&self) -> String {
        self.page.clone()
    }
    fn retention(&self) -> Retention {
        Retention::Latest
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(&self.html))
    }
}

/// A connection to several pages.
pub struct Pages(Vec<String>);

impl Subscriber for Pages {
    type Message = Fragment;
    const OPTIONS: Options = Options::new()
        .transports(Transports::Ws)
        .replay(2)
        .lag(Lag::Close)
        .origins(Origins::List(&["https://app.example"]));

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        request.query("pages").map(Self).ok_or_else(StatusError::bad_request)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::Set(self.0.clone())
    }
    async fn authorize(&mut self) -> Result<(), StatusError> {
        if self.0.is_empty() { Err(StatusError::forbidden()) } else { Ok(()) }
    }
    fn filter(&self, fragment: &Fragment) -> bool {
        !fragment.html.is_empty()
    }
    async fn receive(&mut self, text: &str, _: &Store<Fragment>) -> Result<Option<Reply>, ReceiveError> {
        match text {
            "" => Ok(None),
            "length" => Ok(Some(Reply::new(&text.len()))),
            "bye" => Err(ReceiveError::Close(Close::new(CloseCode::NORMAL, "bye"))),
            _ => Err(ReceiveError::Report("what?".into())),
        }
    }
}

/// The macro with a message implemented by hand.
#[subscriber(sse, store = Fragment, all_keys)]
pub struct Everything;

/// All messages of any store.
pub struct All<M>(PhantomData<M>);

impl<M: Message> Subscriber for All<M> {
    type Message = M;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self(PhantomData))
    }
    fn keys(&self) -> Keys<M::Key> {
        Keys::All
    }
}

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

/// Builds the handlers.
pub fn main() {
    let fragments = Store::new();
    let _handlers = (
        StreamHandler::<Pages>::new(&fragments),
        Everything::handler(&fragments),
        StreamHandler::<All<Fragment>>::new(&fragments),
    );
    let _ticks = StreamHandler::<All<Tick>>::new(&Store::new());
    assert!(Fragment { page: String::new(), html: String::new() }.event().is_ok());
    assert_eq!(Tick(1.0).key(), NoKey);
}
