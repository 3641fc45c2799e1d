//! Clients that are cut at any byte and resume, over both transports. Each gets every queue note of its
//! rooms once and in order, or a gap where notes are lost, and no other gap.

mod client;
mod history;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection::vec, sample::subsequence};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tornadose::prelude::*;
use tornadose::subscriber::KeyOf;
use tornadose::{EncodeError, Event, Retention};
use tornadose_test::Harness;

use super::cases::check_cases;
use super::harness::{harness, serve_on_socket};

use self::client::{Client, ReadOptions};
use self::history::{History, Submitted};

const ROOMS: u8 = 4;

/// A message that contains its offset, in a store of this capacity and memory.
pub(crate) struct Note<const CAPACITY: usize, const MEMORY: usize> {
    number: u64,
    submitted: Submitted,
}

impl<const CAPACITY: usize, const MEMORY: usize> Message for Note<CAPACITY, MEMORY> {
    type Key = u8;
    const CAPACITY: usize = CAPACITY;
    const MEMORY: usize = MEMORY;
    const CHANNEL: &'static str = "notes";

    fn key(&self) -> u8 {
        self.submitted.room
    }
    fn retention(&self) -> Retention {
        if self.submitted.latest { Retention::Latest } else { Retention::Queue }
    }
    fn event(&self) -> Result<Event, EncodeError> {
        let name = if self.submitted.latest { "topic" } else { "said" };
        Ok(Event::json(&self.number)?.with_name(name.try_into()?))
    }
}

/// `GET /{replay}?rooms=1,2&filtered`. Without rooms it reads all of them.
struct Reader<M> {
    rooms: Vec<u8>,
    filtered: bool,
    message: PhantomData<fn() -> M>,
}

/// Returns whether a reader gets this note. A filtered reader does not get every third.
fn passes_filter(filtered: bool, number: u64) -> bool {
    !filtered || !number.is_multiple_of(3)
}

impl<const CAPACITY: usize, const MEMORY: usize> Subscriber for Reader<Note<CAPACITY, MEMORY>> {
    type Message = Note<CAPACITY, MEMORY>;

    fn from_request(request: &Request, _: &Depot) -> Result<Self, StatusError> {
        let rooms: String = request.query("rooms").unwrap_or_default();
        let rooms = rooms.split(',').filter_map(|room| room.parse().ok()).collect();
        Ok(Self { rooms, filtered: request.query::<String>("filtered").is_some(), message: PhantomData })
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        match self.rooms[..] {
            [] => Keys::All,
            [room] => Keys::One(room),
            _ => Keys::Set(self.rooms.clone()),
        }
    }
    fn filter(&self, note: &Self::Message) -> bool {
        passes_filter(self.filtered, note.number)
    }
}

fn router<const CAPACITY: usize, const MEMORY: usize>(store: &Store<Note<CAPACITY, MEMORY>>) -> Router {
    let replays = [0, 3, 100, usize::MAX];
    // The clients answer no ping, and the machine may be slow.
    let handler = || StreamHandler::<Reader<_>>::new(store).keep_alive(Duration::from_hours(1));
    let route = |replay: usize| Router::with_path(replay.to_string()).get(handler().replay(replay));
    replays.map(route).into_iter().fold(Router::new(), Router::push)
}

#[derive(Clone, Debug)]
enum Step {
    Submit {
        room: u8,
        latest: bool,
        times: usize,
    },
    Connect(usize),
    Cut(usize),
    /// Reads at most so many bytes.
    Read(usize, usize),
    Settle,
}

const CLIENTS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let submit = (0..ROOMS, prop_oneof![3 => Just(false), 1 => Just(true)], 1..10_usize)
        .prop_map(|(room, latest, times)| Step::Submit { room, latest, times });
    let read = prop_oneof![1..60_usize, 60..2000_usize, Just(usize::MAX)];
    prop_oneof![
        4 => submit,
        2 => (0..CLIENTS).prop_map(Step::Connect),
        1 => (0..CLIENTS).prop_map(Step::Cut),
        4 => (0..CLIENTS, read).prop_map(|(client, bytes)| Step::Read(client, bytes)),
        3 => Just(Step::Settle),
    ]
}

fn read_options() -> impl Strategy<Value = ReadOptions> {
    let rooms = subsequence((0..ROOMS).collect::<Vec<_>>(), 0..=usize::from(ROOMS));
    let replay = prop_oneof![Just(0), Just(3), Just(100), Just(usize::MAX)];
    (any::<bool>(), rooms, any::<bool>(), replay).prop_map(|(websocket, rooms, filtered, replay)| ReadOptions {
        websocket,
        rooms,
        filtered,
        replay,
    })
}

/// A client and its connection, while it has one.
struct ClientConnection {
    client: Client,
    pipe: Option<DuplexStream>,
}

impl ClientConnection {
    async fn connect(&mut self, app: &Harness) {
        let mut pipe = app.connect();
        pipe.write_all(self.client.request().as_bytes()).await.unwrap();
        self.pipe = Some(pipe);
    }

    /// Reads what has arrived, without waiting.
    fn read(&mut self, history: &History, mut bytes: usize) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0; 2048];
        while bytes > 0 {
            let most = bytes.min(buffer.len());
            match pipe.read(&mut buffer[..most]).now_or_never() {
                Some(Ok(read @ 1..)) => {
                    bytes -= read;
                    self.client.read(history, &buffer[..read]);
                }
                _ => return,
            }
        }
    }
}

