//! Two versions of one program on one channel, as in a rolling deploy.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose::{GapReason, Received, Subscription};

use crate::server::Server;

/// The older version.
mod old {
    use tornadose::prelude::*;

    #[store(queue, channel = "orders")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Order {
        Placed {
            number: u32,
        },
        #[latest]
        Total {
            sum: u32,
        },
    }
}

/// The newer version, as the recipe for rolling deploys wants it: the new field has a default. Its new variant cannot
/// be read by the older version.
mod new {
    use tornadose::prelude::*;

    #[store(queue, channel = "orders")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Order {
        Placed {
            number: u32,
            #[serde(default)]
            note: String,
        },
        Cancelled {
            number: u32,
        },
        #[latest]
        Total {
            sum: u32,
        },
    }
}

/// Returns the next item as text.
async fn next<M: Message + std::fmt::Debug>(reader: &mut Subscription<M>) -> String {
    match timeout(Duration::from_secs(20), reader.next()).await.expect("nothing arrived").expect("the reader ended") {
        Received::Message { message, .. } => format!("{message:?}"),
        Received::Gap { reason, missed } => format!("{reason} {missed:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_the_older_version_cannot_read_is_a_gap_and_the_newer_reads_everything() {
    let server = Server::start();
    let older: Store<old::Order> = Store::redis(server.url()).await.unwrap();
    let newer: Store<new::Order> = Store::redis(server.url()).await.unwrap();
    let (mut of_older, mut of_newer) = (older.subscribe(), newer.subscribe());

    older.submit(old::Order::Placed { number: 1 }).await.unwrap();
    newer.submit(new::Order::Placed { number: 2, note: "gift".into() }).await.unwrap();
    let cancelled = newer.submit(new::Order::Cancelled { number: 1 }).await.unwrap();
    older.submit(old::Order::Total { sum: 2 }).await.unwrap();
    newer.submit(new::Order::Total { sum: 1 }).await.unwrap();

    let gap = format!("{} None", GapReason::Unreadable);
    for expected in ["Placed { number: 1 }", "Placed { number: 2 }", &gap] {
        assert_eq!(next(&mut of_older).await, expected);
    }
    for expected in
        ["Placed { number: 1, note: \"\" }", "Placed { number: 2, note: \"gift\" }", "Cancelled { number: 1 }"]
    {
        assert_eq!(next(&mut of_newer).await, expected);
    }
    // A `latest` value that was replaced before it was read is skipped.
    while next(&mut of_older).await != "Total { sum: 1 }" {}
    while next(&mut of_newer).await != "Total { sum: 1 }" {}

    // Both start again on what the other has written, with the ids of before.
    let (older, newer) = (older.head(), newer.head());
    assert_eq!(older, newer);
    let older: Store<old::Order> = Store::redis(server.url()).await.unwrap();
    let newer: Store<new::Order> = Store::redis(server.url()).await.unwrap();
    assert_eq!((older.head(), newer.head()), (older.head(), older.head()));
    assert!(cancelled < older.head());
    assert_eq!(older.latest(&tornadose::NoKey).map(|order| format!("{order:?}")).as_deref(), Some("Total { sum: 1 }"));
    assert_eq!(newer.latest(&tornadose::NoKey).map(|order| format!("{order:?}")).as_deref(), Some("Total { sum: 1 }"));
}
