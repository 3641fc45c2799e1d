use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Job {
    Begun,
    #[tombstone]
    Gone,
}

fn main() {}
