//! Watched keys of messages that a snapshot sums: a key begins with its snapshot.

use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::{harness, secs};

#[store(queue, capacity = 4)]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Token {
        #[key]
        run: u8,
        text: String,
    },
    #[snapshot(apply = append, of(Token))]
    Text {
        #[key]
        run: u8,
        text: String,
    },
    #[latest]
    Title {
        #[key]
        run: u8,
        title: String,
    },
    #[finish]
    Done {
        #[key]
        run: u8,
    },
}

fn append(text: &mut String, message: &Answer) {
    if let Answer::Token { text: token, .. } = message {
        text.push_str(token);
    }
}

fn token(run: u8, text: &str) -> Answer {
    Answer::Token { run, text: text.into() }
}

#[subscriber(ws, store = Answer, watch = public)]
struct Answers;

fn app() -> (Store<Answer>, Harness) {
    let store = Store::new();
    let app = harness(Router::with_path("answers").get(Answers::handler(&store)));
    (store, app)
}

async fn submit(store: &Store<Answer>, messages: impl IntoIterator<Item = Answer>) {
    for message in messages {
        store.submit(message).await.unwrap();
    }
}

#[tornadose_test::test]
async fn a_watched_key_begins_with_its_snapshot() {
    let (store, app) = app();
    submit(&store, [token(1, "a"), token(2, "x"), token(1, "b"), token(1, "c")]).await;
    submit(&store, [Answer::Title { run: 1, title: "Letters".into() }, token(1, "d"), token(1, "e"), token(1, "f")])
        .await;
    let page = app.client("page").ws("/answers").await;
    page.watch(&1).await;
    page.watch(&2).await;
    submit(&store, [token(2, "y"), token(1, "g")]).await;
    assert_transcript!(page, @r##"
    page > GET /answers upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < title {"run":1,"title":"Letters"}
    page < text at #1 of 1 {"run":1,"text":"abcdef"}
    page < tornadose:watching {"keys":[1]}
    page > {"tornadose:watch":[2]}
    page < text at #1 of 2 {"run":2,"text":"x"}
    page < tornadose:watching {"keys":[2]}
    page < token #2 {"run":2,"text":"y"}
    page < token #3 {"run":1,"text":"g"}
    "##);
}

#[tornadose_test::test]
async fn a_known_since_gives_the_messages_after_it_and_a_trimmed_one_the_snapshot() {
    let (store, app) = app();
    let since = store.submit(token(1, "a")).await.unwrap().to_string();
    submit(&store, [token(1, "b"), token(1, "c")]).await;
    let page = app.client("page").ws("/answers").await;
    page.watch_since(&1, &since).await;
    submit(&store, [token(1, "d"), token(1, "e"), token(1, "f"), token(1, "g"), token(1, "h")]).await;
    let late = app.client("late").ws("/answers").await;
    late.watch_since(&1, &since).await;
    late.watch_since(&3, "yesterday").await;
    submit(&store, [token(3, "z")]).await;
    assert_transcript!(page, @r##"
    page > GET /answers upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1],"since":"#1"}
    page < token at #2 of 1 {"run":1,"text":"b"}
    page < token at #3 of 1 {"run":1,"text":"c"}
    page < tornadose:watching {"keys":[1]}
    page < text #4 {"run":1,"text":"abcdefgh"}
    "##);
    assert_transcript!(late, @r##"
    late > GET /answers upgrade websocket
    late ~ open 101
    late > {"tornadose:watch":[1],"since":"#1"}
    late < text at #2 of 1 {"run":1,"text":"abcdefgh"}
    late < tornadose:watching {"keys":[1]}
    late > {"tornadose:watch":[3],"since":"yesterday"}
    late < tornadose:gap {"reason":"restarted","missed":null,"key":3}
    late < text at #2 of 3 {"run":3,"text":""}
    late < tornadose:watching {"keys":[3]}
    late < token #3 {"run":3,"text":"z"}
    "##);
}

#[tornadose_test::test]
async fn a_finished_key_gives_its_snapshot_then_its_finish() {
    let (store, app) = app();
    submit(&store, [token(1, "a"), token(1, "b"), Answer::Done { run: 1 }]).await;
    let page = app.client("page").ws("/answers").await;
    page.watch(&1).await;
    submit(&store, [token(2, "x")]).await;
    page.watch(&2).await;
    assert_transcript!(page, @r##"
    page > GET /answers upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < text at #1 of 1 {"run":1,"text":"ab"}
    page < done at #2 of 1 {"run":1}
    page < tornadose:finished at #3 of 1 {"key":1}
    page < tornadose:watching {"keys":[1]}
    page > {"tornadose:watch":[2]}
    page < text at #4 of 2 {"run":2,"text":"x"}
    page < tornadose:watching {"keys":[2]}
    "##);
}

#[tornadose_test::test]
async fn a_removed_key_begins_again_for_who_watches_it() {
    let (store, app) = app();
    submit(&store, [token(1, "a"), token(1, "b")]).await;
    let page = app.client("page").ws("/answers").await;
    page.watch(&1).await;
    store.remove(&AnswerKey { run: 1 }).await.unwrap();
    submit(&store, [token(1, "c")]).await;
    assert_transcript!(page, @r##"
    page > GET /answers upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    page < text at #1 of 1 {"run":1,"text":"ab"}
    page < tornadose:watching {"keys":[1]}
    page < text #2 {"run":1,"text":"c"}
    "##);
}

/// `GET /stored`, whose hook takes a second
#[subscriber(ws, store = Answer, watch = public, load = Self::titles)]
struct Stored;

impl Stored {
    #[allow(clippy::unused_self, reason = "the shape of the hook")]
    async fn titles(&self, keys: &[AnswerKey], _: &Store<Answer>) -> Result<Vec<Answer>, StatusError> {
        tokio::time::sleep(secs(1)).await;
        Ok(keys.iter().map(|key| Answer::Title { run: key.run, title: "stored".into() }).collect())
    }
}

#[tornadose_test::test]
async fn a_watched_key_that_is_loaded_begins_with_its_snapshot() {
    let store = Store::new();
    let app = harness(Router::with_path("stored").get(Stored::handler(&store)));
    submit(&store, ["a", "b", "c", "d", "e"].map(|text| token(1, text))).await;
    let page = app.client("page").ws("/stored").await;
    page.watch(&1).await;
    submit(&store, [token(1, "f")]).await;
    app.advance(secs(2)).await;
    assert_transcript!(page, @r#"
    page > GET /stored upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    after 1s
    page < tornadose:reset {"key":1}
    page < title {"run":1,"title":"stored"}
    page < text at #1 of 1 {"run":1,"text":"abcde"}
    page < tornadose:watching {"keys":[1]}
    page < token #2 {"run":1,"text":"f"}
    "#);
}

#[tornadose_test::test]
async fn a_snapshot_that_goes_on_while_its_key_is_loaded_follows_the_confirmation() {
    let store = Store::new();
    let router = Router::new()
        .push(Router::with_path("stored").get(Stored::handler(&store)))
        .push(Router::with_path("answers").get(Answers::handler(&store)));
    let app = harness(router);
    submit(&store, ["a", "b", "c"].map(|text| token(1, text))).await;
    let page = app.client("page").ws("/stored").await;
    page.watch(&1).await;
    submit(&store, ["d", "e"].map(|text| token(1, text))).await;
    // The state of the key contains what the page has yet to read.
    let other = app.client("other").ws("/answers").await;
    other.watch(&1).await;
    other.skip(2).await;
    app.advance(secs(2)).await;
    assert_transcript!(page, @r#"
    page > GET /stored upgrade websocket
    page ~ open 101
    page > {"tornadose:watch":[1]}
    after 1s
    page < tornadose:reset {"key":1}
    page < title {"run":1,"title":"stored"}
    page < tornadose:watching {"keys":[1]}
    page < text #1 {"run":1,"text":"abcde"}
    "#);
}
