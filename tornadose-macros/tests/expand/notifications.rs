#[store(queue, capacity = 500)]
#[derive(Serialize)]
struct Notification {
    #[key]
    user: UserId,
    title: String,
}

#[subscriber(sse, store = Notification, retry = "2s", authorize = Self::not_banned)]
struct Inbox {
    #[key]
    #[depot]
    user: UserId,
}
