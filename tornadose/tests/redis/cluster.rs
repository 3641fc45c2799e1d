//! A cluster of three masters and three replicas: a store finds the node of its slot, and follows it.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tornadose::backend::{Redis, SendOutcome};
use tornadose::prelude::*;
use tornadose::{GapReason, SubmitError};

use crate::common::{Line, Market, Seen, apple, line, next, quote, text};
use crate::journal::{BACK_WITHIN, Journal, check_gaps, when, when_told};
use crate::page::free_port;
use crate::rights::acl_line;
use crate::server::Server;

/// The rights that a user of a cluster needs beside those of one server, as `docs/redis.md` says.
const FURTHER_RIGHTS: [&str; 3] = ["+cluster|slots", "+cluster|keyslot", "+asking"];

/// Three masters, and then a replica of each.
struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
}

impl Cluster {
    async fn start() -> Self {
        let nodes: Vec<Server> = (0..6)
            .map(|_| {
                Server::start_with(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &free_port().to_string(),
                    "--cluster-node-timeout",
                    "1500",
                    "--cluster-replica-validity-factor",
                    "0",
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "no",
                ])
            })
            .collect();
        let ids: Vec<String> = nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"])).collect();
        for (node, epoch) in nodes.iter().zip(1..) {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]);
        }
        for (node, (first, last)) in nodes.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        let cluster = Self { nodes, ids };
        // A node that has not answered a handshake within the node timeout is forgotten, by one side or by both.
        let introduce = || cluster.introduce();
        when_told("the nodes know each other", Duration::from_secs(2), introduce, || {
            cluster.nodes.iter().all(|node| {
                let known = node.cli(&["CLUSTER", "NODES"]);
                known.lines().filter(|line| !line.contains("handshake")).count() == 6
            })
        })
        .await;
        for (replica, master) in cluster.nodes[3..].iter().zip(&cluster.ids) {
            when("the replica knows its master", || replica.cli(&["CLUSTER", "REPLICATE", master]) == "OK").await;
        }
        cluster
            .when_all("the cluster is complete", |node| {
                node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                    && node.cli(&["CLUSTER", "NODES"]).matches("slave").count() == 3
            })
            .await;
        for replica in &cluster.nodes[3..] {
            when("the replica is connected", || replica.cli(&["ROLE"]).contains("connected")).await;
        }
        cluster
    }

    /// Tells the first node of the others. Those that it knows stay.
    fn introduce(&self) {
        for node in &self.nodes[1..] {
            let bus_port = node.cli(&["CONFIG", "GET", "cluster-port"]);
            let bus_port = bus_port.lines().last().unwrap();
            self.nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus_port]);
        }
    }

    async fn when_all(&self, condition: &str, holds: impl Fn(&Server) -> bool) {
        when(condition, || self.nodes.iter().all(&holds)).await;
    }

    fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// Returns the slot of a key, and where its master is among the nodes, as this node says.
    fn slot(&self, key: &str, asked: usize) -> (u32, usize) {
        let slot: u32 = self.nodes[asked].cli(&["CLUSTER", "KEYSLOT", key]).parse().unwrap();
        let known = self.nodes[asked].cli(&["CLUSTER", "NODES"]);
        let holds = |range: &str| match range.split_once('-') {
            Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).contains(&slot),
            None => range.parse() == Ok(slot),
        };
        let master = known.lines().find(|line| {
            let mut fields = line.split(' ').skip(8);
            fields.any(|range| !range.starts_with('[') && holds(range))
        });
        let id = master.unwrap().split(' ').next().unwrap();
        (slot, self.ids.iter().position(|known| known == id).unwrap())
    }

    /// Moves a slot to another node, one key after the other, with pauses.
    async fn migrate(&self, key: &str, to: usize) {
        let migration = self.start_migration(key, to);
        sleep(Duration::from_millis(100)).await;
        while migration.move_next_key() {
            sleep(Duration::from_millis(100)).await;
        }
        migration.finish();
    }

    /// Tells the master of a slot and another node that the slot is being moved.
    fn start_migration(&self, key: &str, to: usize) -> Migration<'_> {
        let (slot, from) = self.slot(key, to);
        let migration = Migration { cluster: self, slot: slot.to_string(), from, to };
        migration.set(to, &["IMPORTING", &self.ids[from]]);
        migration.set(from, &["MIGRATING", &self.ids[to]]);
        migration
    }
}

