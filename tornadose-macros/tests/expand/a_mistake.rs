#[store(queue, capacity = 0)]
struct Line<'a> {
    #[key]
    room: &'a str,
}

#[subscriber(ws)]
struct Room {
    #[key]
    room: String,
}
