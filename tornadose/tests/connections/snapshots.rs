//! Snapshots, as clients see them.

use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose_test::{Harness, Transport, assert_transcript};

use super::harness::harness;

#[store(queue, capacity = 4)]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Token {
        #[key]
        run: u32,
        text: String,
    },
    Note {
        #[key]
        run: u32,
        text: String,
    },
    #[latest]
    Model {
        #[key]
        run: u32,
        name: String,
    },
    #[snapshot(apply = append, of(Token))]
    Text {
        #[key]
        run: u32,
        text: String,
    },
    #[finish]
    Done {
        #[key]
        run: u32,
    },
}

fn append(text: &mut String, message: &Answer) {
    if let Answer::Token { text: piece, .. } = message {
        text.push_str(piece);
    }
}

#[subscriber(sse, ws, store = Answer, authorize = public)]
struct Page {
    #[key]
    #[param]
    run: u32,
}

#[subscriber(sse, ws, store = Answer, authorize = public, lag = close, replay = all)]
struct Strict {
    #[keys(run)]
    #[query("run")]
    runs: Vec<u32>,
}

#[subscriber(sse, ws, store = Answer, all_keys, authorize = public, filter = shows)]
struct Filtered;

#[subscriber(sse, ws, store = Answer, all_keys, authorize = public, filter = shows, snapshots = unfiltered)]
struct Unfiltered;

fn shows<S>(_: &S, message: &Answer) -> bool {
    wants(message)
}

/// Withholds what is secret, also in a snapshot.
fn wants(message: &Answer) -> bool {
    match message {
        Answer::Token { text, .. } | Answer::Text { text, .. } => !text.contains("secret"),
        Answer::Note { .. } | Answer::Model { .. } | Answer::Done { .. } => true,
    }
}

#[store(queue, capacity = 4)]
#[derive(Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Count {
    Added(u64),
    #[snapshot(apply = add)]
    Total(u64),
}

fn add(total: &mut u64, message: &Count) {
    if let Count::Added(number) = message {
        *total += number;
    }
}

#[subscriber(sse, ws, store = Count)]
struct Counter;

fn token(run: u32, text: &str) -> Answer {
    Answer::Token { run, text: text.into() }
}

fn note(run: u32, text: &str) -> Answer {
    Answer::Note { run, text: text.into() }
}

fn answers() -> (Store<Answer>, Harness) {
    let store = Store::new();
    let router = Router::new()
        .push(Router::with_path("runs/{run}").get(Page::handler(&store)))
        .push(Router::with_path("strict").get(Strict::handler(&store)))
        .push(Router::with_path("filtered").get(Filtered::handler(&store)))
        .push(Router::with_path("unfiltered").get(Unfiltered::handler(&store)));
    (store, harness(router))
}

fn value(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

fn submit(store: &Store<Answer>, messages: impl IntoIterator<Item = Answer>) {
    for message in messages {
        store.try_submit(message).unwrap();
    }
}

fn submit_tokens(store: &Store<Answer>, run: u32, tokens: &str) {
    submit(store, tokens.chars().map(|character| token(run, &character.to_string())));
}

#[tornadose_test::test]
async fn a_late_client_gets_one_snapshot_with_an_id_and_the_rest() {
    let (store, app) = answers();
    submit_tokens(&store, 1, "abcdef");
    submit(&store, [Answer::Model { run: 1, name: "m".into() }]);
    let page = app.client("page").sse("/runs/1").await;
    let screen = app.client("screen").ws("/runs/1").await;
    submit_tokens(&store, 1, "g");
    page.skip(3).await;
    screen.skip(3).await;
    assert_transcript!(app, @r##"
    page > GET /runs/1
    page ~ open 200 text/event-stream
    page < model {"run":1,"name":"m"}
    page < text #1 {"run":1,"text":"abcdef"}
    screen > GET /runs/1 upgrade websocket
    screen ~ open 101
    screen < model {"run":1,"name":"m"}
    screen < text #1 {"run":1,"text":"abcdef"}
    page < token #2 {"run":1,"text":"g"}
    screen < token #2 {"run":1,"text":"g"}
    "##);
}

#[tornadose_test::test]
async fn a_client_of_several_keys_gets_snapshots_without_ids_and_then_a_position() {
    let (store, app) = answers();
    submit_tokens(&store, 1, "abcdef");
    submit_tokens(&store, 2, "xyz");
    submit_tokens(&store, 3, "no");
    let page = app.client("page").sse("/strict?run=2&run=1").await;
    submit_tokens(&store, 2, "!");
    page.skip(3).await;
    assert_transcript!(app, wire, @r##"
    page > GET /strict?run=2&run=1
    page ~ open 200 text/event-stream
    page ~ content-type: text/event-stream; charset=utf-8
    page ~ cache-control: no-cache, no-transform
    page ~ x-accel-buffering: no
    page ~ transfer-encoding: chunked
    page < retry: 3000\n: tornadose\nevent: text\ndata: {"run":1,"text":"abcdef"}\n\n
    page < event: text\ndata: {"run":2,"text":"xyz"}\n\n
    page < id: #1\n\n
    page < id: #2\nevent: token\ndata: {"run":2,"text":"!"}\n\n
    "##);
}

#[tornadose_test::test]
async fn a_client_that_returns_after_trimming_gets_the_snapshot_and_no_gap() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = answers();
        submit_tokens(&store, 1, "ab");
        let page = app.client("page").once().open(over, "/runs/1").await;
        page.skip(1).await;
        let id = page.last_event_id().unwrap();
        page.cut().await;
        submit_tokens(&store, 1, "cd");
        let soon = app.client("soon").once().last_event_id(&id).open(over, "/runs/1").await;
        assert_eq!(value(&soon.next_event().await.data), json!({ "run": 1, "text": "c" }));
        assert_eq!(value(&soon.next_event().await.data), json!({ "run": 1, "text": "d" }));
        soon.quiet().await;
        soon.cut().await;
        submit_tokens(&store, 1, "efghij");
        let late = app.client("late").last_event_id(&id).open(over, "/runs/1").await;
        assert_eq!(value(&late.next_event().await.data), json!({ "run": 1, "text": "abcdefghij" }));
        late.quiet().await;
    }
}

#[tornadose_test::test]
async fn an_answer_of_2000_tokens_is_rejoined_by_one_event_and_the_rest() {
    #[store(queue, capacity = 500)]
    #[derive(Clone, Serialize)]
    enum Long {
        Token(String),
        #[snapshot(apply = join)]
        Text(String),
    }

    fn join(text: &mut String, message: &Long) {
        if let Long::Token(token) = message {
            text.push_str(token);
        }
    }

    #[subscriber(sse, ws, store = Long)]
    struct Reads;

    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::new().get(Reads::handler(&store)));
        let mut whole = String::new();
        for number in 0..2000 {
            let token = format!("{number} ");
            whole.push_str(&token);
            store.try_submit(Long::Token(token)).unwrap();
        }
        let page = app.client("page").open(over, "/").await;
        assert_eq!(value(&page.next_event().await.data), json!(whole));
        page.quiet().await;
        store.try_submit(Long::Token("rest".into())).unwrap();
        assert_eq!(value(&page.next_event().await.data), json!("rest"));
        page.quiet().await;
    }
}

