//! Every option, every source, every hook, every shape.
#![deny(warnings, missing_docs)]

use std::time::Duration;

use tornadose::Retention;
use tornadose::prelude::*;
use tornadose::subscriber::{Lag, Options, Origins, Transports};

/// Has every option.
#[store(
    queue,
    capacity = 2_000,
    memory = "128KiB",
    max_key = "2KiB",
    ttl = "90m",
    channel = "every:option",
    finish,
    crate = tornadose,
)]
#[derive(Clone, Serialize, Deserialize)]
pub enum Event {
    /// Keys in one order.
    Begun {
        /// The tenant.
        #[key]
        tenant: u32,
        /// The room.
        #[key]
        room: String,
    },
    /// The last.
    #[finish]
    Ended {
        /// The tenant.
        #[key]
        tenant: u32,
        /// The room.
        #[key]
        room: String,
    },
    /// Keys in another order; only the newest is kept.
    #[latest(ttl = "24h")]
    Named {
        /// The room.
        #[key]
        room: String,
        /// The tenant.
        #[key]
        tenant: u32,
        /// The name.
        name: String,
    },
}

/// Has every option.
#[subscriber(
    sse,
    ws,
    store = Event,
    authorize = Self::authorize,
    filter = Self::filter,
    receive = Self::receive,
    load = Self::load,
    opened = Self::opened,
    closed = Self::closed,
    replay = 20,
    lag = close,
    keep_alive = "500ms",
    retry = "1500ms",
    origins = ["https://app.example", "http://localhost:3000"],
    max_connections = 10_000,
    max_keys = 50,
    max_loads = 4,
    max_age = "10m",
    protocols = ["v1", "v2"],
    max_message = "64KiB",
    throttle = "500ms",
    snapshots = unfiltered,
    crate = tornadose,
)]
pub struct Feed {
    #[key]
    #[depot("tenant")]
    tenant: u32,
    #[keys(room)]
    #[query("room", separator = ",")]
    rooms: Vec<String>,
    #[param("who")]
    #[allow(clippy::struct_field_names)]
    user: Option<String>,
    #[query]
    tags: Vec<String>,
    #[query("n")]
    number: Option<Vec<u8>>,
    #[header]
    x_forwarded_for: Option<String>,
    #[header("x-real-ip")]
    ip: Option<std::net::IpAddr>,
    #[cookie]
    session: Option<u64>,
    #[cookie("theme")]
    dark: bool,
    #[depot]
    login: Login,
    #[depot(Account, id)]
    account: u64,
    #[depot(Shard, 0)]
    shard: u8,
    #[ticket]
    guest: u64,
    #[state]
    received: Vec<Event>,
    #[connection]
    connection: ConnectionId,
    #[store_handle]
    events: Store<Event>,
}

/// A value of which a field is read. It is not `Clone`.
pub struct Account {
    /// The field.
    pub id: u64,
}

/// A value of which the first field is read.
pub struct Shard(pub u8);

/// A value that a middleware inserts.
#[derive(Clone)]
pub struct Login;

impl Feed {
    async fn load(&self, store: &Store<Event>) -> Result<impl Iterator<Item = Event> + use<>, StatusError> {
        let names = if self.events.head() == store.head() { self.tags.clone() } else { Vec::new() };
        let tenant = self.tenant;
        Ok(names.into_iter().map(move |name| Event::Named { room: String::new(), tenant, name }))
    }
    async fn opened(&mut self, store: &Store<Event>) -> Result<(), Close> {
        assert_eq!(self.events.head(), store.head());
        self.received.clear();
        if self.account == u64::from(self.shard) + self.guest {
            Ok(())
        } else {
            Err(Close::new(CloseCode::RESTART, "no"))
        }
    }
    async fn closed(self, store: &Store<Event>) {
        let name = self.connection.to_string();
        store.submit(Event::Named { room: String::new(), tenant: self.tenant, name }).await.ok();
    }
    async fn authorize(&mut self) -> Result<(), StatusError> {
        std::future::ready(()).await;
        let Login = self.login;
        let known = self.user.take().is_some() || self.session.is_some() || self.dark || self.ip.is_some();
        if known { Ok(()) } else { Err(StatusError::forbidden()) }
    }
    fn filter(&self, event: &Event) -> bool {
        let Event::Named { name, .. } = event else { return self.number.is_none() };
        self.tags.contains(name) || self.x_forwarded_for.is_some()
    }
    async fn receive(&mut self, event: Event, store: &Store<Event>) -> Result<(), Close> {
        self.received.push(event);
        drop(store.clone());
        Err(Close::new(CloseCode::literal::<4000>(), "no"))
    }
}

