//! Clients that are cut at any byte and reconnect, over the whole stack and both transports. Each gets every queue message of
//! its rooms once and in order, or a gap where messages are lost, and no other gap.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest::{collection::vec, sample::subsequence};
use salvo::conn::Acceptor;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tornadose::prelude::*;
use tornadose::subscriber::KeyOf;
use tornadose::{ENTRY_OVERHEAD, EncodeError, Event, Retention};
use tornadose_test::Harness;

use super::harness::harness;

const ROOMS: u8 = 4;

/// A message that says its own place in the log, in a store of so many messages of a room and so many bytes.
struct Note<const CAPACITY: usize, const MEMORY: usize> {
    number: u64,
    told: Told,
}

impl<const CAPACITY: usize, const MEMORY: usize> Message for Note<CAPACITY, MEMORY> {
    type Key = u8;
    const CAPACITY: usize = CAPACITY;
    const MEMORY: usize = MEMORY;
    const CHANNEL: &'static str = "notes";

    fn key(&self) -> u8 {
        self.told.room
    }
    fn retention(&self) -> Retention {
        if self.told.latest { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let name = if self.told.latest { "topic" } else { "said" };
        Ok(Event::json(&self.number)?.with_name(name.try_into()?))
    }
}

#[derive(Clone, Copy)]
struct Told {
    room: u8,
    latest: bool,
}

/// `GET /{replay}?rooms=1,2&picky`; without rooms, all of them.
struct Reads<M> {
    rooms: Vec<u8>,
    picky: bool,
    message: PhantomData<fn() -> M>,
}

/// A picky reader does not want every third message.
fn passes(picky: bool, number: u64) -> bool {
    !picky || !number.is_multiple_of(3)
}

impl<const CAPACITY: usize, const MEMORY: usize> Subscriber for Reads<Note<CAPACITY, MEMORY>> {
    type Message = Note<CAPACITY, MEMORY>;

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let rooms: String = request.query("rooms").unwrap_or_default();
        let rooms = rooms.split(',').filter_map(|room| room.parse().ok()).collect();
        Ok(Self { rooms, picky: request.query::<String>("picky").is_some(), message: PhantomData })
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        match self.rooms[..] {
            [] => Keys::All,
            [room] => Keys::One(room),
            _ => Keys::Set(self.rooms.clone()),
        }
    }
    fn filter(&self, note: &Self::Message) -> bool {
        passes(self.picky, note.number)
    }
}

fn router<const CAPACITY: usize, const MEMORY: usize>(store: &Store<Note<CAPACITY, MEMORY>>) -> Router {
    let replays = [0, 3, 100];
    // Nobody here answers a ping, and the machine may be slow.
    let patient = || StreamHandler::<Reads<_>>::new(store).keep_alive(Duration::from_hours(1));
    let route = |replay: usize| Router::with_path(replay.to_string()).get(patient().replay(replay));
    replays.map(route).into_iter().fold(Router::new(), Router::push)
}

/// All that was submitted, by place in the log from 1.
#[derive(Default)]
struct History {
    notes: Vec<Told>,
    /// What a store of this capacity and memory keeps, when submits and reads take turns.
    kept: Option<BTreeSet<u64>>,
}

impl History {
    fn at(&self, number: u64) -> Told {
        self.notes[usize::try_from(number).unwrap() - 1]
    }

    fn submit<const CAPACITY: usize, const MEMORY: usize>(
        &mut self,
        store: &Store<Note<CAPACITY, MEMORY>>,
        told: Told,
    ) {
        self.notes.push(told);
        let number = self.notes.len() as u64;
        store.try_submit(Note { number, told }).unwrap();
        let mut kept = self.kept.take().unwrap_or_default();
        if !told.latest {
            kept.insert(number);
        }
        let of_room = |number: &&u64| self.at(**number).room == told.room;
        if kept.iter().filter(of_room).count() > CAPACITY {
            let oldest = *kept.iter().find(of_room).unwrap();
            kept.remove(&oldest);
        }
        while self.bytes(&kept) > MEMORY {
            kept.pop_first();
        }
        self.kept = Some(kept);
    }

