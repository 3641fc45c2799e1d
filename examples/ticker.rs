//! A random number a second: `cargo run --example ticker`, then `curl -N localhost:9000`.
use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, ws, store = Tick)]
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
    tornadose::serve("127.0.0.1:9000", Router::new().get(Ticks::handler(&store))).await
}
