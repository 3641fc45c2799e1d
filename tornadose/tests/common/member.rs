//! A room whose members submit when their connections open and close. The query says what their hooks do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::{harness, secs};

#[store(queue, capacity = 8)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Joined(String),
    Said(String),
    Left(String),
}

/// A middleware that gives members a list of what their hooks did, in order.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    pub(crate) fn add(&self, call: impl Into<String>) {
        self.0.lock().unwrap().push(call.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[handler]
impl Calls {
    fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.clone());
    }
}

/// `GET /room?user=ada&opened=…&closed=…`
#[subscriber(
    sse,
    ws,
    store = Event,
    authorize = Self::may_join,
    filter = Self::is_wanted,
    receive = Self::received,
    opened = Self::joined,
    closed = Self::left,
    retry = "2s",
)]
pub(crate) struct Member {
    #[query]
    user: String,
    #[query]
    opened: Option<String>,
    #[query]
    closed: Option<String>,
    #[state]
    received: u32,
    #[depot]
    calls: Calls,
}

impl Member {
    async fn may_join(&self) -> Result<(), StatusError> {
        if self.user == "nobody" { Err(StatusError::forbidden()) } else { Ok(()) }
    }

    fn is_wanted(&self, event: &Event) -> bool {
        assert!(!matches!(event, Event::Said(text) if *text == format!("not for {}", self.user)), "filter");
        true
    }

    async fn received(&mut self, text: String, store: &Store<Event>) -> Result<u32, Close> {
        self.received += 1;
        match &*text {
            "panic" => panic!("receive"),
            "close" => Err(Close::new(CloseCode::literal::<4000>(), "as asked")),
            _ => {
                store.submit(Event::Said(text)).await.unwrap();
                Ok(self.received)
            }
        }
    }

    async fn joined(&mut self, store: &Store<Event>) -> Result<(), Close> {
        let Self { user, calls, .. } = self;
        calls.add(format!("{user} opens"));
        match self.opened.as_deref() {
            None => drop(store.submit(Event::Joined(user.clone())).await),
            Some("silently") => {}
            Some("panic") => panic!("opened"),
            Some("flood") => {
                for number in 0..12 {
                    store.submit(Event::Said(number.to_string())).await.unwrap();
                }
            }
            Some(what) => {
                if let Ok(code) = what.parse::<u16>() {
                    return Err(Close::new(CloseCode::try_from(code).unwrap(), "the room is locked"));
                }
                tokio::time::sleep(seconds(what)).await;
                calls.add(format!("{user} has opened"));
            }
        }
        Ok(())
    }

    async fn left(self, store: &Store<Event>) {
        let Self { user, calls, received, .. } = &self;
        calls.add(format!("{user} closes after {received} texts"));
        match self.closed.as_deref() {
            None => drop(store.submit(Event::Left(user.clone())).await),
            Some("silently") => {}
            Some("panic") => panic!("closed"),
            Some("handoff") => drop(store.try_submit(Event::Left(user.clone()))),
            Some("elsewhere") => {
                let (store, calls) = (store.clone(), calls.clone());
                tokio::spawn(async move {
                    let result = store.submit(Event::Left("elsewhere".into())).await;
                    calls.add(format!("elsewhere: {}", result.unwrap_err()));
                });
                tokio::time::sleep(secs(1)).await;
            }
            Some(what) => {
                tokio::time::sleep(seconds(what)).await;
                let result = store.submit(Event::Left(user.clone())).await;
                calls.add(format!("{user} has closed, {}", if result.is_ok() { "and said so" } else { "unheard" }));
            }
        }
    }
}

/// Parses `3s`.
fn seconds(text: &str) -> Duration {
    secs(text.strip_suffix('s').and_then(|number| number.parse().ok()).expect("seconds"))
}

pub(crate) fn router(store: &Store<Event>, calls: &Calls) -> Router {
    Router::new()
        .hoop(calls.clone())
        .push(Router::with_path("room").get(Member::handler(store)))
        .push(Router::with_path("small").get(Member::handler(store).max_connections(1)))
        .push(Router::with_path("aged").get(Member::handler(store).max_age(secs(60))))
        .push(Router::with_path("quick").get(Member::handler(store).keep_alive(secs(1))))
}

pub(crate) fn room() -> (Store<Event>, Harness, Calls) {
    let (store, calls) = (Store::new(), Calls::default());
    let app = harness(router(&store, &calls));
    (store, app, calls)
}
