//! A process that met an entry which it cannot read, beside one of a newer version that can; and one that was cut off
//! while entries were trimmed.

use futures_util::FutureExt;
use tornadose::prelude::*;

use crate::common::until;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::snapshots::{Answer, STREAM, kept, key, next, open, submit_tokens, text, token};
use crate::snapshots_place::{newest, place};

/// A newer version of the program, with one more kind of message and snapshots of the same version.
mod newer {
    use tornadose::prelude::*;

    #[store(queue, capacity = 100, channel = "answers")]
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Answer {
        Token {
            #[key]
            run: u32,
            text: String,
        },
        Shout {
            #[key]
            run: u32,
            word: String,
        },
        #[snapshot(apply = append)]
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
        if let Answer::Token { text: piece, .. } | Answer::Shout { word: piece, .. } = message {
            text.push_str(piece);
        }
    }
}

fn newer_token(run: u32, text: &str) -> newer::Answer {
    newer::Answer::Token { run, text: text.into() }
}

/// Waits until a reader that comes to a store is sent this first.
async fn begins_with(store: &Store<Answer>, run: u32, expected: &str) {
    let first = || next(&mut store.subscribe_to(key(run))).now_or_never().flatten();
    until("the snapshot is known", || first() == Some(text(run, expected))).await;
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_an_unreadable_entry_a_newer_snapshot_of_another_process_is_taken() {
    let server = Server::start();
    let (older, newer) = (open(&server).await, Store::<newer::Answer>::redis(server.url()).await.unwrap());
    let mut reader = older.subscribe_to(key(1));
    newer.submit(newer_token(1, "a")).await.unwrap();
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, "a"))));
    newer.submit(newer::Answer::Shout { run: 1, word: "b".into() }).await.unwrap();
    assert_eq!(next(&mut reader).await, Some("unreadable None".into()));
    assert_eq!(next(&mut older.subscribe_to(key(1))).now_or_never(), None);
    newer.submit(newer_token(1, "c")).await.unwrap();
    newer.submit(newer_token(2, "x")).await.unwrap();
    kept(&server, 1, "abc").await;
    begins_with(&older, 1, "abc").await;
    // That of a key that came later, too.
    begins_with(&older, 2, "x").await;
    // It goes on, and writes again.
    older.submit(token(1, "d")).await.unwrap();
    kept(&server, 1, "abcd").await;
    newer.submit(newer_token(1, "e")).await.unwrap();
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, "c"))));
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, "d"))));
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, "e"))));
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn after_entries_were_trimmed_unread_old_keys_are_known_and_later_ones_are_new() {
    let server = Server::start();
    let (one, proxy) = (open(&server).await, Proxy::to(server.port).await);
    let cut_off = Store::<Answer>::redis(proxy.url()).await.unwrap();
    let mut reader = cut_off.subscribe_to(key(1));
    one.submit(token(1, "a")).await.unwrap();
    assert_eq!(next(&mut reader).await, Some(format!("{:?}", token(1, "a"))));
    proxy.block();
    one.submit(token(1, "b")).await.unwrap();
    let second = submit_tokens(&one, 2, 0..3).await;
    let third = submit_tokens(&one, 3, 0..3).await;
    one.submit(Answer::Done { run: 3 }).await.unwrap();
    for (run, end) in [(1, "ab"), (2, " 2 "), (3, " 2 ")] {
        kept(&server, run, end).await;
    }
    place(&server, &newest(&server)).await;
    server.cli(&["XTRIM", STREAM, "MAXLEN", "0"]);
    drop(one);
    proxy.unblock();
    begins_with(&cut_off, 1, "ab").await;
    begins_with(&cut_off, 2, &second).await;
    begins_with(&cut_off, 3, &third).await;
    // No other process is left that knows it.
    cut_off.submit(token(4, "new")).await.unwrap();
    kept(&server, 4, "new").await;
    begins_with(&cut_off, 4, "new").await;
}
