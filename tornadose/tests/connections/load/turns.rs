//! At most `max_loads` hooks run at once; the others wait for their turn.

use tornadose_test::Client;

use crate::connections::harness::secs;
use crate::connections::table::{ChangeKey, Seen, change, lists};

const CLIENTS: usize = 200;

#[tornadose_test::test]
async fn many_clients_that_return_at_once_are_few_loads_at_once_and_all_are_served() {
    let (_store, table, app) = lists();
    table.takes(secs(5));
    table.commit(1, 7, 1);
    let (mut streams, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..CLIENTS / 2 {
        streams.push(app.client(format!("s{number}")).without_waiting().sse("/lists/1").await);
        sockets.push(app.client(format!("w{number}")).without_waiting().ws("/lists/1").await);
    }
    app.advance(secs(1)).await;
    assert_eq!((table.running(), table.loads()), (16, 16));
    // 200 clients are 13 rounds of 5 s.
    app.advance(secs(70)).await;
    assert_eq!((table.most_running(), table.running(), table.loads()), (16, 0, CLIENTS));
    for client in streams.iter().chain(sockets.iter().map(|socket| &**socket)) {
        assert_eq!(client.drain::<Seen>().await, [Seen::Reset {}, Seen::Row { list: 1, id: 7, version: 1 }]);
    }
    // Those that had to wait are kept alive.
    let is_kept_alive = |client: &Client, sign: &str| {
        let transcript = client.recording().to_string();
        transcript.split("reset").next().unwrap().contains(sign)
    };
    assert!(streams.iter().filter(|client| is_kept_alive(client, ": keep-alive")).count() > 20);
    assert!(sockets.iter().filter(|client| is_kept_alive(client, "ping")).count() > 20);
}

#[tornadose_test::test]
async fn a_client_whose_turn_does_not_come_in_time_is_opened_first() {
    let (_store, table, app) = lists();
    table.takes(secs(10));
    table.commit(1, 7, 1);
    let first = app.client("first").without_waiting().sse("/single/1").await;
    let second = app.client("second").without_waiting().sse("/single/1").await;
    let third = app.client("third").without_waiting().ws("/single/1").await;
    app.advance(secs(60)).await;
    tornadose_test::assert_transcript!(app, @r#"
    first > GET /single/1
    second > GET /single/1
    third > GET /single/1 upgrade websocket
    after 10s
    first ~ open 200 text/event-stream, retry 2s
    first < tornadose:reset {}
    first < row {"list":1,"id":7,"version":1}
    after 5s
    third ~ open 101
    after 5s
    second ~ open 200 text/event-stream, retry 2s
    second < tornadose:reset {}
    second < row {"list":1,"id":7,"version":1}
    after 5s
    first < : keep-alive
    after 5s
    third < ping
    third < tornadose:reset {}
    third < row {"list":1,"id":7,"version":1}
    after 5s
    second < : keep-alive
    after 5s
    first < : keep-alive
    after 5s
    third < ping
    after 5s
    second < : keep-alive
    after 5s
    first < : keep-alive
    after 5s
    third < ping
    "#);
    drop((first, second, third));
}

#[tornadose_test::test]
async fn a_client_that_leaves_gives_its_turn_away() {
    let (store, table, app) = lists();
    table.takes(secs(5));
    let waiting = app.client("waiting").without_waiting().sse("/single/1").await;
    let first = app.client("first").without_waiting().ws("/single/1").await;
    assert_eq!((table.running(), store.subscribers()), (1, 2));
    waiting.cut().await;
    assert_eq!((table.running(), store.subscribers(), table.loads()), (1, 1, 2), "the hook is dropped");
    first.cut().await;
    assert_eq!((table.running(), store.subscribers()), (0, 0));
    assert_eq!(table.take_calls().iter().filter(|call| *call == "loaded").count(), 0);
}

#[tornadose_test::test]
async fn max_loads_can_be_set_on_the_handler() {
    let (_store, table, app) = lists();
    table.takes(secs(1));
    let mut clients = Vec::new();
    for number in 0..3 {
        clients.push(app.client(format!("c{number}")).without_waiting().sse("/single/1").await);
    }
    app.advance(secs(4)).await;
    assert_eq!((table.most_running(), table.loads()), (1, 3));
    for client in clients {
        client.skip(1).await;
    }
}

#[tornadose_test::test]
async fn a_stalled_client_keeps_the_turn_of_nobody() {
    let (store, table, app) = lists();
    let slow = app.client("slow").buffer_size(64).sse("/single/1").await;
    let sock = app.client("sock").buffer_size(64).ws("/single/1").await;
    for client in [&slow, &*sock] {
        client.skip(1).await;
        client.stall().await;
    }
    for version in 0..40 {
        change(&store, &table, 7, version).await;
    }
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    let other = app.client("other").sse("/single/1").await;
    other.skip(2).await;
}
