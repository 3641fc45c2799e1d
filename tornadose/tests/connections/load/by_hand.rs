//! `Subscriber::load` by hand.

use salvo::{Depot, Request, Router};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, Options};
use tornadose_test::assert_transcript;

use crate::connections::harness::harness;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

struct Lines;

impl Subscriber for Lines {
    type Message = Line;
    const OPTIONS: Options = Options::new().replay(5).max_loads(0);
    const LOADS: bool = true;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
    async fn load(&self, _: &Store<Line>) -> Result<Vec<Line>, StatusError> {
        Ok(vec![Line("stored".into())])
    }
}

#[tornadose_test::test]
async fn a_subscriber_by_hand_loads() {
    let store = Store::new();
    store.submit(Line("kept".into())).await.unwrap();
    let app = harness(Router::with_path("lines").get(StreamHandler::<Lines>::new(&store)));
    let ada = app.client("ada").sse("/lines").await;
    let bob = app.client("bob").ws("/lines").await;
    assert_transcript!(app, @r#"
    ada > GET /lines
    ada ~ open 200 text/event-stream
    ada < tornadose:reset {}
    ada < message "stored"
    ada < message #1 "kept"
    bob > GET /lines upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    bob < message "stored"
    bob < message #1 "kept"
    "#);
    drop((ada, bob));
}
