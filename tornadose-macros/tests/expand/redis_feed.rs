#[store(queue, channel = "news")]
#[derive(Serialize, Deserialize)]
struct News {
    author: String,
    text: String,
}

#[subscriber(sse, store = News, replay = 10)]
struct NewsFeed;
