//! Names in scope that an expansion might refer to by mistake.
#![deny(warnings, missing_docs)]
#![allow(non_upper_case_globals, non_camel_case_types, dead_code)]

/// Items with the names of the standard prelude and of the library.
pub mod taken {
    use tornadose::{store, subscriber};

    struct Option;
    struct Result;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    struct Clone;
    struct Store;
    struct Message;
    struct Subscriber;
    struct Keys;
    struct StreamHandler;
    struct Options;
    struct bool;
    struct usize;
    struct str;
    struct u64;
    mod core {}
    mod std {}
    mod serde_json {}
    mod __private {}

    struct room;
    struct serializer;
    struct fields;
    struct Serialize;
    struct Serializer;
    struct S;
    const request: u8 = 0;
    const depot: u8 = 0;

    #[store(queue, capacity = 10, memory = "1MiB")]
    enum Line {
        Said {
            #[key]
            room: String,
        },
        #[latest]
        Named {
            #[key]
            room: String,
        },
    }

    // Serde's derive does not compile beside a unit struct `room`.
    impl ::serde::Serialize for Line {
        fn serialize<S: ::serde::Serializer>(&self, to: S) -> ::core::result::Result<S::Ok, S::Error> {
            to.serialize_unit()
        }
    }

    #[subscriber(
        sse,
        ws,
        store = Line,
        authorize = store,
        filter = message,
        receive = text,
        keep_alive = "1s",
        max_age = "1m",
        max_connections = 1,
        max_message = "1KiB",
        throttle = "1s",
        replay = 1
    )]
    struct Key {
        #[key]
        room: String,
        #[depot]
        depot: i8,
        #[query]
        request: i8,
    }

    #[subscriber(sse, store = Line, authorize = public, max_keys = 1)]
    struct List {
        #[keys(room)]
        #[query(separator = ",")]
        request: Vec<String>,
    }

    async fn store(key: &Key) -> ::core::result::Result<(), tornadose::prelude::StatusError> {
        drop(key.room.clone());
        ::core::result::Result::Ok(())
    }
    fn message(_: &Key, _: &Line) -> ::core::primitive::bool {
        true
    }
    async fn text(_: &mut Key, _: String, _: &tornadose::Store<Line>) {}

    /// Builds the handler.
    pub fn main() {
        let _handler = Key::handler(&tornadose::Store::new());
        let _handler = List::handler(&tornadose::Store::new());
    }
}

/// Types that are visible in their parent only.
pub mod seen {
    mod inside {
        use tornadose::prelude::*;

        #[store(queue)]
        #[derive(Serialize)]
        pub(in super::super::seen) struct Line {
            #[key]
            pub(super) room: String,
        }

        #[subscriber(sse, store = Line, authorize = public)]
        pub(super) struct Room {
            #[key]
            room: String,
        }
    }

    /// Builds the handler and a key.
    pub fn main() {
        use tornadose::Message as _;

        let _handler = inside::Room::handler(&tornadose::Store::new());
        assert_eq!(inside::Line { room: "a".into() }.key(), inside::LineKey { room: "a".into() });
    }
}

/// Types in a function, which have no path.
pub fn inside_a_function() {
    use tornadose::prelude::*;

    #[store(latest)]
    #[derive(Serialize)]
    struct Tick {
        #[key]
        of: u8,
    }

    #[subscriber(sse, store = Tick, authorize = public)]
    struct Ticks {
        #[key]
        of: u8,
    }

    let _handler = Ticks::handler(&Store::new());
    assert_eq!(Tick { of: 1 }.key(), TickKey { of: 1 });
}

/// Calls all of them.
pub fn main() {
    taken::main();
    seen::main();
    inside_a_function();
}