    /// What the store counts: each message's event, that once more for each transport, and each room.
    fn bytes(&self, kept: &BTreeSet<u64>) -> usize {
        let held: BTreeSet<u64> = kept.iter().chain(self.topics().values()).copied().collect();
        let rooms: BTreeSet<u8> = held.iter().map(|number| self.at(*number).room).collect();
        let charge = |number: &u64| {
            let name = if self.at(*number).latest { "topic" } else { "said" };
            ENTRY_OVERHEAD + 3 * (name.len() + number.to_string().len())
        };
        rooms.len() * ENTRY_OVERHEAD + held.iter().map(charge).sum::<usize>()
    }

    /// The newest topic of each room.
    fn topics(&self) -> BTreeMap<u8, u64> {
        (1..).zip(&self.notes).filter(|(_, told)| told.latest).map(|(number, told)| (told.room, number)).collect()
    }

    fn is_kept(&self, number: u64) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.contains(&number))
    }

    fn head(&self) -> u64 {
        self.notes.len() as u64
    }
}

// --- A client

#[derive(Clone, Debug)]
struct Asks {
    websocket: bool,
    /// All when empty.
    rooms: Vec<u8>,
    picky: bool,
    replay: usize,
}

/// A loss that was told, until the next position says what it was.
struct Gap {
    missed: Option<u64>,
}

/// What a page makes of the bytes that reach it, as the standards say.
struct Client {
    asks: Asks,
    /// The newest id.
    position: Option<(String, u64)>,
    /// What came up to it, and what came without an id since.
    settled: BTreeSet<u64>,
    loose: BTreeSet<u64>,
    /// The newest message of this connection.
    last: u64,
    gap: Option<Gap>,
    gaps: u64,
    connections: u64,
    bytes: Vec<u8>,
    chunk_left: usize,
    /// A stream's text without the frames of HTTP.
    text: String,
    has_head: bool,
}

impl Client {
    fn new(asks: &Asks) -> Self {
        Self {
            asks: asks.clone(),
            position: None,
            settled: BTreeSet::new(),
            loose: BTreeSet::new(),
            last: 0,
            gap: None,
            gaps: 0,
            connections: 0,
            bytes: Vec::new(),
            chunk_left: 0,
            text: String::new(),
            has_head: false,
        }
    }

