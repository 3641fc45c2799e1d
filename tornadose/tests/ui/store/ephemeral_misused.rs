use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    Said,
    #[ephemeral]
    #[latest]
    Topic,
    #[ephemeral]
    #[queue]
    Joined,
    #[ephemeral]
    #[tombstone]
    Gone,
    #[ephemeral]
    #[finish]
    Done,
    #[ephemeral]
    #[ephemeral]
    Twice,
    #[ephemeral(5)]
    Argument,
    #[ephemeral]
    Slotted {
        #[slot]
        user: u32,
    },
}

fn main() {}
