//! Links that carry few bytes a second, and servers that hold few bytes for a client: everything arrives once and in
//! order, and in little more time than the link needs for it.

use std::time::{Duration, Instant};

use tornadose::Subscription;
use tornadose::prelude::*;

use crate::common::{Line, line, text, until};
use crate::page::{Page, serve};
use crate::proxy::Proxy;
use crate::server::Server;

/// A megabyte.
const MB: u64 = 1_000_000;

/// Small and large messages, in an order that no page size fits for long: 6.7 MB.
fn mixed_sizes() -> Vec<usize> {
    let mut sizes = vec![200; 20];
    sizes.extend([100_000; 3]);
    sizes.extend([6_000; 10]);
    sizes.push(1_000_000);
    sizes.extend([200; 20]);
    sizes.push(5_000_000);
    sizes.extend([6_000; 10]);
    sizes.extend([100_000; 2]);
    sizes
}

fn repeated(sizes: &[usize], times: usize) -> Vec<usize> {
    sizes.iter().copied().cycle().take(sizes.len() * times).collect()
}

fn total(sizes: &[usize]) -> u64 {
    sizes.iter().sum::<usize>() as u64
}

/// Returns the text of the message with this number.
fn numbered(number: usize, size: usize) -> String {
    format!("{number} {}", "x".repeat(size))
}

/// Appends messages of these sizes as another process would, without a network.
fn append(server: &Server, sizes: &[usize]) {
    let script = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', \
                  '{\"text\":\"' .. (i - 1) .. ' ' .. string.rep('x', ARGV[i]) .. '\"}') end";
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let mut arguments = vec!["EVAL", script, "1", "{tornadose:lines}"];
    arguments.extend(sizes.iter().map(String::as_str));
    assert_eq!(server.cli(&arguments), "");
}

async fn check_received(reader: &mut Subscription<Line>, sizes: &[usize]) {
    for (number, size) in sizes.iter().enumerate() {
        let received = text(reader).await;
        assert!(received == numbered(number, *size), "{number}: {received:.40}… of {} bytes", received.len());
    }
}

/// Checks that a transfer took no longer than 1.5 times what the link needs for it, or twice if a debug build needs
/// about as long to decode and to encode the messages, and a second for connecting and for transfers that a server has
/// refused to hold.
fn check_time(since: Instant, sizes: &[usize], rate: u64) {
    let (took, needed) = (since.elapsed(), Duration::from_millis(total(sizes) * 1000 / rate));
    eprintln!("{took:.2?}, and the link needs {needed:.2?}");
    let allowed = if rate > MB { needed * 2 } else { needed * 3 / 2 };
    assert!(took < allowed + Duration::from_secs(1), "{took:.2?}, and the link needs {needed:.2?}");
}

async fn check_start(server: &Server, sizes: &[usize], rate: u64) {
    // Another process creates the stream, so that every entry of it is known from its first on.
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let beginning = other.head().to_string();
    append(server, sizes);
    until("the other process has read everything", || other.head().to_string() != beginning).await;
    let proxy = Proxy::to(server.port).await;
    proxy.throttle(rate);
    let since = Instant::now();
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    check_time(since, sizes, rate);
    let (_, down) = proxy.carried();
    assert!(down < total(sizes) + total(sizes) / 10 + 100_000, "{down} bytes for {}", total(sizes));
    let (port, _serving) = serve(&store).await;
    let mut page = Page::open(port, Some(beginning)).await.unwrap();
    for (number, size) in sizes.iter().enumerate() {
        let received = page.text().await;
        assert!(received == numbered(number, *size), "{number}: {received:.40}… of {} bytes", received.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_history_is_loaded_over_a_link_of_1_megabyte_a_second() {
    check_start(&Server::start(), &mixed_sizes(), MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_history_is_loaded_over_a_link_of_6_megabytes_a_second() {
    check_start(&Server::start(), &repeated(&mixed_sizes(), 3), 6 * MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_history_is_loaded_from_a_server_that_holds_1_megabyte_for_a_client() {
    let server = Server::start_with(&["--client-output-buffer-limit", "normal 1mb 1mb 1"]);
    check_start(&server, &mixed_sizes(), 6 * MB).await;
}

async fn check_cut(server: &Server, sizes: &[usize], rate: u64) {
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = store.subscribe();
    proxy.block();
    append(server, sizes);
    proxy.throttle(rate);
    proxy.move_to(server.port);
    let since = Instant::now();
    proxy.unblock();
    check_received(&mut reader, sizes).await;
    check_time(since, sizes, rate);
    let (_, down) = proxy.carried();
    assert!(down < total(sizes) + total(sizes) / 10 + 100_000, "{down} bytes for {}", total(sizes));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_was_appended_during_a_cut_arrives_over_a_link_of_1_megabyte_a_second() {
    check_cut(&Server::start(), &mixed_sizes(), MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_was_appended_during_a_cut_arrives_over_a_link_of_6_megabytes_a_second() {
    check_cut(&Server::start(), &repeated(&[100_000; 100], 3), 6 * MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_was_appended_during_a_cut_arrives_from_a_server_that_holds_1_megabyte_for_a_client() {
    let server = Server::start_with(&["--client-output-buffer-limit", "normal 1mb 1mb 1"]);
    check_cut(&server, &mixed_sizes(), 6 * MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn messages_arrive_one_by_one_from_a_server_that_holds_1_megabyte_for_a_client() {
    let server = Server::start_with(&["--client-output-buffer-limit", "normal 1mb 1mb 1"]);
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    for size in [200, 5_000_000, 200, 1_000_000, 6_000, 5_000_000, 200] {
        append(&server, &[size]);
        check_received(&mut reader, &[size]).await;
    }
}

async fn check_submitted(server: &Server, sizes: &[usize], rate: u64) {
    let proxy = Proxy::to(server.port).await;
    proxy.throttle(rate);
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let other = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = other.subscribe();
    let since = Instant::now();
    for (number, size) in sizes.iter().enumerate() {
        while store.try_submit(line(numbered(number, *size))).is_err() {
            // The outbox is full.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    check_received(&mut reader, sizes).await;
    check_time(since, sizes, rate);
    assert_eq!(server.cli(&["XLEN", "{tornadose:lines}"]), sizes.len().to_string());
    let (up, _) = proxy.carried();
    assert!(up < total(sizes) + total(sizes) / 10 + 100_000, "{up} bytes for {}", total(sizes));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_full_outbox_is_sent_once_over_a_link_of_1_megabyte_a_second() {
    check_submitted(&Server::start(), &mixed_sizes(), MB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_full_outbox_is_sent_once_over_a_link_of_6_megabytes_a_second() {
    check_submitted(&Server::start(), &repeated(&[60_000; 100], 5), 6 * MB).await;
}
