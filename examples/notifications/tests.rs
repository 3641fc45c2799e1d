use tornadose_test::{Client, Cut, Harness, assert_transcript, resume_at_every_byte};

use super::*;

async fn notify(app: &Harness, user: &str, body: &str) -> u16 {
    let service = app.client("service").header("content-type", "application/json");
    service.post(format!("/inbox/{user}"), body).await.status()
}

async fn inbox(app: &Harness, session: u64) -> Client {
    app.client(format!("user{session}")).cookie("session", session).sse("/inbox").await
}

#[tornadose_test::test]
async fn each_user_gets_their_own_notifications() {
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
async fn a_client_that_reconnects_misses_nothing() {
    let app = Harness::new(router(&Store::new()));
    let seven = inbox(&app, 7).await;
    seven.fault(Cut::inside_event(2)).await;
    for (user, title) in [("7", "seen"), ("7", "broken off"), ("7", "missed"), ("8", "not yours")] {
        assert_eq!(notify(&app, user, &format!(r#"{{"title":"{title}"}}"#)).await, 201);
    }
    seven.reconnected().await;
    assert_transcript!(seven, @r#"
    user7 > GET /inbox
    user7 ~ open 200 text/event-stream, retry 2s
    user7 < message #1 {"user":7,"title":"seen"}
    user7 ! cut inside event #2 (14 of 54 bytes arrived)
    after 2s
    user7 > GET /inbox last-event-id #1
    user7 ~ open 200 text/event-stream, retry 2s
    user7 < message #2 {"user":7,"title":"broken off"}
    user7 < message #3 {"user":7,"title":"missed"}
    "#);
}

#[tornadose_test::test]
async fn an_inbox_resumes_at_every_byte() {
    let new_app = || {
        let store = Store::new();
        (router(&store), store)
    };
    let submit_titles = async |store: Store<Notification>| {
        for title in ["one", "two", "three"] {
            for user in [7, 8] {
                store.submit(Notification { user: UserId(user), title: title.into() }).await.unwrap();
            }
        }
    };
    resume_at_every_byte(new_app, "/inbox", submit_titles).with(|client| client.cookie("session", 7)).await;
}

#[tornadose_test::test]
async fn missing_logins_banned_users_and_invalid_bodies_are_rejected() {
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

#[test]
fn the_types_of_the_page_are_current() {
    let streams = tornadose::schema().title("Notifications").route::<Inbox>("/inbox");
    streams.typescript().assert_committed("notifications/tornadose.d.ts");
    streams.asyncapi().assert_committed("notifications/asyncapi.json");
}
