//! The resident memory of a server in a process of its own, while clients flood it with long keys over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use salvo::http::StatusCode;
use tornadose::prelude::*;

use super::{FRAME, MAX_KEY, MEMORY, Said, name};

/// What the process may take beside `memory`: pages of the program that are touched first in the flood, the buffers of
/// the connections of one wave, and what the allocator keeps of both.
const ALLOWANCE: usize = 4 << 20;

const WAVES: usize = 4;

/// How many connections of each transport are open at once.
const WAVE: usize = 30;

/// How many rooms each connection says something in: over HTTP one by one, over a WebSocket without waiting.
const ROOMS_OF_SSE: usize = 8;
const ROOMS_OF_WS: usize = 48;

/// A text is the name of a room in JSON, into which the connection says something.
#[subscriber(sse, ws, store = Said, authorize = public, receive = Self::say_in)]
struct Talk {
    #[key]
    #[query]
    room: String,
}

impl Talk {
    async fn say_in(&mut self, room: String, store: &Store<Said>) -> Result<(), String> {
        store.submit(Said::Text { room, text: "hi".into() }).await.map(drop).map_err(|error| error.to_string())
    }
}

/// `POST /?room=…` says something in a room.
struct Post(Store<Said>);

#[handler]
impl Post {
    async fn handle(&self, request: &mut Request) -> StatusCode {
        let room = request.query("room").unwrap_or_default();
        match self.0.submit(Said::Text { room, text: "hi".into() }).await {
            Ok(_) => StatusCode::NO_CONTENT,
            Err(_) => StatusCode::BAD_REQUEST,
        }
    }
}

#[tokio::test]
async fn serves_as_a_process() {
    if std::env::var_os("TORNADOSE_TEST_SERVER").is_none() {
        return;
    }
    let store = Store::new();
    let router = Router::new().get(Talk::handler(&store)).post(Post(store));
    tornadose::serve("127.0.0.1:0", router).await.unwrap();
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        // The test program itself, which runs only `serves_as_a_process`.
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["resident::serves_as_a_process", "--exact", "--nocapture"])
            .env("TORNADOSE_TEST_SERVER", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().split_once("listening on http://")?.1.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.unwrap() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Returns a field of `/proc/<pid>/status` in bytes.
    fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        1024 * line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<usize>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

fn request(method: &str, room: &str, fields: &str) -> String {
    format!("{method} /?room={room} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")
}

/// Reads the head of a response, and returns its status.
fn status(stream: &mut BufReader<TcpStream>) -> String {
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the server closed the connection: {head:?}");
        head.push_str(&line);
    }
    head[9..12].to_owned()
}

/// Returns a text frame of a client, with a mask of zeros.
fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0xFE];
    frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Makes names of rooms that no one has used before.
struct Rooms {
    next: usize,
    length: usize,
}

impl Rooms {
    fn next(&mut self) -> String {
        self.next += 1;
        name(self.next, self.length)
    }
}

/// Says something in new rooms over HTTP, and opens an event stream of one more.
fn open_sse(server: &Server, rooms: &mut Rooms, expected: [&str; 2]) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(server.connect());
    for _ in 0..ROOMS_OF_SSE {
        stream.get_mut().write_all(request("POST", &rooms.next(), "content-length: 0\r\n").as_bytes()).unwrap();
        let found = status(&mut stream);
        if found != "204" {
            // The body of an error is of no interest, and the connection with it.
            assert_eq!(found, expected[0]);
            stream = BufReader::new(server.connect());
        }
    }
    stream.get_mut().write_all(request("GET", &rooms.next(), "").as_bytes()).unwrap();
    assert_eq!(status(&mut stream), expected[1]);
    stream
}

/// Opens a WebSocket of a new room, and says something there and in other new rooms.
fn open_ws(server: &Server, rooms: &mut Rooms, expected: &str) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(server.connect());
    let own = rooms.next();
    stream.get_mut().write_all(request("GET", &own, UPGRADE).as_bytes()).unwrap();
    assert_eq!(status(&mut stream), expected);
    if expected == "101" {
        for room in (1..ROOMS_OF_WS).map(|_| rooms.next()).chain([own.clone()]) {
            stream.get_mut().write_all(&text_frame(&format!("\"{room}\""))).unwrap();
        }
        // The last message arrives when everything was said.
        let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&read).contains(&own) {
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "the server closed the connection: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&chunk[..length]);
        }
    }
    stream
}

#[test]
fn a_flood_of_long_keys_leaves_the_process_within_memory() {
    let server = Server::start();
    let started = Instant::now();
    let (before, bound) = (server.memory("VmRSS"), MEMORY + ALLOWANCE);
    let mut allowed = Rooms { next: 0, length: MAX_KEY - FRAME };
    let mut too_long = Rooms { next: 0, length: 60_000 };
    for _ in 0..WAVES {
        let mut open = Vec::new();
        for _ in 0..WAVE {
            open.push(open_sse(&server, &mut allowed, ["204", "200"]));
            open.push(open_ws(&server, &mut allowed, "101"));
        }
        for _ in 0..WAVE / 6 {
            open.push(open_sse(&server, &mut too_long, ["400", "400"]));
            open.push(open_ws(&server, &mut too_long, "400"));
        }
    }
    let (after, peak) = (server.memory("VmRSS"), server.memory("VmHWM"));
    let keys = allowed.next * MAX_KEY + too_long.next * 60_000;
    println!(
        "{} keys of {keys} bytes in all in {:?}: {before} bytes before, {after} after, {peak} at most; the bound is {bound}",
        allowed.next + too_long.next,
        started.elapsed()
    );
    assert!(keys > 2 * bound, "the flood is too small to show anything");
    assert!(after.saturating_sub(before) < bound, "{} bytes more than before", after - before);
    assert!(peak.saturating_sub(before) < bound, "{} bytes more than before at most", peak - before);
}
