use tornadose::prelude::*;

#[store(queue, capacity = 4)]
#[derive(Serialize)]
enum Kept {
    #[ephemeral]
    Moved(u32),
}

#[store(queue, ttl = "5s")]
#[derive(Serialize)]
enum Expiring {
    #[ephemeral]
    Moved(u32),
}

#[store(queue)]
#[derive(Serialize)]
enum Typo {
    Said,
    #[tornadose(ephemral)]
    Typing,
}

fn main() {}