    /// Comes, or comes back. What it had read of the last event is gone, and so is what came without an id.
    fn request(&mut self) -> String {
        self.connections += 1;
        self.loose.clear();
        self.gap = None;
        self.bytes.clear();
        self.chunk_left = 0;
        self.text.clear();
        self.has_head = false;
        self.last = self.at();
        let Asks { websocket, rooms, picky, replay } = &self.asks;
        let rooms: Vec<String> = rooms.iter().map(u8::to_string).collect();
        let mut path = format!("/{replay}?rooms={}{}", rooms.join(","), if *picky { "&picky" } else { "" });
        let mut headers = String::from("host: x\r\n");
        if *websocket {
            headers += "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        }
        if let Some((id, _)) = &self.position {
            // By turns as an `EventSource` and as a page says it.
            if *websocket || self.connections.is_multiple_of(2) {
                path = format!("{path}&last_event_id={id}");
            } else {
                headers = format!("{headers}last-event-id: {id}\r\n");
            }
        }
        format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
    }

    fn at(&self) -> u64 {
        self.position.as_ref().map_or(0, |(_, offset)| *offset)
    }

    fn reads(&mut self, history: &History, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if !self.has_head {
            let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
            let status: &[u8] = if self.asks.websocket { b"HTTP/1.1 101" } else { b"HTTP/1.1 200" };
            assert!(head.starts_with(status), "{}", String::from_utf8_lossy(&head));
            self.has_head = true;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        if self.asks.websocket {
            while let Some((opcode, payload)) = frame(&mut rest) {
                match opcode {
                    0x81 => self.text_frame(history, payload),
                    0x88 | 0x89 => {}
                    other => panic!("frame {other:x}"),
                }
            }
        } else {
            while let Some(chunk) = chunk(&mut rest, &mut self.chunk_left) {
                self.text += std::str::from_utf8(chunk).unwrap();
            }
            self.text_comes(history);
        }
        self.bytes = rest.to_vec();
    }

    /// Dispatches each whole event; what is behind the last blank line may still grow.
    fn text_comes(&mut self, history: &History) {
        let text = std::mem::take(&mut self.text);
        let (whole, rest) = text.rsplit_once("\n\n").unwrap_or(("", &text));
        for block in whole.split("\n\n").filter(|block| !block.is_empty()) {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            self.event(history, field("id"), field("event"), field("data"));
        }
        rest.clone_into(&mut self.text);
    }

    fn text_frame(&mut self, history: &History, payload: &[u8]) {
        let value: Value = serde_json::from_slice(payload).unwrap();
        let data = value.get("data").map(Value::to_string);
        self.event(history, value["id"].as_str(), value["event"].as_str(), data.as_deref());
    }

    fn event(&mut self, history: &History, id: Option<&str>, name: Option<&str>, data: Option<&str>) {
        let data: Option<Value> = data.map(|data| serde_json::from_str(data).unwrap());
        match (name, data) {
            (Some("tornadose:gap"), Some(data)) => {
                assert_eq!(id, None, "a gap carries no id");
                self.hears_of_a_gap(history, &data);
            }
            (Some("said" | "topic"), Some(data)) => self.receives(history, data.as_u64().unwrap()),
            (None, None) => {}
            other => panic!("{other:?}"),
        }
        if let Some(id) = id {
            self.moves_to(history, id);
        }
    }

    fn receives(&mut self, history: &History, number: u64) {
        assert!(number > self.last, "{number} after {}", self.last);
        let told = history.at(number);
        assert!(self.asks.rooms.is_empty() || self.asks.rooms.contains(&told.room), "{number} is of another room");
        assert!(passes(self.asks.picky, number), "{number} should have been withheld");
        assert!(!self.settled.contains(&number), "{number} came twice, and had its id");
        self.loose.insert(number);
        self.last = number;
    }

    fn hears_of_a_gap(&mut self, history: &History, data: &Value) {
        self.gaps += 1;
        let missed = data["missed"].as_u64();
        let seen = match data["reason"].as_str() {
            Some("trimmed") => {
                assert!(missed.is_none() && self.gap.is_none(), "{data}");
                self.at()
            }
            Some("lagged") => {
                assert!(missed.is_some_and(|missed| missed > 0), "{data}");
                self.at().max(self.last)
            }
            _ => panic!("{data}"),
        };
        let mut trimmed =
            self.owed(history, seen + 1..=history.head(), false).filter(|number| !history.is_kept(*number));
        assert!(
            history.kept.is_none() || trimmed.next().is_some(),
            "a gap after {seen}, where nothing is gone: {data}"
        );
        drop(trimmed);
        let before = self.gap.take().map_or(Some(0), |gap| gap.missed);
        // A loss after a loss whose extent was not told: so is theirs together.
        let together = before.zip(missed).map(|(before, missed)| before + missed);
        self.gap = Some(Gap { missed: together });
    }

    /// The queue messages of its rooms in a range of places, all of them or those that the filter lets through.
    fn owed<'a>(
        &'a self,
        history: &'a History,
        range: RangeInclusive<u64>,
        filtered: bool,
    ) -> impl Iterator<Item = u64> + use<'a> {
        range.filter(move |number| {
            let told = history.at(*number);
            let has = self.asks.rooms.is_empty() || self.asks.rooms.contains(&told.room);
            has && !told.latest && (!filtered || passes(self.asks.picky, *number))
        })
    }

