//! Fields, keys and variants with `#[cfg]`.
#![deny(warnings, missing_docs)]
#![allow(clippy::non_minimal_cfg)]

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[cfg(all())]
    #[key]
    room: String,
    #[cfg(any())]
    #[key]
    tenant: String,
    #[cfg_attr(all(), key)]
    user: u8,
}

#[store(queue)]
#[derive(Serialize)]
enum Room {
    Said {
        #[key]
        room: String,
    },
    #[cfg(any())]
    Joined { user: String },
    #[cfg_attr(all(), latest)]
    Named {
        #[key]
        room: String,
    },
}

#[subscriber(sse, store = Line, authorize = public)]
struct Feed {
    #[key]
    room: String,
    #[cfg(any())]
    without_a_source: String,
    #[key]
    #[cfg_attr(all(), query("u"))]
    user: u8,
}

#[cfg_attr(all(), store(latest))]
#[cfg_attr(all(), derive(Serialize))]
struct Tick(f64);

/// Builds the handlers.
pub fn main() {
    let _handler = Feed::handler(&Store::new());
    let line = Line { room: "a".into(), user: 1 };
    assert_eq!(line.key(), LineKey { room: "a".into(), user: 1 });
    assert_eq!(Room::Named { room: String::new() }.retention(), tornadose::Retention::Latest);
    assert_eq!(Room::Said { room: String::new() }.retention(), tornadose::Retention::Queue);
    assert!(Tick(1.0).event().is_ok());
}
