//! `latest` values that expire, by the clock of Redis.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use tornadose::backend::Redis;
use tornadose::prelude::*;
use tornadose::{GapReason, Id, Received, Subscription};

use crate::common::until;
use crate::log::CapturedLog;
use crate::proxy::Proxy;
use crate::rights::acl_line;
use crate::server::Server;
use crate::undecoded::{events, serve};

#[store(latest, channel = "members", ttl = "2s")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Member {
    #[key]
    room: u32,
    #[slot]
    user: u32,
    number: u32,
}

/// The same with another time, and a version of the program that declares none.
mod brief {
    use tornadose::prelude::*;

    #[store(latest, channel = "members", ttl = "500ms")]
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(super) struct Member {
        #[key]
        pub(super) room: u32,
        #[slot]
        pub(super) user: u32,
        pub(super) number: u32,
    }
}

mod old {
    use tornadose::prelude::*;

    #[store(latest, channel = "members")]
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(super) struct Member {
        #[key]
        pub(super) room: u32,
        #[slot]
        pub(super) user: u32,
        pub(super) number: u32,
    }
}

#[subscriber(sse, store = Member, all_keys, authorize = public)]
struct All;

const STREAM: &str = "{tornadose:members}";
const HASH: &str = "{tornadose:members}:latest";
const ROOM: MemberKey = MemberKey { room: 1 };

fn member(user: u32, number: u32) -> Member {
    Member { room: 1, user, number }
}

fn is_kept(store: &Store<Member>, user: u32) -> bool {
    store.latest_in(&ROOM, &MemberSlot { user }).is_some()
}

/// Returns the next item: its id, the user and the number, and whether that has expired.
async fn next(reader: &mut Subscription<Member>) -> (Id, u32, u32, bool) {
    match timeout(Duration::from_secs(60), reader.next()).await.expect("nothing arrived").expect("the reader ended") {
        Received::Message { id, message } => (id, message.user, message.number, false),
        Received::Expired { id, message } => (id, message.user, message.number, true),
        other => panic!("{other:?}"),
    }
}

