#[store(latest, ttl = "30s")]
#[derive(Serialize)]
struct Member {
    #[key]
    room: String,
    #[slot]
    connection: u64,
    name: String,
}

#[store(queue, ttl = "1h")]
#[derive(Serialize)]
enum Room {
    Said {
        #[key]
        room: String,
        text: String,
    },
    #[latest(ttl = "1500ms")]
    Typing {
        #[key]
        room: String,
        #[slot]
        user: String,
    },
    #[tornadose(latest(ttl = "24h"))]
    Topic {
        #[key]
        room: String,
        text: String,
    },
}

#[store(latest, ttl = "10s")]
#[derive(Serialize)]
enum State {
    Up,
    #[latest(ttl = "20s")]
    Slow(u32),
    #[queue]
    Crashed,
}
