//! A news feed that everyone can write to: `cargo run --example redis_feed`, then open <http://localhost:8765>, or
//! `curl -N localhost:8765/stream` and `http post localhost:8765/stream author=me text=hello`. With
//! `REDIS_URL=redis://127.0.0.1/` it shares its news with every process that has the same setting, and with `redis-cli`.

use salvo::http::StatusCode;
use salvo::writing::Text;
use schemars::JsonSchema;
use tornadose::prelude::*;

#[store(queue, channel = "news", schema)]
#[derive(Serialize, Deserialize, JsonSchema)]
struct News {
    author: String,
    text: String,
}

/// `GET /stream`: the last ten messages, then every new one.
#[subscriber(sse, store = News, replay = 10, schema)]
struct NewsFeed;

/// `POST /stream` with `{"author":"me","text":"hello"}`.
struct Publish(Store<News>);

#[handler]
impl Publish {
    async fn handle(&self, req: &mut Request) -> Result<(StatusCode, String), (StatusCode, String)> {
        let news = req.parse_json().await.map_err(|error| {
            let expected = r#"expected `content-type: application/json` and {"author":"…","text":"…"}"#;
            (StatusCode::BAD_REQUEST, format!("{expected}: {error}\n"))
        })?;
        match self.0.submit(news).await {
            Ok(id) => Ok((StatusCode::CREATED, format!("{id}\n"))),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
        }
    }
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("redis_feed/page.html"))
}

fn router(store: &Store<News>) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("stream").get(NewsFeed::handler(store)).post(Publish(store.clone())))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = match std::env::var("REDIS_URL") {
        Ok(url) => Store::redis(url).await?,
        Err(_) => Store::new(),
    };
    let hints = [
        "open http://localhost:{port}, or curl -N localhost:{port}/stream",
        r#"curl --json '{"author":"me","text":"hello"}' localhost:{port}/stream"#,
        "http post localhost:{port}/stream author=me text=hello",
        r#"with REDIS_URL: redis-cli XADD '{tornadose:news}' '*' data '{"author":"me","text":"hello"}'"#,
    ];
    examples::serve(8765, router(&store), &hints).await
}

#[cfg(test)]
#[path = "redis_feed/tests.rs"]
mod tests;
