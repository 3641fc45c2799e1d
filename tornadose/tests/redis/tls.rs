//! `rediss://`, with a certificate authority that the test creates.

use std::path::Path;
use std::process::{Command, Stdio};

use tornadose::backend::Redis;
use tornadose::prelude::*;

use crate::common::{Line, line, text, until};
use crate::page::free_port;
use crate::server::Server;

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("this test needs the program openssl").success(), "openssl {arguments}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server and openssl: ./test runs it"]
async fn tls_trusts_the_given_root_certificates_and_no_others() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("leaf"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(&folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority");
    openssl(&folder, "req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN=redis");
    openssl(
        &folder,
        "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out redis.crt -days 2 -extfile leaf",
    );

    let file = |name| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key, authority) = (file("redis.crt"), file("redis.key"), file("ca.crt"));
    let start = |arguments: &[&str]| {
        let port = free_port();
        let tls_port = port.to_string();
        let tls = [
            ["--tls-port", &tls_port],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &authority],
            ["--tls-auth-clients", "no"],
        ];
        (port, Server::start_with(&[tls.as_flattened(), arguments].concat()))
    };
    let (port, _server) = start(&[]);
    let bus_port = free_port().to_string();
    let (node_port, node) = start(&["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--tls-cluster", "yes"]);
    let sentinel_port = free_port();
    let sentinel = Server::start_sentinel_with(
        port,
        &[
            &format!("tls-port {sentinel_port}"),
            &format!("tls-cert-file {certificate}"),
            &format!("tls-key-file {key}"),
            &format!("tls-ca-cert-file {authority}"),
            "tls-auth-clients no",
            "tls-replication yes",
        ],
    );
    node.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is complete", || node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    until("the master is known", || sentinel.cli(&["SENTINEL", "MASTER", "mymaster"]).contains("\nmaster\n")).await;
    let url = format!("rediss://127.0.0.1:{port}/1");
    let pem = std::fs::read(&authority).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    for url in [
        format!("rediss+cluster://127.0.0.1:{node_port}"),
        format!("rediss+sentinel://127.0.0.1:{sentinel_port}/mymaster/2"),
    ] {
        let store = Store::<Line>::open(Redis::streams(&url).root_certificates(pem.clone())).await.unwrap();
        store.submit(line("in secret")).await.unwrap();
    }

    let store = Store::<Line>::open(Redis::streams(&url).root_certificates(pem.clone())).await.unwrap();
    let mut reader = store.subscribe();
    store.submit(line("in secret")).await.unwrap();
    assert_eq!(text(&mut reader).await, "in secret");
    let published = Store::<Line>::open(Redis::pubsub(&url).root_certificates(pem)).await.unwrap();
    published.submit(line("in secret")).await.unwrap();
    let error = Store::<Line>::redis(&url).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}
