//! Every helper word in its longer form, also where the library has another path.
#![deny(warnings)]

use tornadose::prelude::*;

mod renamed {
    pub use tornadose as kit;
}

#[store(queue)]
#[derive(Serialize)]
enum Line {
    Said {
        #[tornadose(key)]
        room: String,
        #[cfg_attr(all(), tornadose(key))]
        floor: u8,
    },
    #[tornadose(latest)]
    Topic {
        #[key]
        room: String,
        #[key]
        floor: u8,
    },
    #[tornadose(queue)]
    Left {
        #[key]
        room: String,
        #[key]
        floor: u8,
    },
}

#[subscriber(sse, store = Line, authorize = public)]
struct Feed {
    #[tornadose(keys(room), query("room", separator = ","))]
    rooms: Vec<String>,
    #[tornadose(key)]
    #[tornadose(param)]
    floor: u8,
    #[tornadose(header("x-of"))]
    of: Option<u8>,
    #[tornadose(cookie)]
    session: Option<String>,
    #[tornadose(depot)]
    user: u64,
}

#[store(latest, crate = renamed::kit)]
#[derive(Serialize)]
struct Tick {
    #[key]
    of: u8,
    #[tornadose(key)]
    at: u8,
}

#[subscriber(sse, store = Tick, authorize = public, crate = crate::helper_words::renamed::kit)]
struct Ticks {
    #[key]
    of: u8,
    #[tornadose(key, query("x"))]
    at: u8,
}

pub fn main() {
    let said = Line::Said { room: "a".into(), floor: 1 };
    assert_eq!(said.key(), LineKey { room: "a".into(), floor: 1 });
    assert_eq!(said.retention(), tornadose::Retention::Queue);
    let (room, floor) = (String::new(), 1);
    assert_eq!(Line::Topic { room: room.clone(), floor }.retention(), tornadose::Retention::Latest);
    assert_eq!(Line::Left { room, floor }.retention(), tornadose::Retention::Queue);

    let feed = Feed { rooms: vec!["a".into(), "b".into()], floor: 1, of: None, session: None, user: 7 };
    assert_eq!((feed.of, feed.session.is_none(), feed.user), (None, true, 7));
    let keys = ["a", "b"].map(|room| LineKey { room: room.into(), floor: 1 });
    assert_eq!(Feed { rooms: vec!["a".into(), "b".into()], ..feed }.keys(), Keys::Set(keys.to_vec()));
    assert_eq!(Tick { of: 1, at: 2 }.key(), TickKey { of: 1, at: 2 });
    let _ = (Feed::handler(&Store::new()), Ticks::handler(&Store::new()));
}
