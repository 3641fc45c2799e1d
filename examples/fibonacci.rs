//! The Fibonacci numbers, one a second, on a page: `cargo run --example fibonacci`, then open <http://localhost:9000>.

use std::iter::successors;
use std::time::Duration;

use salvo::writing::Text;
use schemars::JsonSchema;
use tornadose::prelude::*;

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
struct Fibonacci {
    n: u32,
    /// A string, because JavaScript's numbers are exact only up to the 78th.
    value: String,
}

/// `GET /fibonacci`: the last twelve numbers, then every new one.
#[subscriber(sse, store = Fibonacci, replay = 12, schema)]
struct Numbers;

/// All Fibonacci numbers of at most 128 bits.
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
    use tornadose_test::{Harness, resume_at_every_byte};

    use super::*;

    #[tornadose_test::test]
    async fn the_last_twelve_are_replayed_and_the_next_one_follows() {
        let store = Store::new();
        let app = Harness::new(router(&store));
        for number in numbers().take(20) {
            store.submit(number).await.unwrap();
        }
        let client = app.sse("/fibonacci").await;
        client.skip(11).await;
        let [last, next] = [19, 20].map(|nth| numbers().nth(nth).unwrap());
        assert_eq!(client.next_event().await.data, format!(r#"{{"n":19,"value":"{}"}}"#, last.value));
        client.quiet().await;
        store.submit(next).await.unwrap();
        assert_eq!(client.next_event().await.data, r#"{"n":20,"value":"6765"}"#);
    }

    #[tornadose_test::test]
    async fn a_cut_at_any_byte_neither_loses_nor_repeats_a_number() {
        let new_app = || {
            let store = Store::new();
            (router(&store), store)
        };
        resume_at_every_byte(new_app, "/fibonacci", async |store| {
            for number in numbers().take(5) {
                store.submit(number).await.unwrap();
            }
        })
        .await;
    }

    #[test]
    fn the_types_of_the_page_are_current() {
        let streams = tornadose::schema().title("Fibonacci").route::<Numbers>("/fibonacci");
        streams.typescript().assert_committed("fibonacci/tornadose.d.ts");
        streams.asyncapi().assert_committed("fibonacci/asyncapi.json");
    }

    #[test]
    fn large_numbers_are_exact() {
        let last = numbers().last().unwrap();
        assert_eq!((last.n, last.value.as_str()), (186, "332825110087067562321196029789634457848"));
    }
}
