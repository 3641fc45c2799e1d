//! The library under other names.
#![deny(warnings, missing_docs)]

extern crate tornadose as live;

/// A facade.
pub mod facade {
    /// The library inside it.
    pub mod streams {
        pub use live::*;

        use super::super::live;
    }
}

use live::prelude::*;

#[store(latest, crate = live)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, ws, store = Tick, crate = live, filter = Self::wanted, receive = Self::received)]
struct Ticks;

impl Ticks {
    fn wanted(&self, tick: &Tick) -> bool {
        tick.0 > 0.0
    }
    async fn received(&mut self, _: f64, _: &Store<Tick>) {}
}

#[facade::streams::store(queue, crate = facade::streams)]
#[derive(Serialize)]
struct Line {
    #[key]
    room: String,
}

#[facade::streams::subscriber(crate = self::facade::streams, sse, store = Line, authorize = public, lag = close)]
struct Room {
    #[key]
    room: String,
}

macro_rules! through_a_macro {
    ($library:path) => {
        #[store(latest, crate = $library)]
        #[derive(Serialize)]
        struct Tock(f64);
    };
}

through_a_macro!(live);

/// Builds the handlers.
pub fn main() {
    let _handlers = (Ticks::handler(&Store::new()), Room::handler(&Store::new()));
    assert!(Tick(1.0).event().is_ok() && Tock(1.0).event().is_ok());
    assert_eq!(Line { room: "a".into() }.key(), LineKey { room: "a".into() });
}
