//! Clients over TLS, as raw as a proxy sees them: HTTP/1.1 bytes, and HTTP/2 by hyper.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/localhost.cert.pem");
pub(crate) const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/localhost.key.pem");

const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

async fn connect(port: u16, alpn: &[u8]) -> TlsStream<TcpStream> {
    let certificate = CertificateDer::from_pem_file(CERTIFICATE).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn), "the proxy offers the protocol");
    stream
}

/// A connection over HTTP/1.1, with what it has read.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Client {
    /// Sends a request of a page at the proxy. Its `Origin` and `Host` are those that a browser sends.
    pub(crate) async fn get(port: u16, path: &str, headers: &str) -> Self {
        let mut stream = connect(port, b"http/1.1").await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: https://localhost:{port}\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads until this text has arrived. Returns how long it took.
    pub(crate) async fn read_until(&mut self, text: &str) -> Duration {
        let start = Instant::now();
        while !self.text().contains(text) {
            let length = timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await;
            let length = length.unwrap_or_else(|_| panic!("{:?} without {text:?}", self.text())).unwrap();
            assert!(length > 0, "{:?} ended without {text:?}", self.text());
        }
        start.elapsed()
    }

    /// Reads to the end of the connection, or of a body in chunks. Returns how long it took.
    pub(crate) async fn read_to_end(&mut self) -> Duration {
        let start = Instant::now();
        while !self.text().ends_with("\r\n0\r\n\r\n") {
            let length = timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await;
            // An error is an end too: a reset, or a missing close_notify.
            if length.unwrap_or_else(|_| panic!("{:?} does not end", self.text())).unwrap_or(0) == 0 {
                break;
            }
        }
        start.elapsed()
    }

    /// Reads until this text has arrived, or to the end of a body in chunks.
    pub(crate) async fn read_until_end_or(&mut self, text: &str) {
        while !self.text().contains(text) && !self.text().ends_with("\r\n0\r\n\r\n") {
            let length = timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await;
            let length = length.unwrap_or_else(|_| panic!("{:?} does not end", self.text())).unwrap();
            assert!(length > 0, "{:?} is cut", self.text());
        }
    }

    /// Reads until this text has arrived, or the stream has ended in whatever way. Answers pings and a close frame.
    pub(crate) async fn read_until_gone_or(&mut self, text: &str) {
        while !self.text().contains(text) && !self.text().ends_with("\r\n0\r\n\r\n") {
            let before = self.read.len();
            let length = timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await;
            if length.unwrap_or_else(|_| panic!("{:?} does not end", self.text())).unwrap_or(0) == 0 {
                return;
            }
            // No text of the tests has these bytes, so they are frames. A write to a connection that ends may fail.
            if self.read[before..].contains(&0x88) {
                let _ends = self.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await;
                return;
            }
            if self.read[before..].contains(&0x89) {
                let _ends = self.stream.write_all(&[0x8A, 0x80, 0, 0, 0, 0]).await;
            }
        }
    }

    /// Reads a response whose head says its length.
    pub(crate) async fn read_response(&mut self) -> String {
        self.read_until("\r\n\r\n").await;
        let text = self.text().to_ascii_lowercase();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length = head.len() + 4 + length.parse::<usize>().unwrap();
        while self.read.len() < length {
            assert!(timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await.unwrap().unwrap() > 0);
        }
        self.text()
    }

    /// The last id that was read.
    pub(crate) fn last_event_id(&self) -> String {
        let text = self.text();
        text.rsplit("id: ").next().unwrap().lines().next().unwrap().to_owned()
    }

    /// Sends a text over WebSocket, masked with zeros.
    pub(crate) async fn send_text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126);
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads to the close frame of a server that stops, and answers it.
    pub(crate) async fn close(mut self) {
        let close = [0x88, 2, 0x03, 0xE9];
        while !self.read.windows(close.len()).any(|part| part == close) {
            let length = timeout(TIMEOUT, self.stream.read_buf(&mut self.read)).await.unwrap().unwrap();
            assert!(length > 0, "{:?} ended without a close frame", self.text());
        }
        self.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9]).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Answers the pings of the server for so long.
    pub(crate) async fn answer_pings(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(length) = tokio::time::timeout_at(end, self.stream.read_buf(&mut self.read)).await {
            assert!(length.unwrap() > 0, "{:?} ended", self.text());
            if self.read.contains(&0x89) {
                // An unasked pong counts too, so the ping's payload does not matter.
                self.stream.write_all(&[0x8A, 0x80, 0, 0, 0, 0]).await.unwrap();
                self.stream.flush().await.unwrap();
            }
        }
    }
}

/// A connection over HTTP/2.
pub(crate) struct Http2Client {
    port: u16,
    /// The connection ends with its last sender, and the last of its streams.
    sender: http2::SendRequest<String>,
}

impl Http2Client {
    pub(crate) async fn get(port: u16, path: &str) -> Http2Stream {
        let client = Self::connect(port).await;
        let body = timeout(TIMEOUT, client.open(path)).await.unwrap();
        Http2Stream { body, read: Vec::new(), client }
    }

    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TokioIo::new(connect(port, b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Self { port, sender }
    }

    async fn open(&self, path: &str) -> Incoming {
        let request = hyper::Request::get(format!("https://localhost:{}{path}", self.port));
        let response = self.sender.clone().send_request(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    /// Opens so many streams, as far as the connection may have them. Returns how many it has.
    pub(crate) async fn open_streams(&self, path: &str, at_most: usize) -> usize {
        let mut streams = Vec::new();
        while streams.len() < at_most {
            let Ok(stream) = timeout(Duration::from_secs(2), self.open(path)).await else { break };
            streams.push(stream);
        }
        streams.len()
    }

    /// Opens a WebSocket by extended CONNECT, as browsers do where a server allows it. Reads until a text has
    /// arrived.
    pub(crate) async fn read_websocket(&self, path: &str, text: &str) {
        let origin = format!("https://localhost:{}", self.port);
        let mut request = hyper::Request::connect(format!("{origin}{path}")).header("origin", origin);
        request = request.header("sec-websocket-version", "13").extension(Protocol::from_static("websocket"));
        let response = self.sender.clone().send_request(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(timeout(TIMEOUT, socket.read_buf(&mut read)).await.unwrap().unwrap() > 0, "the WebSocket ended");
        }
    }
}

/// A stream on a connection of its own.
pub(crate) struct Http2Stream {
    body: Incoming,
    read: Vec<u8>,
    client: Http2Client,
}

impl Http2Stream {
    pub(crate) async fn read_until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            let frame = timeout(TIMEOUT, poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx))).await.unwrap();
            let frame = frame.expect("the stream is open").unwrap();
            self.read.extend_from_slice(frame.data_ref().unwrap());
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads until this text has arrived, or the stream has ended in whatever way.
    pub(crate) async fn read_until_gone_or(&mut self, text: &str) {
        while !self.text().contains(text) {
            let frame = timeout(TIMEOUT, poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx))).await;
            let Some(Ok(frame)) = frame.unwrap_or_else(|_| panic!("{:?} does not end", self.text())) else { return };
            self.read.extend_from_slice(frame.data_ref().unwrap());
        }
    }

    /// Resets the stream, as an `EventSource` that is closed does. The connection stays open.
    pub(crate) fn reset(self) -> Http2Client {
        self.client
    }
}
