use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Run {
    #[finish]
    #[finish]
    Done,
    #[finish("now")]
    Stopped,
}

fn main() {}
