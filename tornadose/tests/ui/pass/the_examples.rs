//! The types of the examples.
#![deny(warnings, missing_docs)]

use tornadose::prelude::*;

/// A number.
#[store(latest)]
#[derive(Serialize)]
pub struct Tick(pub f64);

/// Numbers.
#[subscriber(sse, ws, store = Tick)]
pub struct Ticks;

#[store(queue)]
#[derive(Serialize)]
struct Fibonacci {
    n: u32,
    value: u64,
}

#[subscriber(sse, store = Fibonacci)]
struct Numbers;

#[store(queue, channel = "news")]
#[derive(Serialize, Deserialize)]
struct News {
    author: String,
    text: String,
}

#[subscriber(sse, store = News, replay = 10)]
struct NewsFeed;

/// Rooms.
pub mod chat {
    use tornadose::prelude::*;

    /// What happens in a room.
    #[store(queue, capacity = 200)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RoomEvent {
        /// Came.
        Joined {
            /// Where.
            #[key]
            room: String,
            /// Who.
            user: String,
        },
        /// Spoke.
        Said {
            /// Where.
            #[key]
            room: String,
            /// Who.
            user: String,
            /// What.
            text: String,
        },
    }

    /// What a client says.
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    pub enum Inbound {
        /// Comes.
        Join,
        /// Speaks.
        Say {
            /// What.
            text: String,
        },
    }

    /// `GET /rooms/{room}?user=ada`
    #[subscriber(ws, store = RoomEvent, replay = 20, authorize = Self::may_join, receive = Self::receive)]
    pub struct RoomFeed {
        #[key]
        room: String,
        #[query]
        user: String,
    }

    impl RoomFeed {
        async fn may_join(&self) -> Result<(), StatusError> {
            if self.room == "staff" && self.user != "root" { Err(StatusError::forbidden()) } else { Ok(()) }
        }

        async fn receive(&mut self, inbound: Inbound, _: &Store<RoomEvent>) -> Result<(), Close> {
            match inbound {
                Inbound::Join => Ok(()),
                Inbound::Say { text } => Err(Close::new(CloseCode::literal::<4000>(), text)),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
struct UserId(u64);

#[store(queue, capacity = 500)]
#[derive(Serialize)]
struct Notification {
    #[key]
    user: UserId,
    title: String,
}

#[subscriber(sse, store = Notification, retry = "2s", authorize = Self::not_banned)]
struct Inbox {
    #[key]
    #[depot]
    user: UserId,
}

impl Inbox {
    async fn not_banned(&self) -> Result<(), StatusError> {
        if self.user == UserId(13) { Err(StatusError::forbidden()) } else { Ok(()) }
    }
}

#[store(queue, capacity = 10_000)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Market {
    Trade {
        #[key]
        symbol: String,
        price: f64,
        size: u32,
    },
    #[latest]
    Quote {
        #[key]
        symbol: String,
        bid: f64,
        ask: f64,
    },
    #[latest]
    Halt {
        #[key]
        symbol: String,
        halted: bool,
    },
}

#[subscriber(sse, store = Market, authorize = public)]
struct Symbol {
    #[key]
    symbol: String,
}

#[subscriber(sse, store = Market, all_keys, filter = Self::shows, lag = skip)]
struct Dashboard {
    #[query]
    symbols: Option<Vec<String>>,
}

impl Dashboard {
    fn shows(&self, event: &Market) -> bool {
        self.symbols.as_ref().is_none_or(|wanted| wanted.contains(&event.key().symbol))
    }
}

/// Builds the routers.
pub fn main() {
    let market = Store::new();
    let _router = Router::new()
        .push(Router::with_path("ticks").get(Ticks::handler(&Store::new())))
        .push(Router::with_path("fibonacci").get(Numbers::handler(&Store::new())))
        .push(Router::with_path("news").get(NewsFeed::handler(&Store::new())))
        .push(Router::with_path("rooms/{room}").get(chat::RoomFeed::handler(&Store::new())))
        .push(Router::with_path("inbox").get(Inbox::handler(&Store::new())))
        .push(Router::with_path("market").get(Dashboard::handler(&market)))
        .push(Router::with_path("market/{symbol}").get(Symbol::handler(&market)));
    let _ = Fibonacci { n: 1, value: 1 };
    let _ = News { author: String::new(), text: String::new() };
    let _ = Notification { user: UserId(1), title: String::new() };
    let _ = Market::Trade { symbol: String::new(), price: 1.0, size: 1 };
    let _ = Market::Quote { symbol: String::new(), bid: 1.0, ask: 1.0 };
    let _ = Market::Halt { symbol: String::new(), halted: true };
    let _ = chat::RoomEvent::Joined { room: String::new(), user: String::new() };
    let _ = chat::RoomEvent::Said { room: String::new(), user: String::new(), text: String::new() };
    assert_eq!((Tick::HAS_QUEUE, Market::HAS_QUEUE), (false, true));
    assert_eq!((Market::CAPACITY, Tick::CHANNEL, chat::RoomEvent::CHANNEL), (10_000, "tick", "room-event"));
}
