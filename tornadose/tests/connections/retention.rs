//! Keys and bounds of a store, as clients see them.

use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options, Transports};
use tornadose::{EncodeError, Event, Retention};

use super::harness::harness;

#[store(latest)]
#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
enum Profile {
    Name {
        #[key]
        user: String,
        name: String,
    },
    Mail {
        #[key]
        user: String,
        mail: String,
    },
}

#[subscriber(sse, ws, store = Profile, authorize = public)]
struct Profiles {
    #[key]
    user: String,
}

fn fill(store: &Store<Profile>, user: &str) {
    store.try_submit(Profile::Name { user: user.into(), name: format!("{user}'s name") }).unwrap();
    store.try_submit(Profile::Mail { user: user.into(), mail: format!("{user}'s secret") }).unwrap();
}

#[tornadose_test::test]
async fn a_key_that_follows_a_forgotten_one_shows_none_of_its_messages() {
    let store = Store::new();
    let app = harness(Router::with_path("{user}").get(Profiles::handler(&store)));
    fill(&store, "ada");
    let ada = app.client("ada").sse("/ada").await;
    ada.skip(2).await;
    ada.close().await;
    store.forget(&ProfileKey { user: "ada".into() });
    fill(&store, "eve");
    let eve = app.client("eve").sse("/eve").await;
    let text = eve.next_event().await.data + &eve.next_event().await.data;
    assert!(!text.contains("ada"), "eve reads {text}");
}

/// A text of this many line feeds. Each takes 7 bytes on the wire.
struct LineFeeds(usize);

impl Message for LineFeeds {
    type Key = u8;
    const CHANNEL: &'static str = "line_feeds";
    const MEMORY: usize = 1 << 20;
    fn key(&self) -> u8 {
        0
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text("\n".repeat(self.0)))
    }
}

struct Newlines;

impl Subscriber for Newlines {
    type Message = LineFeeds;
    const OPTIONS: Options = Options::new().transports(Transports::Sse).replay(usize::MAX);
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
}

#[tornadose_test::test]
async fn memory_counts_the_encoded_bytes() {
    let store = Store::new();
    let app = harness(Router::with_path("lines").get(StreamHandler::<Newlines>::new(&store)));
    for _ in 0..200 {
        store.submit(LineFeeds(10_000)).await.unwrap();
    }
    let page = app.client("page").buffer_size(1 << 20).lenient().sse("/lines").await;
    let events = page.recording().to_string().lines().filter(|line| line.contains("message")).count();
    let bytes = events * 10_000 * 7;
    let memory = 1 << 20;
    assert!((memory / 4..=memory).contains(&bytes), "{events} events, {bytes} encoded bytes of {memory} are kept");
}