/// Has every word that is a value.
#[subscriber(sse, store = Event, all_keys, authorize = public, keep_alive = off, origins = any, lag = skip)]
pub struct Words {}

/// Has no fields, in parentheses.
#[subscriber(ws, store = Event, all_keys, max_age = "8760h", receive = receive, load = load, opened = opened, closed = closed)]
pub struct Empty();

async fn load(_: &Empty, _: &Store<Event>) -> Result<Option<Event>, StatusError> {
    Ok(None)
}

async fn opened(_: &Empty, _: &Store<Event>) {}

async fn closed(_: Empty, _: &Store<Event>) {}

async fn receive(_: &mut Empty, _: serde_json::Value, _: &Store<Event>) -> Result<(), String> {
    Err("no".into())
}

/// Only the newest is kept.
#[store(latest, memory = "2GiB")]
#[derive(Serialize)]
pub enum Light {
    /// A unit variant.
    Green,
    /// A tuple variant.
    Yellow(u8, u8),
    /// A variant with names.
    Red {
        /// The duration.
        seconds: u8,
    },
    /// Every message is kept.
    #[queue]
    Broken,
}

/// Only the newest of each key is kept.
#[derive(Serialize)]
#[store(latest)]
pub struct Quote {
    /// The key.
    #[key]
    #[serde(rename = "s")]
    pub symbol: String,
    /// The price.
    pub bid: f64,
}

/// A message without data.
#[store(queue)]
#[derive(Serialize)]
pub struct Ping;

/// Checks the options and the constants.
pub fn main() {
    let _handlers = (Feed::handler(&Store::new()), Words::handler(&Store::new()), Empty::handler(&Store::new()));
    let every = Options::new()
        .transports(Transports::Both)
        .replay(20)
        .lag(Lag::Close)
        .keep_alive(Duration::from_millis(500))
        .retry(Duration::from_millis(1500))
        .origins(Origins::List(&["https://app.example", "http://localhost:3000"]))
        .max_connections(10_000)
        .max_keys(50)
        .max_loads(4)
        .max_age(Duration::from_mins(10))
        .protocols(&["v1", "v2"])
        .max_message(64 << 10)
        .throttle(Duration::from_millis(500));
    assert_eq!(Feed::OPTIONS, every);
    assert_eq!((Feed::KEYS_FROM, Words::KEYS_FROM), (Some("query parameter `room`"), None));
    let words = Options::new().transports(Transports::Sse).no_keep_alive().origins(Origins::Any).lag(Lag::Skip);
    assert_eq!(Words::OPTIONS, words);
    assert_eq!(Empty::OPTIONS, Options::new().transports(Transports::Ws).max_age(Duration::from_hours(8760)));

    assert_eq!((Event::CAPACITY, Event::MEMORY, Event::CHANNEL), (2_000, 128 << 10, "every:option"));
    let (begun, named) = (
        Event::Begun { tenant: 1, room: "a".into() },
        Event::Named { room: "a".into(), tenant: 1, name: String::new() },
    );
    assert_eq!(begun.key(), named.key());
    assert_eq!((begun.retention(), named.retention()), (Retention::Queue, Retention::Latest));
    assert_eq!((Event::HAS_QUEUE, Light::HAS_QUEUE, Quote::HAS_QUEUE, Ping::HAS_QUEUE), (true, true, false, true));
    for light in [Light::Green, Light::Yellow(1, 2), Light::Red { seconds: 1 }] {
        assert_eq!(light.retention(), Retention::Latest);
    }
    assert_eq!(Light::Broken.retention(), Retention::Queue);
    assert_eq!((Light::MEMORY, Quote::CAPACITY, Ping::MEMORY), (2 << 30, 1024, 64 << 20));
    let quote = Quote { symbol: "A".into(), bid: 1.0 };
    assert_eq!(quote.key(), QuoteKey { symbol: "A".into() });
    assert_eq!(format!("{:?}", quote.key().clone()), r#"QuoteKey { symbol: "A" }"#);
    assert_eq!(Ping.key(), tornadose::NoKey);
}
