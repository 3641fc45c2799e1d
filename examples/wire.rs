//! A feed for clients in other languages, over Server-Sent Events and WebSocket: `cargo run --example wire`, then
//! `curl -N localhost:9000/feed`, and `curl --json '{"text":"hi"}' localhost:9000/feed` to publish. With
//! `REDIS_URL=redis://127.0.0.1/` its messages and ids survive a restart. The scripts in `clients/` run against it.

use salvo::http::StatusCode;
use tornadose::prelude::*;

#[store(queue, channel = "wire")]
#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

/// `GET /feed`. Everyone may read it. Its keep-alives are frequent, so that clients meet many of them.
#[subscriber(sse, ws, store = Line, replay = 100, origins = any, keep_alive = "500ms", retry = "500ms")]
struct Feed;

/// `POST /feed` with `{"text":"hi"}`.
struct Publish(Store<Line>);

#[handler]
impl Publish {
    async fn handle(&self, req: &mut Request) -> Result<(StatusCode, String), (StatusCode, String)> {
        let line = req.parse_json().await.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
        match self.0.submit(line).await {
            Ok(id) => Ok((StatusCode::CREATED, format!("{id}\n"))),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
        }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = match std::env::var("REDIS_URL") {
        Ok(url) => Store::redis(url).await?,
        Err(_) => Store::new(),
    };
    let feed = Router::with_path("feed").get(Feed::handler(&store)).post(Publish(store.clone()));
    let router = Router::new().push(feed).push(Router::with_path("tornadose.js").get(tornadose::script()));
    let hints = ["curl -N localhost:{port}/feed", r#"curl --json '{"text":"hi"}' localhost:{port}/feed"#];
    examples::serve(9000, router, &hints).await
}
