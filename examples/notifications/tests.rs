use tornadose_test::{Client, Harness, assert_transcript};

use super::*;

async fn notify(app: &Harness, user: &str, body: &str) {
    app.client("service").header("content-type", "application/json").post(format!("/inbox/{user}"), body).await;
}

async fn inbox(app: &Harness, session: u64) -> Client {
    app.client(format!("user{session}")).cookie("session", session).sse("/inbox").await
}

#[tornadose_test::test]
async fn everybody_gets_their_own() {
    let app = Harness::new(router(&Store::new()));
    inbox(&app, 7).await;
    inbox(&app, 8).await;
    notify(&app, "7", r#"{"title":"for seven"}"#).await;
    notify(&app, "8", r#"{"title":"for eight"}"#).await;
    assert_transcript!(app, @r#"
    user7 > GET /inbox
    user7 ~ open 200 text/event-stream, retry 2s
    user8 > GET /inbox
    user8 ~ open 200 text/event-stream, retry 2s
    service > POST /inbox/7
    user7 < message #1 {"user":7,"title":"for seven"}
    service ~ answer 201 #1\n
    service > POST /inbox/8
    user8 < message #2 {"user":8,"title":"for eight"}
    service ~ answer 201 #2\n
    "#);
}

#[tornadose_test::test]
async fn nothing_is_missed_over_a_reconnect() {
    let app = Harness::new(router(&Store::new()));
    let seven = inbox(&app, 7).await;
    notify(&app, "7", r#"{"title":"seen"}"#).await;
    seven.close().await;
    notify(&app, "7", r#"{"title":"missed"}"#).await;
    notify(&app, "8", r#"{"title":"not yours"}"#).await;
    let last = seven.last_event_id().unwrap();
    app.client("user7").cookie("session", 7).last_event_id(last).sse("/inbox").await;
    assert_transcript!(app, @r#"
    user7 > GET /inbox
    user7 ~ open 200 text/event-stream, retry 2s
    service > POST /inbox/7
    user7 < message #1 {"user":7,"title":"seen"}
    service ~ answer 201 #1\n
    user7 ~ close (client)
    service > POST /inbox/7
    service ~ answer 201 #2\n
    service > POST /inbox/8
    service ~ answer 201 #3\n
    user7-2 > GET /inbox last-event-id #1
    user7-2 ~ open 200 text/event-stream, retry 2s
    user7-2 < message #2 {"user":7,"title":"missed"}
    "#);
}

#[tornadose_test::test]
async fn strangers_the_banned_and_nonsense_are_refused() {
    let app = Harness::new(router(&Store::new()));
    app.client("stranger").sse("/inbox").await;
    app.client("forger").cookie("session", "seven").sse("/inbox").await;
    inbox(&app, 13).await;
    notify(&app, "7", r#"{"titel":"misspelt"}"#).await;
    notify(&app, "seven", r#"{"title":"no number"}"#).await;
    assert_transcript!(app, @r#"
    stranger > GET /inbox
    stranger ~ answer 401 log in first: `cookie: session=ID`\n
    forger > GET /inbox
    forger ~ answer 401 log in first: `cookie: session=ID`\n
    user13 > GET /inbox
    user13 ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: you are banned
    service > POST /inbox/7
    service ~ answer 400 expected `content-type: application/json` and {"title":"…"}: serde json error: missing field `title` at line 1 column 20\n
    service > POST /inbox/seven
    service ~ answer 400 the user is a number: `/inbox/7`\n
    "#);
}
