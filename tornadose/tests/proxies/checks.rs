//! What the page promises of every proxy.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::app::{App, KEEP_ALIVE, MAX_AGE};
use super::client::{Client, Http2Client, UPGRADE};
use super::proxy::{Kind, Proxy, snippet};

/// When the server notices that a client has left.
#[derive(Clone, Copy)]
pub(crate) enum Leaving {
    AtOnce,
    /// The proxy notices it when it cannot write.
    AtTheNextKeepAlives,
}

const PROMPT: Duration = Duration::from_millis(100);

/// Longer than a proxy needs to notice that a server is not ready: two checks, one a second.
const CHECKED: Duration = Duration::from_millis(2500);

/// Longer than the proxy's time-out of silence.
const IDLE: Duration = Duration::from_secs(7);

pub(crate) async fn check_all(kind: Kind, leaving: Leaving) {
    let mut app = App::start().await;
    let Some(proxy) = Proxy::start(kind, &snippet(kind.language), app.port()).await else { return };
    let name = kind.program;
    first_event(name, &app, &proxy).await;
    websocket(kind, &app, &proxy).await;
    http2_streams(kind, &proxy).await;
    client_leaves(name, leaving, &app, &proxy).await;
    idle(kind, &app, &proxy).await;
    restart(kind, &mut app, &proxy).await;
}

/// Asserts that something was prompt, and prints how long it took.
fn prompt(name: &str, what: &str, time: Duration) {
    println!("{name}: {what}: {} ms", time.as_millis());
    assert!(time < PROMPT, "{name}: {what} took {time:?}");
}

async fn first_event(name: &str, app: &App, proxy: &Proxy) {
    app.submit("first").await;
    // The first request of all opens the files and the connections of a fresh proxy.
    Client::get(proxy.port(), "/lines", "").await.read_until("data: \"first\"").await;
    let mut page = Client::get(proxy.port(), "/lines", "").await;
    prompt(name, "first event", page.read_until("data: \"first\"").await);
    let mut page_http2 = Http2Client::get(proxy.port(), "/lines").await;
    page_http2.read_until("data: \"first\"").await;
    // Alone in its packets, and no other follows that would push it.
    let start = Instant::now();
    app.submit("next").await;
    page.read_until("data: \"next\"").await;
    prompt(name, "next event", start.elapsed());
    page_http2.read_until("data: \"next\"").await;
    prompt(name, "next event, on HTTP/2 too", start.elapsed());
}

async fn websocket(kind: Kind, app: &App, proxy: &Proxy) {
    let mut socket = Client::get(proxy.port(), "/lines", UPGRADE).await;
    socket.read_until("\"data\":\"next\"").await;
    assert!(socket.text().starts_with("HTTP/1.1 101 "), "{}", socket.text());
    socket.send_text("\"from a page\"").await;
    socket.read_until("\"data\":\"from a page\"").await;
    app.submit("to a page").await;
    socket.read_until("\"data\":\"to a page\"").await;
    if kind.has_websocket_over_http2 {
        Http2Client::connect(proxy.port()).await.read_websocket("/lines", "\"data\":\"to a page\"").await;
    }
}

async fn http2_streams(kind: Kind, proxy: &Proxy) {
    let streams = Http2Client::connect(proxy.port()).await.open_streams("/lines", kind.http2_streams + 1).await;
    println!("{}: {streams} streams on a connection over HTTP/2", kind.program);
    assert_eq!(streams, kind.http2_streams);
}

/// Returns the response to a handshake.
pub(crate) async fn refused_handshake(proxy: &Proxy) -> String {
    Client::get(proxy.port(), "/lines", UPGRADE).await.read_response().await
}

async fn client_leaves(name: &str, leaving: Leaving, app: &App, proxy: &Proxy) {
    app.wait_for_readers(0).await;
    let mut times = Vec::new();
    for headers in ["", UPGRADE] {
        let mut page = Client::get(proxy.port(), "/lines", headers).await;
        page.read_until("\"to a page\"").await;
        app.wait_for_readers(1).await;
        drop(page);
        times.push(app.wait_for_readers(0).await);
    }
    let mut page = Http2Client::get(proxy.port(), "/lines").await;
    page.read_until("\"to a page\"").await;
    app.wait_for_readers(1).await;
    let _connection = page.reset();
    times.push(app.wait_for_readers(0).await);
    for (what, time) in ["leaving", "leaving, WebSocket", "leaving, HTTP/2"].into_iter().zip(times) {
        match leaving {
            Leaving::AtOnce => prompt(name, what, time),
            Leaving::AtTheNextKeepAlives => {
                println!("{name}: {what}: {} ms, with a keep-alive each second", time.as_millis());
                assert!(time < KEEP_ALIVE * 3, "{name}: {what} took {time:?}");
            }
        }
    }
    // A frozen client takes nothing and stays connected. What it does not take fits into the buffers of a proxy, so
    // only `max_age` ends its stream.
    let frozen = Client::get(proxy.port(), "/aging", "").await;
    app.wait_for_readers(1).await;
    let aged = app.wait_for_readers(0).await;
    assert!(aged > MAX_AGE / 2 && aged < MAX_AGE * 2, "{name}: a frozen client has its stream for {aged:?}");
    drop(frozen);
}

