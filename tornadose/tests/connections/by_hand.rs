//! Both traits implemented by hand, with another encoding and a set of keys.

use salvo::http::StatusError;
use salvo::{Depot, Request, Router};
use tornadose::subscriber::{KeyOf, Options, ReceiveError, Reply, Transports};
use tornadose::{EncodeError, Event, EventName, Keys, Message, Retention, Store, StreamHandler, Subscriber};
use tornadose_test::assert_transcript;

use super::harness::harness;

/// A fragment of HTML. The event has the name of its place in the page.
struct Fragment {
    page: &'static str,
    place: &'static str,
    html: String,
}

impl Message for Fragment {
    type Key = &'static str;
    const CHANNEL: &'static str = "fragments";

    fn key(&self) -> &'static str {
        self.page
    }
    fn retention(&self) -> Retention {
        Retention::Latest
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(&self.html).with_name(EventName::try_from(self.place)?))
    }
}

/// A connection to several pages. It may submit fragments if it reads `news`.
struct Reader {
    pages: Vec<&'static str>,
    may_submit: bool,
}

impl Subscriber for Reader {
    type Message = Fragment;
    const OPTIONS: Options = Options::new().transports(Transports::Both);

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let pages: String = request.query("pages").ok_or_else(|| StatusError::bad_request().brief("which `pages`?"))?;
        let known = |page: &str| ["home", "news"].into_iter().find(|known| *known == page);
        Ok(Self { pages: pages.split(',').filter_map(known).collect(), may_submit: false })
    }

    fn keys(&self) -> Keys<KeyOf<Self>> {
        if self.pages.is_empty() { Keys::All } else { Keys::Set(self.pages.clone()) }
    }

    async fn authorize(&mut self) -> Result<(), StatusError> {
        self.may_submit = self.pages.contains(&"news");
        Ok(())
    }

    fn filter(&self, message: &Fragment) -> bool {
        message.place != "draft"
    }

    async fn receive(&mut self, text: &str, store: &Store<Fragment>) -> Result<Option<Reply>, ReceiveError> {
        if !self.may_submit {
            return Err(ReceiveError::Report("read only".into()));
        }
        if text.is_empty() {
            return Ok(None);
        }
        let fragment = Fragment { page: "news", place: "answer", html: text.to_owned() };
        let id = store.submit(fragment).await.map_err(|error| ReceiveError::Report(error.to_string()))?;
        Ok(Some(Reply::new(&id)))
    }
}

#[tornadose_test::test]
async fn html_is_sent_and_received() {
    let store = Store::new();
    let app = harness(Router::with_path("pages").get(StreamHandler::<Reader>::new(&store)));
    let fragment = |page, place, html: &str| Fragment { page, place, html: html.into() };
    store.submit(fragment("home", "list", "<li>1</li>\n<li>2</li>")).await.unwrap();
    store.submit(fragment("home", "draft", "?")).await.unwrap();
    let both = app.client("both").sse("/pages?pages=home,news,home").await;
    let home = app.client("home").ws("/pages?pages=home").await;
    home.send_text("hello").await;
    let news = app.client("news").ws("/pages?pages=news").await;
    news.send_text("<b>hello</b>").await;
    news.send_text("").await;
    let _ask = news.send_ask(&7).await;
    let lost = app.client("lost").sse("/pages").await;
    assert_transcript!(app, @r##"
    both > GET /pages?pages=home,news,home
    both ~ open 200 text/event-stream
    both < list #1 <li>1</li>\n<li>2</li>
    home > GET /pages?pages=home upgrade websocket
    home ~ open 101
    home < list #1 "<li>1</li>\n<li>2</li>"
    home > "hello"
    home < tornadose:error {"reason":"read only"}
    news > GET /pages?pages=news upgrade websocket
    news ~ open 101
    news > "<b>hello</b>"
    both < answer #2 <b>hello</b>
    news < answer #2 "<b>hello</b>"
    news > ""
    news > ask 1 7
    both < answer #3 7
    news < tornadose:reply 1 "#3"
    news < answer #3 "7"
    lost > GET /pages
    lost ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: which `pages`?
    "##);
    drop((both, lost));
}

#[tornadose_test::test]
async fn a_reserved_or_invalid_event_name_is_an_error() {
    let store = Store::new();
    for place in ["", "a\nb", "open", "error", "tornadose:gap"] {
        let error = store.submit(Fragment { page: "home", place, html: "x".into() }).await.unwrap_err();
        assert!(error.to_string().starts_with("the event name"), "{error}");
        assert_eq!(error.into_message().place, place);
    }
    assert!(store.latest(&"home").is_none());
}
