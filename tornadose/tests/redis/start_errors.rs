//! What an error at the start says: what was asked for, what Redis has said of it, and what to do.

use std::time::Duration;

use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::common::{Line, until};
use crate::page::free_port;
use crate::server::Server;

async fn start_error(url: &str) -> String {
    let error = Store::<Line>::redis(url).await.unwrap_err().to_string();
    eprintln!("{error}");
    error
}

/// Checks that an error has these parts, in this order, and is one sentence of moderate length.
async fn check(url: &str, parts: &[&str]) {
    let error = start_error(url).await;
    let mut rest = error.as_str();
    for part in parts {
        let at = rest.find(part);
        rest = &rest[at.unwrap_or_else(|| panic!("{part} is missing in: {error}")) + part.len()..];
    }
    assert!(error.len() < 600 && !error.contains('\n') && !error.contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_with_limited_rights_names_the_command_and_the_permissions() {
    let server = Server::start();
    let all = "-@all ~{tornadose:lines}* +get +set +xadd +xtrim +xread +xrange +xrevrange +xinfo +xgroup|create +hget \
               +hset +hdel +hscan +eval +eval_ro +evalsha_ro +multi +exec +ping +select +client|setname";
    let url = format!("redis://app:secret@127.0.0.1:{}/", server.port);
    let set_user = |rules: &str| {
        let mut arguments = vec!["ACL", "SETUSER", "app", "reset", "on", ">secret"];
        arguments.extend(rules.split_whitespace());
        assert_eq!(server.cli(&arguments), "OK", "{rules}");
    };
    for command in ["xread", "xinfo", "xrange", "xrevrange", "eval_ro", "set", "multi", "xgroup|create", "hscan", "get"]
    {
        set_user(&format!("{all} -{command}"));
        server.cli(&["FLUSHALL"]);
        let quoted = format!("'{command}");
        let named = ["NOPERM", &quoted, "; permit it with `ACL SETUSER <user> ~{tornadose:lines}* ", "+xread"];
        check(&url, &named).await;
    }
    set_user(&all.replace("~{tornadose:lines}*", "~other"));
    check(&url, &["NOPERM", "keys", "; permit it with `ACL SETUSER <user> ~{tornadose:lines}* "]).await;
    set_user(all);
    let store = Store::<Line>::redis(&url).await.unwrap();
    store.submit(crate::common::line("permitted")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_subscription_with_limited_rights_names_the_permissions_of_pubsub() {
    let server = Server::start();
    server.cli(&["ACL", "SETUSER", "app", "reset", "on", ">secret", "&lines", "+publish", "+ping", "+client|setname"]);
    let url = format!("redis://app:secret@127.0.0.1:{}/", server.port);
    let error = Store::<Line>::open(Redis::pubsub(url)).await.unwrap_err().to_string();
    let (words, advice) = error.split_once("; ").unwrap();
    assert!(words.contains("NOPERM") && words.contains("'subscribe'"), "{error}");
    let permissions = "&lines +publish +subscribe +ping +select +client|setname";
    assert_eq!(advice, format!("permit it with `ACL SETUSER <user> {permissions}`"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_with_wrong_credentials_or_nobody_there_says_so() {
    let mut server = Server::start_with(&["--requirepass", "secret"]);
    let url = |credentials: &str| format!("redis://{credentials}127.0.0.1:{}/", server.port);
    let address = format!("Redis at 127.0.0.1:{}, database 0: ", server.port);
    check(&url(":wrong@"), &[&address, "WRONGPASS ", "; check the user and the password"]).await;
    check(&url(""), &[&address, "NOAUTH ", "; put the password into the URL"]).await;
    check(&format!("{}99", url(":secret@")), &["ERR DB index is out of range; choose a database"]).await;
    let gone = url(":secret@");
    server.kill();
    check(&gone, &[&address, "Connection refused", "; start Redis there, or correct the URL"]).await;
    let no_redis = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = no_redis.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = no_redis.accept().await {
            use tokio::io::AsyncWriteExt;
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    check(&format!("redis://127.0.0.1:{port}/"), &["the server does not speak Redis's protocol"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_at_a_replica_or_at_a_key_of_another_kind_says_so() {
    let master = Server::start();
    let port = master.port.to_string();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &port]);
    until("the replica is connected", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up")).await;
    check(&replica.url(), &["READONLY ", "; this is a replica: connect to its master"]).await;
    // Also when the stream exists.
    drop(Store::<Line>::redis(master.url()).await.unwrap());
    until("the replica has it", || replica.cli(&["EXISTS", "{tornadose:lines}"]) == "1").await;
    check(&replica.url(), &["READONLY ", "; this is a replica: connect to its master"]).await;
    master.cli(&["FLUSHALL"]);
    master.cli(&["SET", "{tornadose:lines}", "text"]);
    check(&master.url(), &["WRONGTYPE ", "; delete the key, or choose another channel"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_at_a_sentinel_says_so() {
    let server = Server::start();
    let sentinel = Server::start_sentinel(server.port);
    for database in [0, 2] {
        let url = format!("{}{database}", sentinel.url());
        check(&url, &["unknown command", "; this is a Sentinel: use `redis+sentinel://<host>:<port>/"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_at_a_cluster_that_is_not_complete_says_so() {
    let node = || {
        let bus = free_port().to_string();
        let server = Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
        (server, bus)
    };
    let ((holder, bus), (other, _)) = (node(), node());
    check(&other.url(), &["CLUSTERDOWN ", "; the cluster has lost a node: see `CLUSTER INFO`"]).await;
    holder.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    other.cli(&["CLUSTER", "MEET", "127.0.0.1", &holder.port.to_string(), &bus]);
    until("the nodes have met", || other.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    for url in [other.url(), holder.url()] {
        drop(Store::<Line>::redis(url).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_prefix_keeps_installations_apart_and_an_invalid_one_is_an_error() {
    let server = Server::start();
    let plain = Store::<Line>::redis(server.url()).await.unwrap();
    let staging = Store::<Line>::open(Redis::streams(server.url()).prefix("staging")).await.unwrap();
    plain.submit(crate::common::line("plain")).await.unwrap();
    let mut reader = staging.subscribe();
    staging.submit(crate::common::line("staging")).await.unwrap();
    assert_eq!(crate::common::text(&mut reader).await, "staging");
    let length = |key: &str| server.cli(&["XLEN", key]);
    assert_eq!((length("{tornadose:lines}").as_str(), length("{staging:tornadose:lines}").as_str()), ("1", "1"));

    let published = Store::<Line>::open(Redis::pubsub(server.url()).prefix("staging")).await.unwrap();
    let mut reader = published.subscribe();
    server.cli(&["PUBLISH", "lines", r#"{"text":"plain"}"#]);
    server.cli(&["PUBLISH", "staging:lines", r#"{"text":"staging"}"#]);
    assert_eq!(crate::common::text(&mut reader).await, "staging");

    let error = Store::<Line>::open(Redis::streams(server.url()).prefix("a b")).await.unwrap_err().to_string();
    assert!(error.starts_with("invalid prefix `a b`: "), "{error}");
}