/// A slot on its way from one node to another.
struct Migration<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Migration<'_> {
    fn set(&self, node: usize, state: &[&str]) {
        let command = [&["CLUSTER", "SETSLOT", &self.slot], state].concat();
        assert_eq!(self.cluster.nodes[node].cli(&command), "OK");
    }

    /// Moves one key, and returns whether there was one.
    fn move_next_key(&self) -> bool {
        let (source, port) = (&self.cluster.nodes[self.from], self.cluster.nodes[self.to].port.to_string());
        let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "1"]);
        if keys.is_empty() {
            return false;
        }
        assert_eq!(source.cli(&["MIGRATE", "127.0.0.1", &port, &keys, "0", "5000"]), "OK", "{keys}");
        true
    }

    fn finish(&self) {
        for node in [self.to, self.from] {
            self.set(node, &["NODE", &self.cluster.ids[self.to]]);
        }
    }
}

/// Hands off messages while the server refuses them, and checks that they arrive once and in order after `accept`.
async fn check_refused_for_long(store: &Store<Line>, is_refused: impl Fn(&str) -> bool, accept: impl FnOnce()) {
    let mut reader = store.subscribe();
    for number in 0..100 {
        store.try_submit(line(number.to_string())).unwrap();
    }
    let (since, mut unknown) = (Instant::now(), 0);
    while since.elapsed() < Duration::from_secs(8) {
        match store.submit(line("refused")).await {
            Err(SubmitError::Refused { reason, .. }) => assert!(is_refused(&reason), "{reason}"),
            // It waited behind others, or was in flight, until its deadline.
            Err(SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }) => {}
            // On a busy machine its deadline may pass between two refusals. It is sent again then.
            Err(SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }) => unknown += 1,
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
    accept();
    when_submitted(store, "last").await;
    let mut received = Vec::new();
    while received.last().is_none_or(|last| last != "last") {
        received.push(text(&mut reader).await);
    }
    let sent_again = received.iter().filter(|text| *text == "refused").count();
    assert!(sent_again <= unknown, "{sent_again} of {unknown}");
    received.retain(|text| text != "refused");
    let expected = (0..100).map(|number| number.to_string()).chain(["last".to_owned()]);
    assert_eq!(received, expected.collect::<Vec<_>>());
}

