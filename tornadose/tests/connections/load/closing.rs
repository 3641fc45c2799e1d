//! Ends while the hook `load` runs, and texts that come meanwhile.

use tornadose_test::{Client, assert_transcript};

use crate::connections::harness::secs;
use crate::connections::table::{Change, ChangeKey, Seen, lists};

#[tornadose_test::test]
async fn a_store_that_closes_ends_the_loads() {
    let (store, table, app) = lists();
    let ada = app.client("ada").once().sse("/hooked/1").await;
    let bob = app.client("bob").ws("/hooked/1").await;
    for client in [&ada, &*bob] {
        client.drain::<Seen>().await;
    }
    table.takes(secs(5));
    let early = app.client("early").without_waiting().once().sse("/lists/1").await;
    let socket = app.client("socket").without_waiting().ws("/lists/1").await;
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    assert_eq!(table.running(), 4);
    table.take_calls();
    store.close();
    store.closed().await;
    assert_eq!((table.running(), store.subscribers()), (0, 0));
    assert_eq!(table.take_calls(), ["closed", "closed"]);
    assert_transcript!(app, @r#"
    ada > GET /hooked/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    ada < note #1 {"list":1,"text":"opened"}
    bob > GET /hooked/1 upgrade websocket
    ada < note #2 {"list":1,"text":"opened"}
    bob ~ open 101
    bob < tornadose:reset {}
    bob < note #2 {"list":1,"text":"opened"}
    early > GET /lists/1
    socket > GET /lists/1 upgrade websocket
    ada < tornadose:gap {"reason":"removed","missed":0}
    bob < tornadose:gap {"reason":"removed","missed":0}
    ada < retry 4.472s
    ada ~ end
    bob ~ close 1001 (server)
    early ~ open 200 text/event-stream, retry 4.472s
    early ~ end
    socket ~ answer 503 code: 503\n\nname: Service Unavailable\n\nbrief: the server is closing or full: try again later
    "#);
    drop((ada, bob, early, socket));
}

#[tornadose_test::test]
async fn a_client_that_is_disconnected_while_it_loads_gets_what_it_is_owed_and_the_end() {
    let (store, table, app) = lists();
    let ada = app.client("ada").once().sse("/lists/1").await;
    let bob = app.client("bob").ws("/lists/1").await;
    table.takes(secs(2));
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    store.submit(Change::Note { list: 1, text: "the last".into() }).await.unwrap();
    store.disconnect(&ChangeKey { list: 1 });
    app.advance(secs(3)).await;
    assert_transcript!(app, @r#"
    ada > GET /lists/1
    ada ~ open 200 text/event-stream, retry 2s
    ada < tornadose:reset {}
    bob > GET /lists/1 upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    ada < tornadose:gap {"reason":"removed","missed":0}
    bob < tornadose:gap {"reason":"removed","missed":0}
    after 2s
    ada < tornadose:reset {}
    ada < note #1 {"list":1,"text":"the last"}
    ada < retry 4.472s
    ada ~ end
    bob < tornadose:reset {}
    bob < note #1 {"list":1,"text":"the last"}
    bob ~ close 1008 (server) disconnected
    "#);
    drop((ada, bob));
}

#[tornadose_test::test]
async fn a_client_that_leaves_while_it_loads_is_gone_and_its_closed_hook_runs() {
    let (store, table, app) = lists();
    let ada = app.client("ada").once().sse("/hooked/1").await;
    let bob = app.client("bob").ws("/hooked/1").await;
    for client in [&ada, &*bob] {
        client.drain::<Seen>().await;
    }
    table.takes(secs(5));
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    table.take_calls();
    ada.close().await;
    Client::close(&bob).await;
    assert_eq!((table.running(), store.subscribers()), (0, 0));
    assert_eq!(table.take_calls(), ["closed", "closed"]);
    for client in [&ada, &*bob] {
        client.drain::<Seen>().await;
    }
}

#[tornadose_test::test]
async fn the_time_of_a_load_is_no_stall() {
    let (store, table, app) = lists();
    let ada = app.client("ada").once().sse("/quick/1").await;
    let bob = app.client("bob").ws("/quick/1").await;
    table.takes(secs(9));
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.advance(secs(10)).await;
    assert_eq!(store.subscribers(), 2);
    for client in [&ada, &*bob] {
        assert_eq!(client.drain::<Seen>().await.last(), Some(&Seen::Reset {}));
        client.quiet().await;
    }
}

#[tornadose_test::test]
async fn texts_wait_while_it_loads_and_pings_and_a_close_do_not() {
    let (store, table, app) = lists();
    let ada = app.client("ada").ws("/lists/1").await;
    let bob = app.client("bob").ws("/lists/1").await;
    table.takes(secs(2));
    store.remove(&ChangeKey { list: 1 }).await.unwrap();
    app.settle().await;
    table.take_calls();
    ada.ping(b"there").await;
    ada.send_text("\"one\"").await;
    ada.send_text("\"two\"").await;
    Client::close(&bob).await;
    assert_eq!((table.take_calls().len(), store.subscribers()), (0, 1));
    app.advance(secs(3)).await;
    assert_eq!(table.take_calls(), ["loaded", "received one", "received two"]);
    assert_transcript!(app, @r#"
    ada > GET /lists/1 upgrade websocket
    ada ~ open 101
    ada < tornadose:reset {}
    bob > GET /lists/1 upgrade websocket
    bob ~ open 101
    bob < tornadose:reset {}
    ada < tornadose:gap {"reason":"removed","missed":0}
    bob < tornadose:gap {"reason":"removed","missed":0}
    ada > ping
    ada > "one"
    ada > "two"
    bob ~ close (client)
    after 2s
    ada < tornadose:reset {}
    "#);
    drop((ada, bob));
}
