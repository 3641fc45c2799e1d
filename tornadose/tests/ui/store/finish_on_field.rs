use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Run {
    Line {
        #[finish]
        last: bool,
    },
}

fn main() {}
