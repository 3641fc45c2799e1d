//! Processes that decode what they have readers for.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tornadose::prelude::*;

use crate::common::until;
use crate::page::free_port;
use crate::server::Server;

/// The messages as one process knows them.
mod plain {
    use tornadose::prelude::*;

    #[store(queue, channel = "said")]
    #[derive(Serialize, Deserialize)]
    pub(super) struct Said {
        #[key]
        pub(super) room: u32,
        pub(super) text: String,
    }

    #[subscriber(sse, store = Said, replay = 1000, authorize = public)]
    pub(super) struct Room {
        #[key]
        #[param]
        room: u32,
    }

    #[subscriber(sse, store = Said, all_keys, replay = 1000)]
    pub(super) struct All;
}

/// The same messages in a process that counts how many it parses.
mod counted {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tornadose::prelude::*;

    pub(super) static PARSED: AtomicUsize = AtomicUsize::new(0);

    #[derive(Deserialize)]
    struct Parsed {
        room: u32,
        text: String,
    }

    #[store(queue, channel = "said")]
    #[derive(Serialize, Deserialize)]
    #[serde(from = "Parsed")]
    pub(super) struct Said {
        #[key]
        pub(super) room: u32,
        text: String,
    }

    impl From<Parsed> for Said {
        fn from(Parsed { room, text }: Parsed) -> Self {
            PARSED.fetch_add(1, Ordering::Relaxed);
            Self { room, text }
        }
    }

    #[subscriber(sse, store = Said, replay = 1000, authorize = public)]
    pub(super) struct Room {
        #[key]
        #[param]
        room: u32,
    }

    #[subscriber(sse, store = Said, all_keys, replay = 1000)]
    pub(super) struct All;
}

pub(crate) async fn serve(router: Router) -> u16 {
    let port = free_port();
    let acceptor = tornadose::listen(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(tornadose::serve_on(acceptor, router));
    port
}

/// Reads so many events of a stream: the id, if it has one, and the data.
pub(crate) async fn events(port: u16, path: &str, last_id: &str, count: usize) -> Vec<(Option<String>, String)> {
    let read = async {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {last_id}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut events, mut id, mut data) = (Vec::new(), None, None);
        while events.len() < count {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = Some(text.to_owned()),
                Some(("data", text)) => data = Some(text.to_owned()),
                // The lines that frame the chunks end with CR and LF.
                _ if line == "\n" => {
                    let id = id.take();
                    events.extend(data.take().map(|data| (id, data)));
                }
                _ => {}
            }
        }
        events
    };
    timeout(Duration::from_secs(60), read).await.expect("not all events arrived")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: ./test runs it"]
async fn a_process_parses_what_it_has_readers_for_and_a_later_reader_gets_everything() {
    let server = Server::start();
    let eager = Store::<plain::Said>::redis(server.url()).await.unwrap();
    let lazy = Store::<counted::Said>::redis(server.url()).await.unwrap();
    let _reader = eager.subscribe();
    let sender = Store::<plain::Said>::redis(server.url()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..200 {
        // Some are longer than a page, which brings them in parts.
        let text = if number % 50 == 7 { "x".repeat(300_000) } else { format!("{number}") };
        ids.push(sender.submit(plain::Said { room: number % 10, text }).await.unwrap());
    }
    until("everything has arrived", || eager.head() == ids[199] && lazy.head() == ids[199]).await;
    let parsed = || counted::PARSED.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(parsed(), 1, "the first of its sender");

    let router = Router::new().push(Router::with_path("all").get(plain::All::handler(&eager)));
    let of_eager = serve(router.push(Router::with_path("{room}").get(plain::Room::handler(&eager)))).await;
    let router = Router::new().push(Router::with_path("all").get(counted::All::handler(&lazy)));
    let of_lazy = serve(router.push(Router::with_path("{room}").get(counted::Room::handler(&lazy)))).await;

    // A new client, and one that resumes where another process has left off.
    let resumed = ids[102].to_string();
    assert_eq!(events(of_lazy, "/3", "", 20).await, events(of_eager, "/3", "", 20).await);
    assert_eq!(parsed(), 1 + 20);
    let seven = events(of_lazy, "/7", &resumed, 10).await;
    assert_eq!(seven, events(of_eager, "/7", &resumed, 10).await);
    assert!(seven.iter().all(|(id, data)| id.is_some() && !data.contains("reason")), "{seven:?}");
    let of_seven = ids.iter().skip(7).step_by(10).map(|id| Some(id.to_string()));
    assert_eq!(seven.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), of_seven.skip(10).collect::<Vec<_>>());
    assert_eq!(parsed(), 1 + 20 + 20);
    // A reader of everything.
    assert_eq!(events(of_lazy, "/all", "", 200).await, events(of_eager, "/all", "", 200).await);
    assert_eq!(parsed(), 200);
    // A process that starts has the same.
    let started = Store::<counted::Said>::redis(server.url()).await.unwrap();
    assert_eq!((parsed(), started.head()), (201, lazy.head()));
    let of_started = serve(Router::with_path("all").get(counted::All::handler(&started))).await;
    assert_eq!(events(of_started, "/all", "", 200).await, events(of_eager, "/all", "", 200).await);
}