    fn missing(&self, history: &History, range: RangeInclusive<u64>) -> Vec<u64> {
        let has = |number: &u64| self.settled.contains(number) || self.loose.contains(number);
        self.owed(history, range, true).filter(|number| !has(number)).collect()
    }

    /// An id stands where all that it was owed up to there has come, or was told to be missing.
    fn moves_to(&mut self, history: &History, id: &str) {
        let offset = id.split_once('-').unwrap().1.parse().unwrap();
        let first = self.position.is_none();
        assert!(first || offset >= self.at(), "the position went back from {:?} to {id}", self.position);
        let missing = if first { vec![] } else { self.missing(history, self.at() + 1..=offset) };
        match self.gap.take() {
            None => assert!(missing.is_empty(), "{} did not come, and nothing was said", shown(&missing)),
            Some(gap) => {
                let kept: Vec<u64> = missing.iter().copied().filter(|number| history.is_kept(*number)).collect();
                assert!(kept.is_empty(), "{} are kept, and did not come", shown(&kept));
                if let Some(missed) = gap.missed.filter(|_| !first && !self.asks.picky) {
                    assert_eq!(missed, missing.len() as u64, "{}", shown(&missing));
                }
            }
        }
        // Not `append`, which walks through both.
        self.settled.extend(std::mem::take(&mut self.loose));
        self.position = Some((id.to_owned(), offset));
    }

    /// What it lacks of all there is.
    fn lacks(&self, history: &History) -> Option<String> {
        if self.position.is_none() || self.gap.is_some() {
            return Some("a position".to_owned());
        }
        let missing = self.missing(history, self.at() + 1..=history.head());
        if !missing.is_empty() {
            return Some(shown(&missing));
        }
        history.topics().into_iter().find_map(|(room, number)| {
            let wants = self.asks.rooms.is_empty() || self.asks.rooms.contains(&room);
            let has = self.settled.contains(&number) || self.loose.contains(&number);
            (wants && !has && passes(self.asks.picky, number)).then(|| format!("the newest topic of {room}, {number}"))
        })
    }
}

/// Some of so many numbers.
fn shown(numbers: &[u64]) -> String {
    let few = &numbers[..numbers.len().min(8)];
    format!("{few:?}, {} in all", numbers.len())
}

/// Takes what has come of a chunk; `left` of it, with the end of its line, is still to come (RFC 9112 §7.1).
fn chunk<'a>(bytes: &mut &'a [u8], left: &mut usize) -> Option<&'a [u8]> {
    if *left == 0 {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        *left = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap() + 2;
        *bytes = &bytes[line + 2..];
    }
    let (part, rest) = bytes.split_at_checked(bytes.len().min(*left)).filter(|(part, _)| !part.is_empty())?;
    *bytes = rest;
    let data = part.len().min(left.saturating_sub(2));
    *left -= part.len();
    Some(&part[..data])
}

/// Takes a whole frame of a server, none of which has 64 KiB (RFC 6455 §5.2).
fn frame<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (start, length) = match bytes[..] {
        [_, length @ 0..126, ..] => (2, usize::from(length)),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, 126, ..] | [_] | [] => return None,
        _ => panic!("a frame of such length"),
    };
    let (frame, rest) = bytes.split_at_checked(start + length)?;
    *bytes = rest;
    Some((frame[0], &frame[start..]))
}

// --- In turns: random programs

#[derive(Clone, Debug)]
enum Act {
    Submit {
        room: u8,
        latest: bool,
        times: usize,
    },
    Connect(usize),
    Cut(usize),
    /// Takes at most so many bytes of what has come.
    Read(usize, usize),
    Settle,
}

const CLIENTS: usize = 4;

