use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Room {
    #[latest(ttl = 30)]
    Number(String),
    #[latest(ttl = "0s")]
    Zero(String),
    #[latest(ttl = "1d")]
    Day(String),
    #[latest(tll = "30s")]
    Misspelt(String),
    #[latest(capacity = 10)]
    OfTheStore(String),
    #[latest(ttl)]
    Nothing(String),
    #[latest()]
    Empty(String),
    #[latest = "30s"]
    Value(String),
    #[latest(ttl = "30s", ttl = "1m")]
    Twice(String),
    #[queue(ttl = "30s")]
    Queue(String),
}

#[store(latest)]
#[derive(Serialize)]
#[latest(ttl = "30s")]
struct OnTheItem(String);

fn main() {}
