use tornadose::prelude::*;

/// Every option, with keys.
#[store(queue, capacity = 500)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A part.
    Token {
        /// The run.
        #[key]
        run: u32,
        /// The text.
        text: String,
    },
    /// Another part.
    Image {
        /// The run.
        #[key]
        run: u32,
        /// Its address.
        url: String,
    },
    /// What no snapshot has.
    Note {
        /// The run.
        #[key]
        run: u32,
    },
    /// The sum.
    #[snapshot(apply = state::append, init = state::begin, of(Token, Image), version = 2)]
    Text {
        /// The run.
        #[key]
        run: u32,
        /// The text.
        text: String,
    },
    /// The end.
    #[finish]
    Done {
        /// The run.
        #[key]
        run: u32,
    },
}

mod state {
    use super::{Answer, AnswerKey};

    pub(super) fn begin(key: &AnswerKey) -> String {
        format!("{}: ", key.run)
    }

    pub(super) fn append(text: &mut String, message: &Answer) {
        match message {
            Answer::Token { text: part, .. } => text.push_str(part),
            Answer::Image { url, .. } => text.push_str(url),
            Answer::Note { .. } | Answer::Text { .. } | Answer::Done { .. } => {}
        }
    }
}

/// Without keys, and by the longer word.
#[store(queue)]
#[derive(Clone, Serialize)]
pub enum Count {
    /// A part.
    Added(u64),
    /// The sum.
    #[tornadose(snapshot(apply = add))]
    Total(u64),
}

fn add(total: &mut u64, message: &Count) {
    if let Count::Added(number) = message {
        *total += number;
    }
}

/// A connection with a filter.
#[subscriber(sse, ws, store = Count, filter = Self::wants, snapshots = unfiltered)]
pub struct Counter;

impl Counter {
    fn wants(&self, message: &Count) -> bool {
        matches!(message, Count::Added(_) | Count::Total(_))
    }
}

pub fn main() {
    let (store, run) = (Store::new(), 7);
    for text in ["a", "b"] {
        store.try_submit(Answer::Token { run, text: text.into() }).unwrap();
    }
    let counts = Store::new();
    counts.try_submit(Count::Added(1)).unwrap();
    drop(Counter::handler(&counts));
}