/// Returns how many entries of the stream are expiries.
fn expiries(server: &Server) -> usize {
    server.cli(&["XRANGE", STREAM, "-", "+"]).lines().filter(|line| *line == "expire").count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn of_several_processes_one_expires_a_value_and_all_obey_under_one_id() {
    let server = Server::start();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Store::<Member>::redis(server.url()).await.unwrap());
    }
    let mut readers: Vec<_> = stores.iter().map(Store::subscribe).collect();
    for user in 0..5 {
        stores[0].submit(member(user, 0)).await.unwrap();
    }
    let renewed = stores[1].submit(member(9, 0)).await.unwrap();
    let mut ends = Vec::new();
    for reader in &mut readers {
        for _ in 0..6 {
            assert!(!next(reader).await.3);
        }
    }
    for number in 1..4 {
        sleep(Duration::from_secs(1)).await;
        stores[2].submit(member(9, number)).await.unwrap();
    }
    for reader in &mut readers {
        let mut of_reader = Vec::new();
        while of_reader.len() < 6 {
            let (id, user, number, has_expired) = next(reader).await;
            if has_expired {
                assert!(user != 9 || number == 3, "it was renewed");
                of_reader.push((id, user));
            }
        }
        assert_eq!(of_reader.last().map(|(_, user)| *user), Some(9), "it was renewed last");
        ends.push(of_reader);
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
    let milliseconds = |id: Id| -> u64 {
        let text = id.to_string();
        text.split_once('-').and_then(|(_, offset)| offset.split_once('.')).unwrap().0.parse().unwrap()
    };
    let age = milliseconds(ends[0][5].0) - milliseconds(renewed);
    assert!((5_000..7_000).contains(&age), "it ended after {age} ms, of which it was renewed for three seconds");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(expiries(&server), 6, "of the requests of all processes one was enough");
    assert_eq!(server.cli(&["HLEN", HASH]), "0");
    // Who comes later sees neither the values nor their ends.
    let late = Store::<Member>::redis(server.url()).await.unwrap();
    let mut reader = late.subscribe();
    late.submit(member(7, 7)).await.unwrap();
    assert_eq!(next(&mut reader).await.1, 7);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is a process of the tests below, and does nothing by itself"]
async fn lives_as_a_process() {
    let Ok(url) = std::env::var("TORNADOSE_TEST_MEMBER") else { return };
    let store = Store::<Member>::redis(url).await.unwrap();
    for number in 0.. {
        store.submit(member(7, number)).await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
}

/// Starts a process that renews the member 7 until it is killed.
fn start_process(server: &Server) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["latest_ttl::lives_as_a_process", "--exact", "--ignored", "--nocapture"])
        .env("TORNADOSE_TEST_MEMBER", server.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn the_value_of_a_process_that_was_killed_expires() {
    let server = Server::start();
    let store = Store::<Member>::redis(server.url()).await.unwrap();
    let mut process = start_process(&server);
    until("it is there", || is_kept(&store, 7)).await;
    sleep(Duration::from_secs(4)).await;
    assert!(is_kept(&store, 7), "it is renewed");
    let mut reader = store.subscribe();
    process.kill().unwrap();
    process.wait().unwrap();
    while !next(&mut reader).await.3 {}
    assert!(!is_kept(&store, 7));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_expires_while_no_process_runs_is_dropped_by_the_next() {
    let server = Server::start();
    let mut process = start_process(&server);
    until("it is there", || server.cli(&["HLEN", HASH]) == "1").await;
    process.kill().unwrap();
    process.wait().unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!((server.cli(&["HLEN", HASH]), expiries(&server)), ("1".into(), 0));
    let store = Store::<Member>::redis(server.url()).await.unwrap();
    until("it is dropped", || !is_kept(&store, 7)).await;
    assert_eq!((server.cli(&["HLEN", HASH]), expiries(&server)), ("0".into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_client_that_returns_to_another_process_is_told_although_the_value_is_trimmed_there() {
    let server = Server::start();
    let first = Store::<Member>::redis(server.url()).await.unwrap();
    let before = first.submit(member(7, 1)).await.unwrap();
    server.cli(&["XADD", STREAM, "*", "data", r#"{"room":2,"user":1,"number":1}"#]);
    until("it has expired", || expiries(&server) == 2).await;
    // The entry of the value is gone, and that of its end is not.
    server.cli(&["XTRIM", STREAM, "MAXLEN", "2"]);
    let second = Store::<Member>::redis(server.url()).await.unwrap();
    let port = serve(Router::with_path("all").get(All::handler(&second))).await;
    let events = events(port, "/all", &before.to_string(), 3).await;
    let data: Vec<&str> = events.iter().map(|(_, data)| data.as_str()).collect();
    assert_eq!(
        data,
        [r#"{"reason":"trimmed","missed":null}"#, r#"{"key":1,"slot":7}"#, r#"{"key":2,"slot":1}"#],
        "{events:?}"
    );
    assert_eq!(events[2].0, Some(second.head().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_value_that_was_appended_twice_and_one_of_another_program_expire() {
    let server = Server::start();
    let store = Store::<Member>::redis(server.url()).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(member(1, 1)).await.unwrap();
    assert!(!next(&mut reader).await.3);
    // As after a lost reply: the same message again, which every process drops, and the hash keeps.
    let by = server.cli(&["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
    let by = by.lines().last().unwrap().to_owned();
    let data = r#"{"room":1,"user":1,"number":1}"#;
    let id = server.cli(&["XADD", STREAM, "*", "data", data, "by", &by]);
    server.cli(&["HSET", HASH, r#"{"room":1} {"user":1}"#, &format!("{id} {data}")]);
    server.cli(&["XADD", STREAM, "*", "data", r#"{"room":1,"user":2,"number":1}"#]);
    assert_eq!(next(&mut reader).await.1, 2);
    let mut ends = [next(&mut reader).await, next(&mut reader).await].map(|(_, user, _, end)| (user, end));
    ends.sort_unstable();
    assert_eq!(ends, [(1, true), (2, true)]);
    until("the fields are dropped", || server.cli(&["HLEN", HASH]) == "0").await;
    // One whose field is gone, as after the key was evicted.
    store.submit(member(3, 1)).await.unwrap();
    server.cli(&["DEL", HASH]);
    assert_eq!(next(&mut reader).await.1, 3);
    assert!(next(&mut reader).await.3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_value_expires_when_redis_can_be_reached_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = Store::<Member>::redis(proxy.url()).await.unwrap();
    store.submit(member(7, 0)).await.unwrap();
    until("it is read back", || is_kept(&store, 7)).await;
    proxy.block();
    sleep(Duration::from_secs(4)).await;
    assert!(is_kept(&store, 7), "another process may have renewed it");
    // It was renewed by a process that could, so that it does not expire at once.
    let other = Store::<Member>::redis(server.url()).await.unwrap();
    let renewed = other.submit(member(8, 0)).await.unwrap();
    let mut reader = store.subscribe();
    proxy.unblock();
    let mut seen = Vec::new();
    while seen.last() != Some(&(8, true)) {
        let (id, user, _, has_expired) = next(&mut reader).await;
        assert!(!has_expired || user == 7 || id > renewed);
        seen.push((user, has_expired));
    }
    assert!(seen.contains(&(7, true)) && seen.contains(&(8, false)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn of_two_times_the_shorter_holds_and_a_program_without_one_obeys() {
    let server = Server::start();
    let (long, old) =
        (Store::<Member>::redis(server.url()).await.unwrap(), Store::<old::Member>::redis(server.url()).await.unwrap());
    long.submit(member(7, 0)).await.unwrap();
    let slot = old::MemberSlot { user: 7 };
    let in_old = || old.latest_in(&old::MemberKey { room: 1 }, &slot).is_some();
    until("both have it", || is_kept(&long, 7) && in_old()).await;
    let _brief = Store::<brief::Member>::redis(server.url()).await.unwrap();
    let started = tokio::time::Instant::now();
    until("it has expired", || !is_kept(&long, 7)).await;
    assert!(started.elapsed() < Duration::from_millis(1800), "{:?}", started.elapsed());
    // Its readers are not told.
    until("the other program drops it", || !in_old()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn over_pubsub_each_process_expires_its_values() {
    let server = Server::start();
    let stores = [
        Store::<brief::Member>::open(Redis::pubsub(server.url())).await.unwrap(),
        Store::<brief::Member>::open(Redis::pubsub(server.url())).await.unwrap(),
    ];
    let mut readers = stores.each_ref().map(Store::subscribe);
    stores[0].submit(brief::Member { room: 1, user: 7, number: 0 }).await.unwrap();
    for reader in &mut readers {
        let mut expired = 0;
        while expired == 0 {
            match timeout(Duration::from_secs(20), reader.next()).await.unwrap() {
                Some(Received::Expired { message, .. }) => expired += i32::from(message.user == 7),
                // A connection to PUB/SUB may have missed something.
                Some(Received::Message { .. } | Received::Gap { reason: GapReason::Outage, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn with_the_rights_of_the_page_values_expire() {
    let server = Server::start();
    let line = acl_line("streams");
    assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
    let url = format!("redis://streams:secret@127.0.0.1:{}/", server.port);
    let store = Store::<Member>::redis(url).await.unwrap();
    store.submit(member(7, 0)).await.unwrap();
    let mut reader = store.subscribe();
    while !next(&mut reader).await.3 {}
    assert_eq!(server.cli(&["ACL", "LOG"]), "", "Redis has refused nothing");
}

#[tokio::test]
#[ignore = "needs redis-server: ./test runs it"]
async fn without_the_right_to_drop_a_value_none_expires_and_submits_go_on() {
    let (log, _guard) = CapturedLog::start();
    let server = Server::start();
    let mut line = acl_line("streams");
    line.push("-hdel".into());
    assert_eq!(server.cli(&line.iter().map(String::as_str).collect::<Vec<_>>()), "OK", "{line:?}");
    let url = format!("redis://streams:secret@127.0.0.1:{}/", server.port);
    let store = Store::<Member>::redis(url).await.unwrap();
    store.submit(member(7, 0)).await.unwrap();
    let mut reader = store.subscribe();
    sleep(Duration::from_secs(5)).await;
    assert_eq!((server.cli(&["HLEN", HASH]), expiries(&server)), ("1".into(), 0));
    for number in 0..20 {
        store.submit(member(8, number)).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    let told = log.take().into_iter().filter(|event| event.contains("values not expired")).count();
    assert_eq!(told, 1);
    assert!(!next(&mut reader).await.3);
}
