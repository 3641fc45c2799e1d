//! Variants that are the sum of others.

use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token {
        #[key]
        run: u32,
        text: String,
    },
    Note {
        #[key]
        run: u32,
    },
    #[snapshot(apply = state::append, init = state::begin, of(Token), version = 2)]
    Text {
        #[key]
        run: u32,
        text: String,
    },
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Count {
    Added(u64),
    #[snapshot(apply = add)]
    Total(u64),
}

#[subscriber(sse, store = Count, filter = Self::wants)]
struct Counter;
