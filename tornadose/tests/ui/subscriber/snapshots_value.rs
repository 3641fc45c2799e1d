use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
struct Line(String);

#[subscriber(sse, store = Line, snapshots = unfiltered)]
struct NoFilter;

#[subscriber(sse, store = Line, filter = Self::wants, snapshots = all)]
struct OtherWord;

impl OtherWord {
    fn wants(&self, _: &Line) -> bool {
        true
    }
}

fn main() {}
