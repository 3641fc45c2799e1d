//! Every argument that a `macro_rules!` may pass on.
#![deny(warnings, missing_docs)]

use tornadose::prelude::*;
use tornadose::subscriber::{Options, Origins, Snapshots};

// Rustfmt would indent the arguments of `subscriber` further at each run.
#[rustfmt::skip]
macro_rules! feed {
    (
        $message:ident { $key:ident: $key_type:ty }, $feed:ident, $capacity:literal, $replay:expr, $channel:literal,
        $origin:literal, $query:literal, $filter:path
    ) => {
        #[store(queue, capacity = $capacity, channel = $channel)]
        #[derive(Serialize)]
        struct $message {
            #[key]
            $key: $key_type,
            text: String,
        }

        #[subscriber(
            sse,
            ws,
            store = $message,
            replay = $replay,
            origins = [$origin],
            filter = $filter,
            authorize = Self::allowed,
            receive = Self::received
        )]
        struct $feed {
            #[key]
            #[query($query)]
            $key: $key_type,
        }

        impl $feed {
            async fn allowed(&self) -> Result<(), StatusError> {
                Ok(())
            }
            async fn received(&mut self, text: String, store: &Store<$message>) {
                drop((text, store));
            }
        }
    };
}

fn wanted(feed: &Feed, line: &Line) -> bool {
    feed.room == line.room && !line.text.is_empty()
}

const REPLAY: usize = 5;

feed!(Line { room: String }, Feed, 10, REPLAY, "lines", "https://app.example", "r", wanted);

macro_rules! item {
    ($item:item) => {
        #[store(latest)]
        #[derive(Serialize)]
        $item
    };
}

item! {
    struct Tick(f64);
}

macro_rules! typed {
    ($name:ident, $message:ty) => {
        #[subscriber(sse, store = $message)]
        struct $name;
    };
}

typed!(Ticks, Tick);

macro_rules! room {
    ($($variant:ident),*) => {
        #[store(queue)]
        #[derive(Serialize)]
        enum Room {
            $($variant {
                #[key]
                room: String,
            },)*
        }
    };
}

room!(Joined, Left);

/// Builds the handlers.
pub fn main() {
    let _handlers = (Feed::handler(&Store::new()), Ticks::handler(&Store::new()));
    assert_eq!((Line::CAPACITY, Line::CHANNEL), (10, "lines"));
    let options = Options::new().replay(5).origins(Origins::List(&["https://app.example"]));
    assert_eq!(Feed::OPTIONS, options.snapshots(Snapshots::Withheld));
    assert!(Line { room: String::new(), text: String::new() }.event().is_ok());
    assert!(Tick(1.0).event().is_ok());
    let joined = Room::Joined { room: "a".into() };
    assert_eq!(joined.key(), Room::Left { room: "a".into() }.key());
}
