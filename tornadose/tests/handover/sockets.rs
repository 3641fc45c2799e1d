//! Detached streams over real sockets: TCP on several threads, TLS, and Unix sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use salvo::conn::rustls::{Keycert, RustlsConfig};
use salvo::conn::{Acceptor, Listener};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tornadose::Handover;
use tornadose::prelude::*;

use super::{GET, Line, line, rooms, secs};

/// Connects so many times, resumes after the last id and reads one message each time.
async fn reconnect(addr: SocketAddr, store: Store<Line>, room: u32, times: u32) {
    let mut id = String::new();
    for time in 0..times {
        let mut pipe = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /{room} HTTP/1.1\r\nhost: {addr}\r\nlast-event-id: {id}\r\n\r\n");
        pipe.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(": tornadose\n") {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
        }
        store.submit(line(room, &format!("<{room} {time}>"))).await.unwrap();
        let (own, end) = (format!("<{room} {time}>"), "\"}\n\n\r\n");
        while !String::from_utf8_lossy(&read).split(&own).nth(1).is_some_and(|rest| rest.contains(end)) {
            assert!(pipe.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
        }
        let read = String::from_utf8(read).unwrap();
        assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 1, "{read}");
        assert_eq!(read.matches(&format!("\"<{room} ")).count(), 1, "{read}");
        assert_eq!(read.matches("\"<").count(), 1, "{read}");
        read.rsplit("id: ").next().unwrap().lines().next().unwrap().clone_into(&mut id);
    }
}

/// Clients connect and leave while each room has its own messages.
#[test]
fn clients_that_reconnect_on_several_threads_read_their_own_streams() {
    const PAGES: u32 = 40;
    const TIMES: u32 = 25;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let store = Store::new();
    runtime.block_on(async {
        let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        let serving = tokio::spawn(tornadose::serve_on(acceptor, rooms(&store)));
        let pages: Vec<_> = (0..PAGES).map(|room| tokio::spawn(reconnect(addr, store.clone(), room, TIMES))).collect();
        for page in pages {
            timeout(secs(60), page).await.unwrap().unwrap();
        }
        serving.abort();
    });
}

/// Opens a stream on a server that then has no connection left. A second one is served once the stream has
/// detached.
async fn check_detached<C>(store: &Store<Line>, mut connect: impl AsyncFnMut() -> C)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut page = connect().await;
    page.write_all(GET.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(": tornadose\n") {
        assert!(page.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
    }
    let mut second = connect().await;
    second.write_all(b"GET /nowhere/at/all HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    // A TLS session that ends without its close_notify is an error; what was read before counts.
    let _read = timeout(secs(20), second.read_to_string(&mut response)).await.expect("the stream is not detached");
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    store.submit(line(1, "hi")).await.unwrap();
    store.close();
    let ended = timeout(secs(20), page.read_to_end(&mut read)).await.expect("the stream ends");
    let read = String::from_utf8(read).unwrap();
    assert!(ended.is_ok() && read.contains("\"hi\"") && read.ends_with("0\r\n\r\n"), "{read}");
}

#[tokio::test]
async fn a_stream_detaches_over_tls() {
    let file = |name| std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/").to_owned() + name).unwrap();
    let (certificate, key) = (file("localhost.cert.pem"), file("localhost.key.pem"));
    let config = RustlsConfig::new(Keycert::new().cert(certificate.clone()).key(key));
    let acceptor = salvo::conn::TcpListener::new("127.0.0.1:0").rustls(config).bind().await;
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let (store, handover) = (Store::new(), Handover::new());
    let server = Server::new(handover.wrap_acceptor(acceptor)).max_connections(1);
    let serving = tokio::spawn(server.try_serve(handover.wrap_service(rooms(&store))));

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    check_detached(&store, async || {
        let socket = TcpStream::connect(addr).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
    })
    .await;
    serving.abort();
}

/// The connections of a Unix socket have no addresses of their own.
#[cfg(unix)]
#[tokio::test]
async fn a_stream_detaches_over_a_unix_socket() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("handover-{}", std::process::id()));
    let acceptor = salvo::conn::UnixListener::new(path.clone()).bind().await;
    let (store, handover) = (Store::new(), Handover::new());
    let server = Server::new(handover.wrap_acceptor(acceptor)).max_connections(3);
    let serving = tokio::spawn(server.try_serve(handover.wrap_service(rooms(&store))));
    let connect = async || tokio::net::UnixStream::connect(&path).await.unwrap();
    let _idle = [connect().await, connect().await];
    check_detached(&store, connect).await;
    serving.abort();
    std::fs::remove_file(&path).unwrap();
}
