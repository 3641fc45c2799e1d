//! The password is changed while a store is open, and later put back.

use std::time::Duration;

use tokio::time::sleep;
use tornadose::prelude::*;

use crate::common::{Line, line, text, until};
use crate::log::CapturedLog;
use crate::server::Server;

/// How the password of a user is set, and how its connections are closed.
struct Case {
    user: &'static str,
    arguments: &'static [&'static str],
    /// Runs with the password that holds now, and the one that shall hold.
    change: fn(&Server, &str, &str),
}

async fn check(Case { user, arguments, change }: Case) {
    let server = Server::start_with(arguments);
    if user == "app" {
        assert_eq!(server.cli(&["ACL", "SETUSER", "app", "reset", "on", ">first", "~*", "&*", "+@all"]), "OK");
    }
    let store: Store<Line> = Store::redis(format!("redis://{user}:first@127.0.0.1:{}/", server.port)).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");

    let (log, _guard) = CapturedLog::start();
    change(&server, "first", "second");
    let mut events = Vec::new();
    let is_named = |event: &String| event.contains("WRONGPASS");
    until("the log names the cause", || {
        events.extend(log.take());
        events.iter().any(is_named)
    })
    .await;
    for number in 1..=3 {
        store.try_submit(line(number.to_string())).unwrap();
    }
    // Some more attempts are made.
    sleep(Duration::from_secs(5)).await;
    events.extend(log.take());
    events.retain(|event| !event.starts_with("DEBUG"));
    let cause = r#"reason="WRONGPASS invalid username-password pair or user is disabled.""#;
    assert_eq!(events.pop().unwrap(), format!("WARN backend disconnected: channel=\"lines\" {cause}"));
    // The end of the connection may have been logged before.
    assert!(events.len() <= 1 && !events.iter().any(is_named), "{events:?}");
    assert!(events.iter().all(|event| event.starts_with("WARN backend disconnected: ")), "{events:?}");

    change(&server, "second", "first");
    for number in 1..=3 {
        assert_eq!(text(&mut reader).await, number.to_string());
    }
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
    let mut events = log.take();
    events.retain(|event| !event.starts_with("DEBUG"));
    assert_eq!(events, [r#"INFO backend connected: channel="lines""#]);
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_changed_password_of_a_user_is_logged_once_and_messages_wait() {
    check(Case {
        user: "app",
        arguments: &[],
        change: |server, _, new| {
            assert_eq!(server.cli(&["ACL", "SETUSER", "app", "resetpass", &format!(">{new}")]), "OK");
            server.cli(&["CLIENT", "KILL", "USER", "app"]);
        },
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_changed_password_of_the_server_is_logged_once_and_messages_wait() {
    check(Case {
        user: "",
        arguments: &["--requirepass", "first"],
        change: |server, old, new| {
            assert_eq!(server.cli(&["-a", old, "CONFIG", "SET", "requirepass", new]), "OK");
            server.cli(&["-a", new, "CLIENT", "KILL", "TYPE", "normal"]);
        },
    })
    .await;
}
