//! Several stores on one stream: order, history, latest values, connections, types, URLs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{GapReason, SubmitError};

use crate::common::{Line, Market, Seen, apple, line, microsoft, next, quote, text, until};
use crate::proxy::Proxy;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn every_process_shows_the_same_messages_under_the_same_ids_in_one_order() {
    let server = Server::start();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Store::<Line>::redis(server.url()).await.unwrap());
    }
    let mut readers: Vec<_> = stores.iter().map(Store::subscribe).collect();
    let mut tasks = JoinSet::new();
    for (index, store) in stores.iter().enumerate() {
        for task in 0..10 {
            let store = store.clone();
            tasks.spawn(async move {
                let mut ids = Vec::new();
                for number in 0..50 {
                    let text = format!("{index} {task} {number}");
                    ids.push((text.clone(), store.submit(line(text)).await.unwrap().to_string()));
                }
                ids
            });
        }
    }
    let submitted: Vec<Vec<(String, String)>> = tasks.join_all().await;
    let mut orders = Vec::new();
    for reader in &mut readers {
        let mut order = Vec::new();
        for _ in 0..1500 {
            let Seen::Text(text, id) = next(reader).await else { panic!("unexpected gap") };
            order.push((text, id));
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[1], orders[2]);
    // Each task's messages are in its own order, under the ids that `submit` returned.
    for ids in submitted {
        let position = |pair: &(String, String)| orders[0].iter().position(|seen| seen == pair).unwrap();
        let positions: Vec<usize> = ids.iter().map(position).collect();
        assert!(positions.is_sorted());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_new_process_has_the_history_and_the_latest_values_when_it_opens() {
    let server = Server::start();
    let first = Store::<Market>::open(Redis::streams(server.url()).history(100)).await.unwrap();
    first.submit(quote("AAPL", 1)).await.unwrap();
    first.submit(quote("AAPL", 2)).await.unwrap();
    for price in 0..1000 {
        first.try_submit(Market::Trade { symbol: "MSFT".into(), price }).unwrap();
    }
    let last = first.submit(quote("MSFT", 3)).await.unwrap();
    until("its own messages are read back", || first.head() == last).await;
    drop(first);

    // The first quote was trimmed from the stream, and is kept in the hash.
    let length: u64 = server.cli(&["XLEN", "{tornadose:market}"]).parse().unwrap();
    assert!(length < 300, "{length} entries are kept");
    let second = Store::<Market>::open(Redis::streams(server.url()).history(100)).await.unwrap();
    assert_eq!(second.head(), last);
    assert_eq!(*second.latest(&apple()).unwrap(), quote("AAPL", 2));
    assert_eq!(*second.latest(&microsoft()).unwrap(), quote("MSFT", 3));

    let third = Store::<Market>::redis(server.url()).await.unwrap();
    second.forget(&apple());
    until("every process forgets", || second.latest(&apple()).is_none() && third.latest(&apple()).is_none()).await;
    until("its value is dropped", || server.cli(&["HLEN", "{tornadose:market}:latest"]) == "1").await;
    let fourth = Store::<Market>::redis(server.url()).await.unwrap();
    assert!(fourth.latest(&apple()).is_none());
    assert!(fourth.latest(&microsoft()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_store_has_two_connections_however_many_readers_it_has() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut readers: Vec<_> = (0..1000).map(|_| store.subscribe()).collect();
    store.submit(line("hi")).await.unwrap();
    for reader in &mut readers {
        assert_eq!(text(reader).await, "hi");
    }
    let clients = server.cli(&["CLIENT", "LIST"]);
    let named = |name: &str| clients.lines().filter(|client| client.contains(&format!("name={name} "))).count();
    assert_eq!((named("tornadose-reader"), named("tornadose-writer")), (1, 1), "{clients}");
    // The third is redis-cli itself.
    assert_eq!(clients.lines().count(), 3, "{clients}");
    drop((store, readers));
    until("both are gone", || server.cli(&["CLIENT", "LIST"]).lines().count() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_second_type_on_a_channel_is_rejected() {
    #[store(queue, channel = "lines")]
    #[derive(Debug, Serialize, Deserialize)]
    struct Other(u32);

    let server = Server::start();
    let _lines = Store::<Line>::redis(server.url()).await.unwrap();
    let _again = Store::<Line>::redis(server.url()).await.unwrap();
    let error = Store::<Other>::redis(server.url()).await.unwrap_err().to_string();
    assert!(
        error.contains("the channel `lines` holds messages of the type `") && error.contains("Line`, not `"),
        "{error}"
    );
    assert!(error.ends_with("or delete the keys `{tornadose:lines}:owner` and `{tornadose:lines}:type`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_password_and_the_database_come_from_the_url() {
    let server = Server::start_with(&["--requirepass", "s3cret"]);
    let url = format!("redis://:s3cret@127.0.0.1:{}/3", server.port);
    let store = Store::<Line>::redis(url).await.unwrap();
    store.submit(line("hi")).await.unwrap();
    let cli =
        |database| server.cli(&["--no-auth-warning", "-a", "s3cret", "-n", database, "XLEN", "{tornadose:lines}"]);
    assert_eq!((cli("3").as_str(), cli("0").as_str()), ("1", "0"));

    let error = Store::<Line>::redis(format!("redis://:wrongpass@127.0.0.1:{}/3", server.port)).await.unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("Redis at 127.0.0.1:{}, database 3: ", server.port)), "{error}");
    assert!(!error.contains("wrongpass"), "{error}");
    let error = Store::<Line>::redis("http://:wrongpass@127.0.0.1/").await.unwrap_err().to_string();
    assert!(error.starts_with("not a Redis URL") && !error.contains("wrongpass"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn open_returns_why_when_redis_is_down_or_the_key_has_another_type() {
    let mut server = Server::start();
    server.cli(&["SET", "{tornadose:lines}", "a string"]);
    let error = Store::<Line>::redis(server.url()).await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    server.kill();
    let error = Store::<Line>::redis(server.url()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("Redis at 127.0.0.1:{}, database 0: ", server.port)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_stream_is_trimmed_also_on_behalf_of_other_programs() {
    let server = Server::start();
    let store = Store::<Line>::open(Redis::streams(server.url()).history(200)).await.unwrap();
    let store = Arc::new(store);
    for number in 0..1000 {
        store.try_submit(line(number.to_string())).unwrap();
    }
    let length = || server.cli(&["XLEN", "{tornadose:lines}"]).parse::<u64>().unwrap();
    until("submitted messages are trimmed", || store.head().to_string().len() > 10 && (200..400).contains(&length()))
        .await;
    for _ in 0..10 {
        let appends = "for i = 1, 100 do redis.call('XADD', KEYS[1], '*', 'data', '{\"text\":\"foreign\"}') end";
        server.cli(&["EVAL", appends, "1", "{tornadose:lines}"]);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    until("foreign entries are trimmed", || (200..400).contains(&length())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn messages_of_try_submit_are_sent_before_a_closed_store_ends() {
    let server = Server::start();
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    for number in 0..5000 {
        store.try_submit(line(number.to_string())).unwrap();
    }
    store.close();
    assert!(matches!(store.submit(line("late")).await, Err(SubmitError::Closed { .. })));
    until("all are appended", || server.cli(&["XLEN", "{tornadose:lines}"]) == "5000").await;
    until("its connections are gone", || server.cli(&["CLIENT", "LIST"]).lines().count() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn entries_trimmed_while_a_process_cannot_read_are_counted_in_its_gap() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Line>::redis(proxy.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    proxy.block();
    for number in 0..10 {
        server.cli(&["XADD", "{tornadose:lines}", "*", "data", &format!(r#"{{"text":"{number}"}}"#)]);
    }
    server.cli(&["XTRIM", "{tornadose:lines}", "MAXLEN", "=", "3"]);
    proxy.unblock();
    match next(&mut reader).await {
        Seen::Gap(reason, missed) => assert_eq!((reason, missed), (GapReason::Trimmed, Some(7))),
        // It was on its way to the process.
        Seen::Text(first, _) => {
            assert_eq!(first, "0");
            assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Trimmed, Some(6)));
        }
    }
    for number in 7..10 {
        assert_eq!(text(&mut reader).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_newest_entry_that_was_deleted_holds_up_neither_a_start_nor_a_reader() {
    let server = Server::start();
    let stream = "{tornadose:lines}";
    let store = Store::<Line>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("kept")).await.unwrap();
    assert_eq!(text(&mut reader).await, "kept");
    let append_and_delete = "local id = redis.call('XADD', KEYS[1], '*', 'data', '{\"text\":\"deleted\"}') \
                             redis.call('XDEL', KEYS[1], id)";
    server.cli(&["EVAL", append_and_delete, "1", stream]);
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Trimmed, Some(1)));
    let other =
        tokio::time::timeout(Duration::from_secs(20), Store::<Line>::redis(server.url())).await.unwrap().unwrap();
    until("both are at the same position", || other.head() == store.head()).await;
    // Waiting for an entry, and not polling without a pause.
    let commands = || -> u64 {
        let stats = server.cli(&["INFO", "stats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
        count.trim().parse().unwrap()
    };
    let before = commands();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(commands() - before < 100, "{} commands in a second", commands() - before);
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
}
