use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use salvo::conn::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Runs the command that this example and `docs/deploy.md` give for a certificate.
fn make_certificate(folder: &Path) {
    let example = include_str!("../https.rs");
    let block = example.split("```sh\n").nth(1).unwrap().split("//! ```").next().unwrap();
    let command = block.lines().filter_map(|line| line.strip_prefix("//! ")).collect::<Vec<_>>().join("\n");
    assert!(include_str!("../../docs/deploy.md").contains(&command), "not in docs/deploy.md: {command}");
    let made = Command::new("sh").args(["-c", &command]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

async fn connect(folder: &Path, port: u16, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

async fn read_until(stream: &mut TlsStream<TcpStream>, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{:?} ended", String::from_utf8_lossy(&read));
    }
    // The header of a WebSocket frame is not text.
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_certificate_of_ones_own_serves_both_versions_and_both_transports() {
    let folder = std::env::temp_dir().join(format!("tornadose-https-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    make_certificate(&folder);
    let acceptor = listen_tls(&folder, 0).await.unwrap();
    let port = acceptor.holdings()[0].local_addr.clone().into_std().unwrap().port();
    let store = Store::new();
    store.submit(Tick(0.5)).await.unwrap();
    let serving = tokio::spawn(tornadose::serve_on(acceptor, Router::new().get(Ticks::handler(&store))));

    // A browser asks for HTTP/2 first, and gets it.
    let http2 = connect(&folder, port, &["h2", "http/1.1"]).await;
    assert_eq!(http2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let mut page = connect(&folder, port, &["http/1.1"]).await;
    let host = format!("host: localhost:{port}\r\norigin: https://localhost:{port}\r\n");
    page.write_all(format!("GET / HTTP/1.1\r\n{host}\r\n").as_bytes()).await.unwrap();
    let text = read_until(&mut page, "data: 0.5").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");

    let mut socket = connect(&folder, port, &["http/1.1"]).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    socket.write_all(format!("GET / HTTP/1.1\r\n{host}{upgrade}\r\n").as_bytes()).await.unwrap();
    let text = read_until(&mut socket, "\"data\":0.5").await;
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");

    serving.abort();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_missing_certificate_is_an_error_that_names_its_file() {
    let error = listen_tls(Path::new("/nowhere"), 0).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot read /nowhere/cert.pem: "), "{error}");
}