/// Submits until the message is acknowledged.
async fn when_submitted(store: &Store<Line>, text: &str) {
    let since = Instant::now();
    while let Err(error) = store.submit(line(text)).await {
        assert!(since.elapsed() < Duration::from_secs(20), "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_slot_that_moves_under_load_is_followed_without_a_gap() {
    let cluster = Cluster::start().await;
    let key = "{tornadose:lines}";
    // A user with the rights of the page, and no others.
    let rights = [&acl_line("streams")[..], &FURTHER_RIGHTS.map(str::to_owned)].concat();
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    for node in &cluster.nodes {
        assert_eq!(node.cli(&rights), "OK");
    }
    let journal = Journal::start(&cluster.url().replace("://", "://streams:secret@")).await;
    journal.more(50).await;
    let (_, first) = cluster.slot(key, 0);
    for to in [(first + 1) % 3, (first + 2) % 3, first] {
        let moving = Instant::now();
        cluster.migrate(key, to).await;
        journal.more(50).await;
        let took = journal.resumed_after(moving).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(journal.finish().await, [vec![], vec![]]);
    for node in &cluster.nodes {
        assert_eq!(node.cli(&["ACL", "LOG"]), "", "Redis has refused nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_is_handed_off_waits_for_a_slot_whose_move_was_left_half_done() {
    let cluster = Cluster::start().await;
    let key = "{tornadose:lines}";
    let store = Store::<Line>::redis(cluster.url()).await.unwrap();
    store.submit(line("first")).await.unwrap();
    let (_, first) = cluster.slot(key, 0);
    let migration = cluster.start_migration(key, (first + 1) % 3);
    while migration.move_next_key() {}
    // The master asks for the other node, which sends back to the master.
    migration.set(migration.to, &["STABLE"]);
    let is_redirected = |reason: &str| reason.starts_with("ASK ") || reason.starts_with("MOVED ");
    check_refused_for_long(&store, is_redirected, || {
        migration.set(migration.to, &["IMPORTING", &cluster.ids[first]]);
        migration.finish();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_is_handed_off_waits_for_the_right_to_ask_the_next_master() {
    let cluster = Cluster::start().await;
    let key = "{tornadose:lines}";
    for node in &cluster.nodes {
        node.cli(&["ACL", "SETUSER", "default", "-asking"]);
    }
    let store = Store::<Line>::redis(cluster.url()).await.unwrap();
    store.submit(line("first")).await.unwrap();
    let (_, first) = cluster.slot(key, 0);
    let migration = cluster.start_migration(key, (first + 1) % 3);
    while migration.move_next_key() {}
    let is_no_right = |reason: &str| reason.contains("NOPERM") && reason.contains("asking");
    check_refused_for_long(&store, is_no_right, || {
        for node in &cluster.nodes {
            node.cli(&["ACL", "SETUSER", "default", "+@all"]);
        }
    })
    .await;
    migration.finish();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn latest_values_move_with_their_slot() {
    let cluster = Cluster::start().await;
    let key = "{tornadose:market}";
    let store = Store::<Market>::redis(cluster.url()).await.unwrap();
    store.submit(quote("AAPL", 1)).await.unwrap();
    let (_, first) = cluster.slot(key, 0);
    let migrating = cluster.migrate(key, (first + 1) % 3);
    let submitting = async {
        for bid in 2..60 {
            store.submit(quote("AAPL", bid)).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::join!(migrating, submitting);
    let (_, now) = cluster.slot(key, first);
    assert_eq!(now, (first + 1) % 3);
    let kept = cluster.nodes[now].cli(&["HGET", "{tornadose:market}:latest", r#"{"symbol":"AAPL"} quote"#]);
    assert!(kept.ends_with(r#"{"quote":{"symbol":"AAPL","bid":59}}"#), "{kept}");
    // Each node has the keys that it holds, and no others.
    assert_eq!(cluster.nodes[first].cli(&["DBSIZE"]), "0");
    let other = Store::<Market>::redis(cluster.url()).await.unwrap();
    assert_eq!(other.latest(&apple()).as_deref(), Some(&quote("AAPL", 59)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_store_follows_its_slot_when_the_master_is_killed() {
    let mut cluster = Cluster::start().await;
    let key = "{tornadose:lines}";
    let journal = Journal::start(&cluster.url()).await;
    journal.more(50).await;
    let (_, former) = cluster.slot(key, 0);
    let asked = (former + 1) % 3;
    cluster.nodes[former].kill();
    let promoted = when("there is another master", || cluster.slot(key, asked).1 != former).await;
    journal.more(50).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    // It returns as a replica, and takes over again.
    cluster.nodes[former].restart();
    when("the former master is a replica", || cluster.nodes[former].cli(&["ROLE"]).contains("connected")).await;
    journal.more(50).await;
    // A replica gives up after 5 s.
    let fail_over = || _ = cluster.nodes[former].cli(&["CLUSTER", "FAILOVER"]);
    let is_master = || cluster.slot(key, asked).1 == former;
    let promoted = when_told("it is the master again", Duration::from_secs(6), fail_over, is_master).await;
    journal.more(50).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    check_gaps(&journal.finish().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn what_a_failover_of_a_cluster_loses_is_a_gap() {
    let mut cluster = Cluster::start().await;
    let key = "{tornadose:lines}";
    let (_, former) = cluster.slot(key, 0);
    // A plain URL, of a node that does not hold the slot.
    let url = cluster.nodes[(former + 1) % 3].url();
    let store = Store::<Line>::redis(&url).await.unwrap();
    let other = Store::<Line>::redis(cluster.nodes[former].url()).await.unwrap();
    let (mut here, mut there) = (store.subscribe(), other.subscribe());
    store.submit(line("kept")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("kept".into(), "kept".into()));
    let replica = former + 3;
    when("the replica has it", || {
        let offset = |node: &Server, name: &str| {
            let info = node.cli(&["INFO", "replication"]);
            info.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
        };
        offset(&cluster.nodes[former], "master_repl_offset:") == offset(&cluster.nodes[replica], "slave_repl_offset:")
    })
    .await;
    cluster.nodes[replica].freeze();
    // Entries that the replica has not received are lost with its master.
    cluster.nodes[former].cli(&["CLIENT", "KILL", "TYPE", "REPLICA"]);
    store.submit(line("lost")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("lost".into(), "lost".into()));
    cluster.nodes[former].kill();
    cluster.nodes[replica].thaw();
    when("there is another master", || cluster.slot(key, (former + 1) % 3).1 == replica).await;
    for reader in [&mut here, &mut there] {
        assert_eq!(next(reader).await, Seen::Gap(GapReason::Restarted, None));
        assert_eq!(text(reader).await, "kept");
    }
    store.submit(line("after")).await.unwrap();
    assert_eq!((text(&mut here).await, text(&mut there).await), ("after".into(), "after".into()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn pubsub_goes_on_at_another_node() {
    let mut cluster = Cluster::start().await;
    let store = Store::<Line>::open(Redis::pubsub(cluster.url())).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("before")).await.unwrap();
    assert_eq!(text(&mut reader).await, "before");
    let (_, former) = cluster.slot("lines", 0);
    cluster.nodes[former].kill();
    assert_eq!(next(&mut reader).await, Seen::Gap(GapReason::Outage, None));
    // A cluster carries what any of its nodes publishes.
    let publisher = &cluster.nodes[(former + 1) % 3];
    publisher.cli(&["PUBLISH", "lines", r#"{"text":"foreign"}"#]);
    assert_eq!(text(&mut reader).await, "foreign");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_user_without_the_right_to_ask_nodes_is_led_by_their_redirections() {
    let mut cluster = Cluster::start().await;
    for node in &cluster.nodes {
        node.cli(&["ACL", "SETUSER", "default", "-cluster|slots"]);
    }
    let journal = Journal::start(&cluster.url()).await;
    journal.more(20).await;
    let key = "{tornadose:lines}";
    let (_, first) = cluster.slot(key, 0);
    let target = (first + 1) % 3;
    cluster.migrate(key, target).await;
    journal.more(20).await;
    cluster.nodes[target].kill();
    let promoted = when("there is another master", || cluster.slot(key, first).1 != target).await;
    journal.more(20).await;
    let took = journal.resumed_after(promoted).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    check_gaps(&journal.finish().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_start_that_fails_says_what_the_cluster_says() {
    let start = async |url: String| Store::<Line>::redis(url).await.map(drop).map_err(|error| error.to_string());
    let single = Server::start();
    let error = start(format!("redis+cluster://127.0.0.1:{}", single.port)).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "Redis at the cluster of 127.0.0.1:{}: ERR This instance has cluster support disabled; use `redis://` for a \
             server that is not in a cluster",
            single.port
        )
    );
    let bus_port = free_port().to_string();
    let node = Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus_port]);
    let error = start(format!("redis+cluster://127.0.0.1:{}", node.port)).await.unwrap_err();
    assert!(error.ends_with("no node of the cluster holds the slot of `{tornadose:lines}`"), "{error}");
    let error = start(format!("redis://127.0.0.1:{}/3", node.port)).await.unwrap_err();
    assert!(error.ends_with("leave the database out of the URL: a cluster has only 0"), "{error}");
    let error = start("redis+cluster://127.0.0.1:1/3".into()).await.unwrap_err();
    assert_eq!(error, "a cluster has only the database 0: leave `/3` out of the URL");
}