fn act() -> impl Strategy<Value = Act> {
    let submit = (0..ROOMS, prop_oneof![3 => Just(false), 1 => Just(true)], 1..10_usize)
        .prop_map(|(room, latest, times)| Act::Submit { room, latest, times });
    let read = prop_oneof![1..60_usize, 60..2000_usize, Just(usize::MAX)];
    prop_oneof![
        4 => submit,
        2 => (0..CLIENTS).prop_map(Act::Connect),
        1 => (0..CLIENTS).prop_map(Act::Cut),
        4 => (0..CLIENTS, read).prop_map(|(client, bytes)| Act::Read(client, bytes)),
        3 => Just(Act::Settle),
    ]
}

fn asks() -> impl Strategy<Value = Asks> {
    let rooms = subsequence((0..ROOMS).collect::<Vec<_>>(), 0..=usize::from(ROOMS));
    let replay = prop_oneof![Just(0), Just(3), Just(100)];
    (any::<bool>(), rooms, any::<bool>(), replay).prop_map(|(websocket, rooms, picky, replay)| Asks {
        websocket,
        rooms,
        picky,
        replay,
    })
}

/// A client and its line, while it has one.
struct Seat {
    client: Client,
    line: Option<DuplexStream>,
}

impl Seat {
    async fn connect(&mut self, app: &Harness) {
        let mut line = app.connect();
        line.write_all(self.client.request().as_bytes()).await.unwrap();
        self.line = Some(line);
    }

    /// Reads what has come, without waiting.
    fn read(&mut self, history: &History, mut bytes: usize) {
        let Some(line) = &mut self.line else { return };
        let mut buffer = [0; 2048];
        while bytes > 0 {
            let most = bytes.min(buffer.len());
            match line.read(&mut buffer[..most]).now_or_never() {
                Some(Ok(read @ 1..)) => {
                    bytes -= read;
                    self.client.reads(history, &buffer[..read]);
                }
                _ => return,
            }
        }
    }
}

/// Runs a program, and answers how many gaps were heard.
async fn play(asks: &[Asks], acts: &[Act], closes: bool) -> u64 {
    // Less memory than the queues of all rooms take.
    let store: Store<Note<6, { 12 << 10 }>> = Store::new();
    let app = harness(router(&store));
    let mut history = History { kept: Some(BTreeSet::new()), ..History::default() };
    let mut seats: Vec<Seat> = asks.iter().map(|asks| Seat { client: Client::new(asks), line: None }).collect();
    for act in acts {
        match *act {
            Act::Submit { room, latest, times } => {
                (0..times).for_each(|_| history.submit(&store, Told { room, latest }));
            }
            Act::Connect(client) if seats[client].line.is_none() => seats[client].connect(&app).await,
            Act::Connect(client) | Act::Cut(client) => seats[client].line = None,
            Act::Read(client, bytes) => seats[client].read(&history, bytes),
            Act::Settle => app.settle().await,
        }
    }
    if closes {
        app.settle().await;
        history.submit(&store, Told { room: 0, latest: false });
        store.close();
    } else {
        for seat in seats.iter_mut().filter(|seat| seat.line.is_none()) {
            seat.connect(&app).await;
        }
    }
    app.settle().await;
    let mut gaps = 0;
    for seat in seats.iter_mut().filter(|seat| seat.line.is_some()) {
        seat.read(&history, usize::MAX);
        assert_eq!(seat.client.lacks(&history), None);
        gaps += seat.client.gaps;
    }
    gaps
}

