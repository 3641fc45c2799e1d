//! Clients that send much and read nothing: the server stops reading them.

use tornadose::prelude::*;
use tornadose_test::Client;

use super::harness::{harness, secs};
use super::talker::{Line, PING, ReceivedCount, TEXT, Talker, frame, talk};

/// Bound of the replies that wait in the server, and of the input that was read ahead.
const BUFFERED_BYTES_MAX: usize = 16 << 10;

const PIPE_BYTES: usize = 2048;

const FRAMES: usize = 3000;

/// Returns the reports that the client has received.
fn errors(socket: &Client) -> Vec<String> {
    let transcript = socket.recording().to_string();
    transcript.lines().filter_map(|line| Some(line.split_once("tornadose:error ")?.1.to_owned())).collect()
}

#[tornadose_test::test]
async fn texts_are_received_only_as_fast_as_their_replies_are_read() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
    socket.stall().await;
    socket.send_raw(frame(TEXT, br#""hi""#).repeat(FRAMES)).await;
    // Each reply takes some 60 bytes. Once the buffers are full, nothing more is received.
    let received = count.get();
    assert!(received > 0 && received * 60 <= PIPE_BYTES + 2 * BUFFERED_BYTES_MAX, "{received} texts were received");
    app.advance(secs(25)).await;
    assert_eq!((count.get(), store.subscribers()), (received, 1));
    socket.resume().await;
    assert_eq!(count.get(), FRAMES);
    let expected: Vec<String> = (0..FRAMES).map(|number| format!(r#"{{"reason":"{number}: 2 bytes"}}"#)).collect();
    assert!(errors(&socket) == expected, "every text is answered once and in order");
    store.submit(Line("still here".into())).await.unwrap();
    app.settle().await;
    assert!(socket.recording().to_string().ends_with("\"still here\"\n"));
}

#[tornadose_test::test]
async fn pings_are_answered_only_as_fast_as_their_pongs_are_read() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
    socket.stall().await;
    // A text after every ten pings shows how many were answered.
    let ten = |turn: usize| (turn * 10..turn * 10 + 10).flat_map(|n| frame(PING, format!("ping {n:0100}").as_bytes()));
    let pings: Vec<u8> = (0..FRAMES / 10).flat_map(|turn| ten(turn).chain(frame(TEXT, br#""hi""#))).collect();
    socket.send_raw(pings).await;
    let received = count.get();
    assert!(
        received > 0 && received * 10 * 107 <= PIPE_BYTES + 2 * BUFFERED_BYTES_MAX,
        "{received} times ten pings were answered"
    );
    app.advance(secs(25)).await;
    assert_eq!(store.subscribers(), 1);
    socket.resume().await;
    let wire = socket.recording().wire();
    let pongs: Vec<&str> = wire.lines().filter_map(|line| line.strip_prefix("flood < pong ")).collect();
    let expected: Vec<String> = (0..FRAMES).map(|number| format!("ping {number:0100}")).collect();
    assert_eq!(count.get(), FRAMES / 10);
    assert!(pongs == expected, "every ping is answered once and in order: {} of {FRAMES}", pongs.len());
}

#[tornadose_test::test]
async fn a_flooding_client_that_reads_nothing_is_aborted() {
    for (keep_alive, timeout) in [(Some(secs(15)), 30), (Some(secs(5)), 10), (None, 30)] {
        for flood in [frame(TEXT, br#""hi""#), frame(PING, &[b'x'; 125])] {
            let (store, count) = (Store::new(), ReceivedCount::default());
            let talker = Talker::handler(&store).keep_alive(keep_alive);
            let app = harness(Router::with_path("talk").hoop(count.clone()).get(talker));
            let socket = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
            socket.stall().await;
            socket.send_raw(flood.repeat(FRAMES)).await;
            let received = count.get();
            app.advance(secs(timeout - 1)).await;
            assert_eq!(store.subscribers(), 1, "{keep_alive:?}");
            app.advance(secs(1)).await;
            assert_eq!((store.subscribers(), count.get()), (0, received), "{keep_alive:?}");
        }
    }
}

#[tornadose_test::test]
async fn texts_after_a_slow_hook_are_received_in_order() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
    let flood =
        [frame(TEXT, br#""wait 5""#), frame(TEXT, br#""hi""#).repeat(FRAMES), frame(TEXT, br#""wait 5""#)].concat();
    socket.send_raw(flood).await;
    assert_eq!(count.get(), 0);
    app.advance(secs(5)).await;
    assert_eq!(count.get(), FRAMES + 1);
    // The connection is watched while a hook runs, also with much unread input.
    app.advance(secs(5)).await;
    assert_eq!((count.get(), store.subscribers()), (FRAMES + 2, 1));
    let numbers =
        errors(&socket).iter().filter_map(|error| error.split([':', '"']).nth(4)?.parse().ok()).collect::<Vec<usize>>();
    assert!(numbers == (0..FRAMES + 2).collect::<Vec<_>>(), "{numbers:?}");
}

#[tornadose_test::test]
async fn a_client_that_leaves_after_a_flood_is_noticed_while_a_hook_runs() {
    let (store, count, app) = talk();
    let socket = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
    // More than is read ahead, so that the end of the connection comes after unread input.
    socket.send_raw([frame(TEXT, br#""wait 100000""#), frame(TEXT, br#""hi""#).repeat(FRAMES)].concat()).await;
    // The client is there, although its pongs come after the unread input too.
    app.advance(secs(300)).await;
    assert_eq!((store.subscribers(), count.get()), (1, 0));
    Client::close(&socket).await;
    app.advance(secs(15)).await;
    assert_eq!((store.subscribers(), count.get()), (0, 0));
}

#[tornadose_test::test]
async fn a_flood_does_not_delay_other_connections() {
    let (store, _, app) = talk();
    let flood = app.client("flood").buffer_size(PIPE_BYTES).lenient().ws("/talk").await;
    let other = app.client("other").ws("/talk").await;
    flood.stall().await;
    flood.send_raw(frame(PING, &[b'x'; 125]).repeat(FRAMES)).await;
    for number in 0..100 {
        store.submit(Line(number.to_string())).await.unwrap();
        assert_eq!(other.next_now::<String>().await, number.to_string());
    }
}
