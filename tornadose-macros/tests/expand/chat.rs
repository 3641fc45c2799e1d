#[store(queue, capacity = 200)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    Joined {
        #[key]
        room: String,
        user: String,
    },
    Said {
        #[key]
        room: String,
        user: String,
        text: String,
    },
}

#[subscriber(ws, store = RoomEvent, replay = 20, authorize = Self::may_join, receive = Self::receive)]
pub struct RoomFeed {
    #[key]
    room: String,
    #[query]
    user: String,
}