#[tornadose_test::test]
async fn a_stalled_client_gets_the_sum_and_does_not_lag() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = answers();
        let strict = app.client("strict").open(over, "/strict?run=1").await;
        submit_tokens(&store, 1, "ab");
        strict.skip(2).await;
        submit_tokens(&store, 1, "cdefghij");
        assert_eq!(value(&strict.next_event().await.data), json!({ "run": 1, "text": "abcdefghij" }));
        strict.quiet().await;
        // What no snapshot contains is a lag, and this subscriber ends then.
        submit(&store, [note(1, "a"), note(1, "b"), note(1, "c"), note(1, "d"), note(1, "e")]);
        strict.closed().await;
    }
}

#[tornadose_test::test]
async fn a_filter_gets_gaps_unless_it_is_asked_about_snapshots() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = answers();
        let filtered = app.client("filtered").open(over, "/filtered").await;
        let unfiltered = app.client("unfiltered").open(over, "/unfiltered").await;
        submit_tokens(&store, 1, "abcdefgh");
        let gap = value(&filtered.next_event().await.data);
        assert_eq!(gap, json!({ "reason": "lagged", "missed": 4 }));
        filtered.skip(4).await;
        assert_eq!(value(&unfiltered.next_event().await.data), json!({ "run": 1, "text": "abcdefgh" }));
        submit(&store, [token(1, " secret ")]);
        submit_tokens(&store, 1, "ijklm");
        assert_eq!(value(&unfiltered.next_event().await.data), json!({ "reason": "lagged", "missed": null }));
        unfiltered.quiet().await;
        filtered.skip(5).await;
    }
}

#[tornadose_test::test]
async fn a_finished_key_has_its_snapshot_and_then_its_end() {
    let (store, app) = answers();
    submit_tokens(&store, 1, "abcdef");
    submit(&store, [Answer::Done { run: 1 }]);
    let page = app.client("page").sse("/runs/1").await;
    let both = app.client("both").ws("/strict?run=1&run=2").await;
    page.closed().await;
    page.skip(3).await;
    both.skip(3).await;
    assert_transcript!(app, @r##"
    page > GET /runs/1
    page ~ open 200 text/event-stream
    page < text #1 {"run":1,"text":"abcdef"}
    page < done #2 {"run":1}
    page < tornadose:finished #3 {}
    page < retry 6.708s
    page ~ end
    both > GET /strict?run=1&run=2 upgrade websocket
    both ~ open 101
    both < done {"run":1}
    both < text {"run":1,"text":"abcdef"}
    both < tornadose:finished {"key":1}
    "##);
}

#[tornadose_test::test]
async fn an_unknown_id_is_no_gap_where_everything_is_summed() {
    for over in [Transport::Sse, Transport::Ws] {
        let store = Store::new();
        let app = harness(Router::new().get(Counter::handler(&store)));
        let page = app.client("page").once().last_event_id("abcdefgh-7").open(over, "/").await;
        assert_eq!(value(&page.next_event().await.data), json!(0), "the snapshot of a key without messages");
        page.quiet().await;
        for number in 1..=10 {
            store.try_submit(Count::Added(number)).unwrap();
        }
        assert_eq!(value(&page.next_event().await.data), json!(55));
        let new = app.client("new").last_event_id("abcdefgh-7").open(over, "/").await;
        assert_eq!(value(&new.next_event().await.data), json!(55));
        new.quiet().await;
    }
}

#[tornadose_test::test]
async fn a_removed_key_begins_again_with_the_snapshot_of_a_new_one() {
    for over in [Transport::Sse, Transport::Ws] {
        let (store, app) = answers();
        submit_tokens(&store, 1, "abc");
        let page = app.client("page").open(over, "/runs/1").await;
        page.skip(1).await;
        store.remove(&AnswerKey { run: 1 }).await.unwrap();
        assert_eq!(value(&page.next_event().await.data), json!({ "run": 1, "text": "" }));
        submit_tokens(&store, 1, "x");
        assert_eq!(value(&page.next_event().await.data), json!({ "run": 1, "text": "x" }));
        page.quiet().await;
    }
}
