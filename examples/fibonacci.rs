//! The Fibonacci numbers, one a second, on a page: `cargo run --example fibonacci`, then open <http://localhost:9000>.

use std::iter::successors;
use std::time::Duration;

use salvo::writing::Text;
use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Fibonacci {
    n: u32,
    /// A text, because JavaScript's numbers are exact up to the 78th only.
    value: String,
}

/// `GET /fibonacci`: the last dozen, then every number.
#[subscriber(sse, store = Fibonacci, replay = 12)]
struct Numbers;

/// As many as 128 bits hold.
fn numbers() -> impl Iterator<Item = Fibonacci> + Clone {
    let pairs = successors(Some((0_u128, Some(1_u128))), |&(a, b)| Some((b?, a.checked_add(b?))));
    (0..).zip(pairs).map(|(n, (value, _))| Fibonacci { n, value: value.to_string() })
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("fibonacci/page.html"))
}

fn router(store: &Store<Fibonacci>) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("fibonacci").get(Numbers::handler(store)))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new();
    let counter = store.clone();
    tokio::spawn(async move {
        for number in numbers().cycle() {
            if counter.submit(number).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let hints = ["open http://localhost:{port}", "curl -N localhost:{port}/fibonacci"];
    examples::serve(9000, router(&store), &hints).await
}

#[cfg(test)]
mod tests {
    use tornadose_test::{Harness, assert_transcript};

    use super::*;

    #[tornadose_test::test]
    async fn who_returns_misses_nothing_and_sees_nothing_twice() {
        let store = Store::new();
        let app = Harness::new(router(&store));
        for number in numbers().take(4) {
            store.submit(number).await.unwrap();
        }
        let first = app.client("first").sse("/fibonacci").await;
        first.skip(4).await;
        first.close().await;
        for number in numbers().skip(4).take(2) {
            store.submit(number).await.unwrap();
        }
        app.client("again").last_event_id(first.last_event_id().unwrap()).sse("/fibonacci").await;
        assert_transcript!(app, @r#"
        first > GET /fibonacci
        first ~ open 200 text/event-stream
        first < message #1 {"n":0,"value":"0"}
        first < message #2 {"n":1,"value":"1"}
        first < message #3 {"n":2,"value":"1"}
        first < message #4 {"n":3,"value":"2"}
        first ~ close (client)
        again > GET /fibonacci last-event-id #4
        again ~ open 200 text/event-stream
        again < message #5 {"n":4,"value":"3"}
        again < message #6 {"n":5,"value":"5"}
        "#);
    }

    #[test]
    fn large_numbers_are_exact() {
        let last = numbers().last().unwrap();
        assert_eq!((last.n, last.value.as_str()), (186, "332825110087067562321196029789634457848"));
    }
}
