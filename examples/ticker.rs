//! A random number a second: `cargo run --example ticker`, then `curl -N localhost:9000`.

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick)]
struct Ticks;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new();
    let ticks = store.clone();
    tokio::spawn(async move {
        while ticks.submit(Tick(rand::random())).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    let port = std::env::var("PORT").unwrap_or_else(|_| "9000".into());
    tornadose::serve(format!("127.0.0.1:{port}"), Router::new().get(Ticks::handler(&store))).await
}

#[cfg(test)]
mod tests {
    use tornadose_test::{Harness, assert_transcript};

    use super::*;

    #[tornadose_test::test]
    async fn a_client_gets_the_newest_tick_and_those_that_follow_and_comes_back_to_the_newest() {
        let store = Store::new();
        let app = Harness::new(Router::with_path("ticks").get(Ticks::handler(&store)));
        store.submit(Tick(0.1)).await.unwrap();
        store.submit(Tick(0.2)).await.unwrap();
        let ticks = app.sse("/ticks").await;
        store.submit(Tick(0.3)).await.unwrap();
        ticks.cut().await;
        store.submit(Tick(0.4)).await.unwrap();
        store.submit(Tick(0.5)).await.unwrap();
        ticks.reconnected().await;
        assert_transcript!(ticks, @"
        ticks > GET /ticks
        ticks ~ open 200 text/event-stream
        ticks < message #1 0.2
        ticks < message #2 0.3
        ticks ! cut
        after 3s
        ticks > GET /ticks last-event-id #2
        ticks ~ open 200 text/event-stream
        ticks < message #3 0.5
        ");
    }
}
