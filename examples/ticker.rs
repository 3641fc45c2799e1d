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
    use std::time::Duration;

    use tornadose_test::{Harness, assert_transcript, resume_at_every_byte};

    use super::*;

    #[tornadose_test::test]
    async fn the_newest_value_is_sent_first() {
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

    #[tornadose_test::test]
    async fn a_cut_at_any_byte_neither_loses_nor_repeats_a_value() {
        let new_app = || {
            let store = Store::new();
            (Router::with_path("ticks").get(Ticks::handler(&store)), store)
        };
        resume_at_every_byte(new_app, "/ticks", async |store| {
            for value in [0.1, 0.2, 0.3] {
                store.submit(Tick(value)).await.unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        })
        .await;
    }
}
