//! Listening on an address, and stopping by a signal or by a drop, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line(String);

#[subscriber(sse, ws, store = Line)]
struct Lines;

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let error = tornadose::listen(addr).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {addr}: ")), "{error}");
    assert!(!format!("{error:?}").contains('\n'), "{error:?}");
}

#[tokio::test]
async fn an_address_that_cannot_be_resolved_is_an_error() {
    let error = tornadose::listen("127.0.0.1:http").await.err().unwrap();
    assert!(error.to_string().starts_with("cannot resolve the address"), "{error}");
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// The server of the tests with signals. They run this test in a process of its own, because a signal
/// goes to a process.
#[tokio::test]
async fn child() {
    if std::env::var_os("TORNADOSE_CHILD").is_none() {
        return;
    }
    let store = Store::new();
    store.submit(Line("hi".into())).await.unwrap();
    tornadose::serve("127.0.0.1:0", Router::new().get(Lines::handler(&store).replay(1))).await.unwrap();
}

/// A server in a process of its own. It is killed at the end of the test.
struct Server {
    child: Child,
    addr: String,
}

impl Server {
    fn start() -> Self {
        Self::spawn(&mut Command::new(std::env::current_exe().unwrap()))
    }

    /// Starts with a limit of open files.
    #[cfg(unix)]
    fn start_with_limit(files: usize) -> Self {
        let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        Self::spawn(Command::new("sh").args(["-c", &limit]).arg(std::env::current_exe().unwrap()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .args(["--exact", "child", "--nocapture"])
            .env("TORNADOSE_CHILD", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.find_map(|line| Some(line.unwrap().split_once("listening on http://")?.1.to_owned())).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr }
    }

    fn send_request(&self, headers: &str) -> TcpStream {
        send_request(&self.addr, headers)
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits until the process has ended with success. Returns how long it took.
    fn wait(&mut self) -> Duration {
        let start = Instant::now();
        assert!(self.child.wait().unwrap().success());
        start.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _killed = self.child.kill();
    }
}

fn send_request(addr: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: {addr}\r\n{headers}\r\n").unwrap();
    stream
}

/// Reads until this text has arrived.
fn read_until(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    let mut chunk = [0; 1024];
    while !String::from_utf8_lossy(&read).contains(text) {
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "{:?} ended without {text:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..length]);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_closes_every_connection_and_ends_the_server() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start();
        let mut page = server.send_request("");
        let mut socket = server.send_request(UPGRADE);
        read_until(&mut page, "data: \"hi\"");
        read_until(&mut socket, "\"data\":\"hi\"");
        server.signal(signal);
        let mut close = [0; 4];
        socket.read_exact(&mut close).unwrap();
        assert_eq!(close, [0x88, 2, 0x03, 0xE9], "a close frame with 1001");
        // The client answers with the same code, masked with zeros.
        socket.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9]).unwrap();
        let mut last = String::new();
        page.read_to_string(&mut last).unwrap();
        assert!(last.contains("retry: ") && last.ends_with("0\r\n\r\n"), "{last:?}");
        assert!(server.wait() < Duration::from_secs(1));
    }
}

/// A connection takes one open file. Those beyond the limit wait, and nothing happens to the others.
#[cfg(unix)]
#[test]
fn a_server_at_its_limit_of_files_serves_the_next_client_once_another_leaves() {
    const FILES: usize = 64;
    let server = Server::start_with_limit(FILES);
    let mut pages = Vec::new();
    let mut waiting = loop {
        let mut page = server.send_request(if pages.len() % 2 == 0 { "" } else { UPGRADE });
        page.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        match page.read(&mut [0; 8]) {
            Ok(length) => assert_eq!(length, 8),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break page,
            Err(error) => panic!("{error}"),
        }
        pages.push(page);
        assert!(pages.len() < FILES);
    };
    // The rest are those of the runtime and of the standard streams.
    assert!(pages.len() > FILES - 20, "{} connections", pages.len());
    for page in &mut pages {
        page.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        read_until(page, "hi");
    }
    pages.pop();
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    read_until(&mut waiting, "hi");
}

/// Reads to the end of a connection.
fn read_to_end(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    // A reset ends the connection too.
    let _ended = stream.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}

#[test]
fn a_dropped_server_ends_its_connections() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Store::new();
    let (addr, serving) = runtime.block_on(async {
        let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        (addr, tokio::spawn(tornadose::serve_on(acceptor, Router::new().get(Lines::handler(&store)))))
    });
    let mut sockets = ["", UPGRADE].map(|headers| send_request(&addr.to_string(), headers));
    for socket in &mut sockets {
        read_until(socket, "HTTP/1.1 ");
    }
    let wait_for_readers = |readers| {
        let start = Instant::now();
        while store.subscribers() != readers {
            assert!(start.elapsed() < Duration::from_secs(20), "{} readers", store.subscribers());
            std::thread::yield_now();
        }
    };
    wait_for_readers(2);
    serving.abort();
    wait_for_readers(0);
    for socket in sockets {
        let rest = read_to_end(socket);
        // Neither a last chunk nor a close frame is sent.
        assert!(!rest.contains("0\r\n\r\n") && !rest.as_bytes().contains(&0x88), "{rest}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start();
    let mut socket = server.send_request(UPGRADE);
    read_until(&mut socket, "\"data\":\"hi\"");
    server.signal("-INT");
    let mut close = [0; 4];
    socket.read_exact(&mut close).unwrap();
    // The client does not answer the close frame.
    server.signal("-INT");
    assert!(server.wait() < Duration::from_secs(1));
}
