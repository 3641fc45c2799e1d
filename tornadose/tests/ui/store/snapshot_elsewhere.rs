use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
#[snapshot(apply = append)]
struct Text(String);

#[store(latest)]
#[derive(Clone, Serialize)]
enum Price {
    #[queue]
    Moved(u32),
    #[snapshot(apply = append)]
    Now(u32),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Line {
    Added {
        #[snapshot]
        text: String,
    },
}

fn main() {}