async fn idle(kind: Kind, app: &App, proxy: &Proxy) {
    let name = kind.program;
    let mut page = Client::get(proxy.port(), "/lines", "").await;
    let mut page_http2 = Http2Client::get(proxy.port(), "/lines").await;
    let mut socket = Client::get(proxy.port(), "/lines", UPGRADE).await;
    page.read_until("\"to a page\"").await;
    page_http2.read_until("\"to a page\"").await;
    socket.read_until("\"to a page\"").await;
    let mut silent = Client::get(proxy.port(), "/silent", "").await;
    silent.read_until("\"to a page\"").await;
    socket.answer_pings(IDLE).await;
    let start = Instant::now();
    app.submit("after silence").await;
    page.read_until("data: \"after silence\"").await;
    page_http2.read_until("data: \"after silence\"").await;
    socket.read_until("\"data\":\"after silence\"").await;
    prompt(name, "event after silence", start.elapsed());
    // Without keep-alives the proxy's time-out ends the stream.
    if kind.has_timeout {
        silent.read_to_end().await;
        assert!(!silent.text().contains("after silence"), "{name} has no time-out: {}", silent.text());
    }
}

/// One of two servers is deployed again behind a proxy that asks both whether they are ready. A page that returns after
/// each end of its stream gets every line once, and no request fails.
pub(crate) async fn deploy_one_of_two(kind: Kind, snippet: &str) {
    let name = kind.program;
    let mut old = App::start().await;
    let other = App::start_with(old.store().clone()).await;
    let snippet = snippet.replace("127.0.0.1:9001", &format!("127.0.0.1:{}", other.port()));
    let Some(proxy) = Proxy::start(kind, &snippet, old.port()).await else { return };
    old.submit("line 0").await;
    let port = proxy.port();
    let page = tokio::spawn(async move {
        let (mut all, mut last_event_id, mut streams) = (String::new(), String::new(), 0);
        while !all.contains("data: \"the end\"") {
            let mut client = Client::get(port, "/lines", &last_event_id).await;
            client.read_until_end_or("data: \"the end\"").await;
            assert!(client.text().starts_with("HTTP/1.1 200 "), "{}", client.text());
            last_event_id = format!("last-event-id: {}\r\n", client.last_event_id());
            all += &client.text();
            streams += 1;
        }
        (all, streams)
    });
    other.wait_for_readers(1).await;
    // New requests go to both servers, all the time.
    let submitting = async {
        for number in 1..=200 {
            other.submit(&format!("line {number}")).await;
            sleep(Duration::from_millis(50)).await;
            let mut probe = Client::get(port, "/lines", "").await;
            probe.read_until("data: \"line ").await;
            assert!(probe.text().starts_with("HTTP/1.1 200 "), "{}", probe.text());
        }
    };
    let deploying = async {
        sleep(CHECKED).await;
        old.set_ready(false);
        sleep(CHECKED).await;
        let stopped = old.stop().await;
        println!("{name}: one of two servers has stopped after {} ms", stopped.as_millis());
        sleep(CHECKED).await;
        old.start_again().await;
        old.set_ready(true);
    };
    tokio::join!(submitting, deploying);
    other.submit("the end").await;
    let (all, streams) = page.await.unwrap();
    let lines: Vec<&str> = all.split("data: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let expected: Vec<String> =
        (0..=200).map(|number| format!("line {number}")).chain(["the end".to_owned()]).collect();
    assert_eq!(lines, expected, "{name}");
    assert!(streams > 1, "the page was on the server that has stopped");
    println!("{name}: {} lines over {streams} streams during a deploy", lines.len());
}

async fn restart(kind: Kind, app: &mut App, proxy: &Proxy) {
    let name = kind.program;
    let mut page = Client::get(proxy.port(), "/lines", "").await;
    let mut socket = Client::get(proxy.port(), "/lines", UPGRADE).await;
    page.read_until("data: \"after silence\"").await;
    socket.read_until("\"data\":\"after silence\"").await;
    let (stopped, end, ()) = tokio::join!(app.stop(), page.read_to_end(), socket.close());
    prompt(name, "end of a stream at a graceful stop", end);
    println!("{name}: the server has stopped after {} ms", stopped.as_millis());
    let text = page.text();
    assert!(text.rsplit("after silence").next().unwrap().contains("retry: "), "{name}: {text}");

    let last_event_id = format!("last-event-id: {}\r\n", page.last_event_id());
    let mut refused = Client::get(proxy.port(), "/lines", &last_event_id).await;
    let time = refused.read_until("HTTP/1.1 50").await;
    println!("{name}: {} after {} ms while the server is away", &refused.text()[9..12], time.as_millis());
    for text in ["missed 1", "missed 2"] {
        app.submit(text).await;
    }
    if kind.waits {
        let mut early = Client::get(proxy.port(), "/lines", &last_event_id).await;
        sleep(Duration::from_millis(500)).await;
        app.start_again().await;
        early.read_until("data: \"missed 2\"").await;
    } else {
        app.start_again().await;
    }
    let mut page = Client::get(proxy.port(), "/lines", &last_event_id).await;
    prompt(name, "resumed after a restart", page.read_until("data: \"missed 2\"").await);
    let text = page.text();
    assert!(text.contains("data: \"missed 1\"") && !text.contains("after silence") && !text.contains("gap"), "{text}");

    app.kill();
    let ended = page.read_to_end().await;
    prompt(name, "end of a stream when the server is killed", ended);
    app.start_again().await;
    let last_event_id = format!("last-event-id: {}\r\n", page.last_event_id());
    app.submit("after the kill").await;
    let mut page = Client::get(proxy.port(), "/lines", &last_event_id).await;
    prompt(name, "resumed after a kill", page.read_until("data: \"after the kill\"").await);
    assert!(!page.text().contains("missed"), "{}", page.text());
}