#[test]
fn clients_that_are_cut_anywhere_and_come_back_lose_nothing_unsaid() {
    let strategy = (vec(asks(), CLIENTS), vec(act(), 0..80), any::<bool>());
    // `./test --long` goes on for ten minutes.
    let until = std::env::var_os("TORNADOSE_LONG").map(|_| Instant::now() + Duration::from_mins(10));
    let gaps = std::cell::Cell::new(0);
    for round in 0_u64.. {
        let config = Config { cases: 300, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&round.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |(asks, acts, closes)| {
            let heard = tornadose_test::run(async { play(&asks, &acts, closes).await });
            gaps.set(gaps.get() + heard);
            Ok(())
        });
        if let Err(broken) = outcome {
            panic!("round {round}: {broken}");
        }
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    assert!(gaps.get() > 100, "only {} gaps: the programs lose too little to show anything", gaps.get());
}

// --- At full rate: real sockets, another thread submits

/// Comes and goes, reads some of what comes and leaves the rest, until all was submitted; then reads to the end.
async fn reads_on(line_to: std::net::SocketAddr, asks: Asks, history: Arc<History>, done: Arc<AtomicBool>) -> Client {
    let mut client = Client::new(&asks);
    // How much it reads before it goes: another amount each time, so that it goes inside of events.
    let mut lot = 7_919;
    loop {
        let last = done.load(Relaxed);
        let mut line = TcpStream::connect(line_to).await.unwrap();
        line.write_all(client.request().as_bytes()).await.unwrap();
        lot = lot * 48_271 % 16_381;
        let mut left = if last { usize::MAX } else { lot };
        while left > 0 && !(last && client.lacks(&history).is_none()) {
            let Ok(read) = tokio::time::timeout(Duration::from_secs(10), take(&mut line, left)).await else {
                // Behind the end of the submits there may be nothing to read any more.
                assert!(!last, "it lacks {:?}, and nothing comes", client.lacks(&history));
                break;
            };
            left -= read.len();
            client.reads(&history, &read);
        }
        if last {
            return client;
        }
    }
}

async fn take(line: &mut (impl AsyncRead + Unpin), most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most.min(16 << 10)];
    let read = line.read(&mut buffer).await.unwrap();
    assert_ne!(read, 0, "the line was cut by the server");
    buffer.truncate(read);
    buffer
}

/// How many messages are submitted, of which the quiet room gets fewer than are kept.
const MANY: u32 = 400_000;
const QUIET: u8 = 1;

async fn rush() {
    let store: Store<Note<4096, { 64 << 20 }>> = Store::new();
    // What is to be submitted is known beforehand; what is kept meanwhile is not.
    let told = |number: u32| {
        let room = if number.is_multiple_of(128) { QUIET } else { [0, 2, 3][number as usize % 3] };
        Told { room, latest: number.is_multiple_of(7) }
    };
    let history = Arc::new(History { notes: (1..=MANY).map(told).collect(), kept: None });
    let acceptor = tornadose::listen("127.0.0.1:0").await.unwrap();
    let addr = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let server = tokio::spawn(Server::new(acceptor).serve(router(&store)));
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for websocket in [false, true] {
        for (rooms, picky, replay) in [
            (vec![], false, 3),
            (vec![QUIET], false, 100),
            (vec![QUIET], true, 0),
            (vec![0, 2, 3], false, 0),
            (vec![2], true, 3),
        ] {
            let asks = Asks { websocket, rooms, picky, replay };
            clients.push(tokio::spawn(reads_on(addr, asks, Arc::clone(&history), Arc::clone(&done))));
        }
    }
    let notes = Arc::clone(&history);
    let submits = tokio::task::spawn_blocking(move || {
        for (number, told) in (1..).zip(&notes.notes) {
            store.try_submit(Note { number, told: *told }).unwrap();
        }
        store
    });
    let store = submits.await.unwrap();
    done.store(true, Relaxed);
    for client in clients {
        let Client { asks, connections, settled, gaps, .. } = client.await.unwrap();
        println!("{asks:?}: {connections} connections, {} messages with their ids, {gaps} gaps", settled.len());
        if asks.rooms == [QUIET] {
            assert_eq!(gaps, 0, "nothing of a quiet room is ever gone");
        } else {
            assert!(connections > 1, "it came back too seldom to show anything");
        }
    }
    server.abort();
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_back_at_full_rate_lose_nothing_unsaid() {
    let rounds = if std::env::var_os("TORNADOSE_LONG").is_some() { 100 } else { 1 };
    for _ in 0..rounds {
        rush().await;
    }
}