/// Runs a program. Returns the number of gaps that the clients received.
async fn run_program(options: &[ReadOptions], steps: &[Step], closes: bool) -> u64 {
    // Less memory than the queues of all rooms take.
    let store: Store<Note<6, { 12 << 10 }>> = Store::new();
    // A room without a reader would count for longer than its notes are kept.
    let _readers: Vec<_> = (0..ROOMS).map(|room| store.subscribe_to(room)).collect();
    let app = harness(router(&store));
    let mut history = History { kept: Some(BTreeSet::new()), ..History::default() };
    let mut connections: Vec<ClientConnection> =
        options.iter().map(|options| ClientConnection { client: Client::new(options), pipe: None }).collect();
    for step in steps {
        match *step {
            Step::Submit { room, latest, times } => {
                (0..times).for_each(|_| history.submit(&store, Submitted { room, latest }));
            }
            Step::Connect(client) if connections[client].pipe.is_none() => connections[client].connect(&app).await,
            Step::Connect(client) | Step::Cut(client) => connections[client].pipe = None,
            Step::Read(client, bytes) => connections[client].read(&history, bytes),
            Step::Settle => app.settle().await,
        }
    }
    if closes {
        app.settle().await;
        history.submit(&store, Submitted { room: 0, latest: false });
        store.close();
    } else {
        for connection in connections.iter_mut().filter(|connection| connection.pipe.is_none()) {
            connection.connect(&app).await;
        }
    }
    app.settle().await;
    let mut gaps = 0;
    for connection in connections.iter_mut().filter(|connection| connection.pipe.is_some()) {
        connection.read(&history, usize::MAX);
        assert_eq!(connection.client.missing_summary(&history), None);
        gaps += connection.client.gaps;
    }
    gaps
}

#[test]
fn clients_that_are_cut_at_any_byte_resume_without_silent_loss() {
    let strategy = (vec(read_options(), CLIENTS), vec(step(), 0..80), any::<bool>());
    let gaps = Cell::new(0);
    check_cases(300, &strategy, |(options, steps, closes)| {
        let received = tornadose_test::run(async { run_program(&options, &steps, closes).await });
        gaps.set(gaps.get() + received);
        Ok(())
    });
    assert!(gaps.get() > 100, "only {} gaps: the programs lose too few notes", gaps.get());
}

/// Connects again and again, and reads some bytes each time. Once all is submitted, reads to the end.
async fn reconnect_until_done(
    addr: SocketAddr,
    options: ReadOptions,
    history: Arc<History>,
    done: Arc<AtomicBool>,
) -> Client {
    let mut client = Client::new(&options);
    // The client leaves after another number of bytes each time, so that it also leaves within events.
    let mut amount = 7_919;
    loop {
        let last = done.load(Relaxed);
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(client.request().as_bytes()).await.unwrap();
        amount = amount * 48_271 % 16_381;
        let mut left = if last { usize::MAX } else { amount };
        while left > 0 && !(last && client.missing_summary(&history).is_none()) {
            let Ok(read) = tokio::time::timeout(Duration::from_secs(10), read_some(&mut socket, left)).await else {
                // Before the last submit there may be nothing to read.
                assert!(!last, "{:?} is missing, and nothing comes", client.missing_summary(&history));
                break;
            };
            left -= read.len();
            client.read(&history, &read);
        }
        if last {
            return client;
        }
    }
}

async fn read_some(socket: &mut (impl AsyncRead + Unpin), most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most.min(16 << 10)];
    let read = socket.read(&mut buffer).await.unwrap();
    assert_ne!(read, 0, "the server closed the connection");
    buffer.truncate(read);
    buffer
}

/// The number of notes. The quiet room gets fewer than its capacity.
const MESSAGES: u32 = 400_000;

const QUIET_ROOM: u8 = 1;

/// Clients reconnect over real sockets while another thread submits.
async fn resume_at_full_rate() {
    let store: Store<Note<4096, { 64 << 20 }>> = Store::new();
    // It is known beforehand what is submitted, but not what is kept at a time.
    let submitted = |number: u32| {
        let room = if number.is_multiple_of(128) { QUIET_ROOM } else { [0, 2, 3][number as usize % 3] };
        Submitted { room, latest: number.is_multiple_of(7) }
    };
    let history = Arc::new(History { notes: (1..=MESSAGES).map(submitted).collect(), kept: None });
    let (addr, server) = serve_on_socket(router(&store)).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for websocket in [false, true] {
        for (rooms, filtered, replay) in [
            (vec![], false, 3),
            (vec![QUIET_ROOM], false, 100),
            (vec![QUIET_ROOM], true, 0),
            (vec![0, 2, 3], false, 0),
            (vec![2], true, 3),
        ] {
            let options = ReadOptions { websocket, rooms, filtered, replay };
            clients.push(tokio::spawn(reconnect_until_done(addr, options, Arc::clone(&history), Arc::clone(&done))));
        }
    }
    let notes = Arc::clone(&history);
    let submits = tokio::task::spawn_blocking(move || {
        for (number, submitted) in (1..).zip(&notes.notes) {
            store.try_submit(Note { number, submitted: *submitted }).unwrap();
        }
        store
    });
    let store = submits.await.unwrap();
    done.store(true, Relaxed);
    for client in clients {
        let Client { options, connections, confirmed, gaps, .. } = client.await.unwrap();
        println!("{options:?}: {connections} connections, {} messages with their ids, {gaps} gaps", confirmed.len());
        if options.rooms == [QUIET_ROOM] {
            assert_eq!(gaps, 0, "nothing of the quiet room is trimmed");
        } else {
            assert!(connections > 1, "the client reconnected too seldom");
        }
    }
    server.abort();
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_reconnect_at_full_rate_resume_without_silent_loss() {
    let rounds = if std::env::var_os("TORNADOSE_LONG").is_some() { 40 } else { 1 };
    for _ in 0..rounds {
        resume_at_full_rate().await;
    }
}
