//! Three servers that Sentinels watch: a store follows the master.

use tornadose::GapReason;
use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::common::{Line, Seen, line, next, text};
use crate::journal::{BACK_WITHIN, Journal, check_gaps, when};
use crate::server::Server;

/// A master with two replicas, and three Sentinels.
struct Watched {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    async fn start() -> Self {
        let master = Server::start();
        let master_port = master.port.to_string();
        let replica = || {
            Server::start_with(&[
                "--appendonly",
                "yes",
                "--appendfsync",
                "no",
                "--replicaof",
                "127.0.0.1",
                &master_port,
            ])
        };
        let servers = vec![replica(), replica(), master];
        when("the replicas are connected", || {
            servers[2].cli(&["INFO", "replication"]).matches("state=online").count() == 2
        })
        .await;
        let sentinels: Vec<Server> = (0..3).map(|_| Server::start_sentinel(servers[2].port)).collect();
        for sentinel in &sentinels {
            when("the Sentinels know each other and the replicas", || {
                let known = sentinel.cli(&["INFO", "sentinel"]);
                known.contains("slaves=2,sentinels=3")
            })
            .await;
        }
        Self { servers, sentinels }
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/mymaster/0", hosts.join(","))
    }

    /// Returns the port of the master, as the Sentinels name it.
    fn master_port(&self) -> u16 {
        let named = self.sentinels[1].cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
        named.lines().last().unwrap().parse().unwrap()
    }

    /// Returns where the master is among the servers.
    fn master(&self) -> usize {
        let port = self.master_port();
        self.servers.iter().position(|server| server.port == port).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_store_follows_the_master_when_it_is_killed_and_when_it_is_told_to_hand_over() {
    let mut watched = Watched::start().await;
    let journal = Journal::start(&watched.url()).await;
    journal.more(50).await;
    // One Sentinel may be away.
    watched.sentinels[0].kill();
    let (killed, former) = (watched.master(), watched.master_port());
    watched.servers[killed].kill();
    let promoted = when("there is another master", || watched.master_port() != former).await;
    journal.more(50).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");

    watched.servers[killed].restart();
    watched.sentinels[0].restart();
    when("the former master is a replica", || watched.servers[killed].cli(&["ROLE"]).contains("slave")).await;
    let former = watched.master_port();
    when("a replica is ready", || watched.sentinels[1].cli(&["SENTINEL", "FAILOVER", "mymaster"]) == "OK").await;
    let promoted = when("the master has handed over", || watched.master_port() != former).await;
    journal.more(50).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    check_gaps(&journal.finish().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_master_that_freezes_is_left_and_stays_left_when_it_wakes() {
    let watched = Watched::start().await;
    let journal = Journal::start(&watched.url()).await;
    journal.more(50).await;
    let (frozen, former) = (watched.master(), watched.master_port());
    watched.servers[frozen].freeze();
    let promoted = when("there is another master", || watched.master_port() != former).await;
    journal.more(50).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    // It believes that it is the master until a Sentinel tells it otherwise.
    watched.servers[frozen].thaw();
    journal.more(50).await;
    when("the former master is a replica", || watched.servers[frozen].cli(&["ROLE"]).contains("slave")).await;
    journal.more(50).await;
    check_gaps(&journal.finish().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_a_failover_loses_is_a_gap() {
    let mut watched = Watched::start().await;
    let store = Store::<Line>::redis(watched.url()).await.unwrap();
    let other = Store::<Line>::redis(watched.url()).await.unwrap();
    let (mut here, mut there) = (store.subscribe(), other.subscribe());
    store.submit(line("kept")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("kept".into(), "kept".into()));
    let (killed, former) = (watched.master(), watched.master_port());
    for (index, server) in watched.servers.iter().enumerate() {
        when("the replicas have it", || server.cli(&["XLEN", "{tornadose:lines}"]) == "1").await;
        if index != killed {
            server.freeze();
        }
    }
    // Entries that the replicas have not received are lost with the master.
    watched.servers[killed].cli(&["CLIENT", "KILL", "TYPE", "REPLICA"]);
    store.submit(line("lost")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("lost".into(), "lost".into()));
    watched.servers[killed].kill();
    watched.servers.iter().enumerate().filter(|(index, _)| *index != killed).for_each(|(_, server)| server.thaw());
    when("there is another master", || watched.master_port() != former).await;
    for reader in [&mut here, &mut there] {
        assert_eq!(next(reader).await, Seen::Gap(GapReason::Restarted, None));
        assert_eq!(text(reader).await, "kept");
    }
    store.submit(line("after")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("after".into(), "after".into()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn pubsub_follows_the_master_and_tells_the_outage() {
    let mut watched = Watched::start().await;
    let store = Store::<Line>::open(Redis::pubsub(watched.url())).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    let (killed, former) = (watched.master(), watched.master_port());
    watched.servers[killed].kill();
    when("there is another master", || watched.master_port() != former).await;
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Outage, None));
    let master = watched.master();
    assert_eq!(watched.servers[master].cli(&["PUBLISH", "lines", r#"{"text":"foreign"}"#]), "1");
    assert_eq!(text(&mut reader).await, "foreign");
    store.submit(line("after")).await.unwrap();
    assert_eq!(text(&mut reader).await, "after");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_that_fails_says_what_the_sentinels_say() {
    let master = Server::start();
    let sentinel = Server::start_sentinel(master.port);
    let start = async |url: String| Store::<Line>::redis(url).await.map(drop).map_err(|error| error.to_string());
    let port = sentinel.port;
    let error = start(format!("redis+sentinel://127.0.0.1:{port}/other")).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "Redis at `other` of the Sentinels 127.0.0.1:{port}, database 0: the Sentinel at 127.0.0.1:{port}: ERR No such \
             master with that name; correct the name in the URL: `SENTINEL MASTERS` lists those that there are"
        )
    );
    let error = start(format!("redis://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(
        error.ends_with("this is a Sentinel: use `redis+sentinel://<host>:<port>/<name of the master>`"),
        "{error}"
    );

    let rights = ["+sentinel|get-master-addr-by-name", "+sentinel|master"];
    assert_eq!(sentinel.cli(&[&["ACL", "SETUSER", "limited", "on", ">open"], &rights[..]].concat()), "OK");
    sentinel.cli(&["ACL", "SETUSER", "default", "resetpass", ">open"]);
    let error = start(format!("redis+sentinel://127.0.0.1:{port}/mymaster")).await.unwrap_err();
    assert!(error.contains(": NOAUTH "), "{error}");
    // A Sentinel without a user of its own, and one that is away.
    let away = crate::page::free_port();
    for user in ["", "default", "limited"] {
        let parameters = format!("sentinel_user={user}&sentinel_password=open");
        start(format!("redis+sentinel://127.0.0.1:{away},127.0.0.1:{port}/mymaster?{parameters}")).await.unwrap();
    }
    let error = start(format!("redis+sentinel://127.0.0.1:{away}/mymaster")).await.unwrap_err();
    assert!(error.contains("Connection refused"), "{error}");
}
