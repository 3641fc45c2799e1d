//! The memory that keys take when clients choose them. A global allocator counts the bytes of the thread on which
//! the handlers run.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[cfg(target_os = "linux")]
#[path = "keys/resident.rs"]
mod resident;

use allocation_counter::measure;
use salvo::Handler;
use salvo::http::StatusCode;
use tokio::runtime::Runtime;
use tornadose::prelude::*;

const MEMORY: usize = 4 << 20;

/// The default of `max_key`.
const MAX_KEY: usize = 1024;

/// The bytes of the key's JSON beside the name of the room.
const FRAME: usize = r#"{"room":""}"#.len();

#[store(queue, memory = "4MiB")]
#[derive(Serialize)]
enum Said {
    Text {
        #[key]
        room: String,
        text: String,
    },
}

#[subscriber(sse, ws, store = Said, authorize = public)]
struct Room {
    #[key]
    #[query]
    room: String,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns a name of so many bytes, which differs from that of every other number.
fn name(number: usize, length: usize) -> String {
    let number = number.to_string();
    format!("{}{number}", "r".repeat(length - number.len()))
}

/// Opens a stream of a room. The client leaves when the response is dropped.
fn open(runtime: &Runtime, handler: &StreamHandler<Room>, room: &str) -> Response {
    let (mut response, mut rest) = (Response::new(), FlowCtrl::new(vec![]));
    let mut request = Request::new();
    *request.uri_mut() = format!("/?room={room}").parse().unwrap();
    runtime.block_on(handler.handle(&mut request, &mut Depot::new(), &mut response, &mut rest));
    response
}

/// Lets so many clients open a stream of a room of their own, send one text into it and leave. Returns the most bytes
/// that were allocated at once, and the status of the last response.
fn flood(clients: usize, name_length: usize) -> (usize, Option<StatusCode>) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let store = Store::<Said>::new();
    let handler = Room::handler(&store);
    let mut status = None;
    let spent = measure(|| {
        for number in 0..clients {
            let room = name(number, name_length);
            let response = open(&runtime, &handler, &room);
            status = response.status_code;
            let text = Said::Text { room, text: "hi".into() };
            assert_eq!(store.try_submit(text).is_ok(), status == Some(StatusCode::OK));
        }
    });
    assert_eq!(store.subscribers(), 0);
    (usize::try_from(spent.bytes_max).unwrap(), status)
}

#[test]
fn a_flood_of_keys_at_the_bound_stays_within_memory() {
    let (bytes, status) = flood(8000, MAX_KEY - FRAME);
    println!("{bytes} bytes at most");
    assert_eq!(status, Some(StatusCode::OK));
    assert!(bytes <= MEMORY + MEMORY / 8, "{bytes} bytes, and `memory` is {MEMORY}");
}

#[test]
fn a_flood_of_keys_beyond_the_bound_leaves_nothing() {
    let (bytes, status) = flood(1000, 60_000);
    println!("{bytes} bytes at most");
    assert_eq!(status, Some(StatusCode::BAD_REQUEST));
    // One request with its name in several places: the URI, the field, the message.
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}

/// Returns the bytes that so many open streams take, each of a room of its own.
fn open_streams(count: usize, name_length: usize) -> usize {
    let runtime = runtime();
    let _entered = runtime.enter();
    let store = Store::<Said>::new();
    let handler = Room::handler(&store);
    let mut open_streams = Vec::with_capacity(count);
    let spent = measure(|| {
        for number in 0..count {
            open_streams.push(open(&runtime, &handler, &name(number, name_length)));
        }
    });
    assert_eq!(store.subscribers(), count);
    usize::try_from(spent.bytes_current).unwrap()
}

#[test]
fn the_store_holds_the_key_of_an_open_connection_once() {
    const COUNT: usize = 2000;
    let (short, long) = (10, MAX_KEY - FRAME);
    let more = open_streams(COUNT, long) - open_streams(COUNT, short);
    let hundredths = more * 100 / (COUNT * (long - short));
    println!("{hundredths} hundredths of a copy");
    // One is in the store, the other is the field of the subscriber.
    assert!(hundredths < 210, "{hundredths} hundredths of a copy of each key");
}
