//! What a reload of a proxy's configuration does to open streams, and how long the processes of before stay.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::HARD_STOP;
use super::app::{App, KEEP_ALIVE, MAX_AGE};
use super::checks::Leaving;
use super::client::{Client, Http2Client, UPGRADE};
use super::proxy::{AfterReload, Kind, Proxy, snippet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Sse,
    SseOverHttp2,
    WebSocket,
}

/// The streams at `/aging` end by `max_age`, before the proxy would cut them.
const PAGES: [(&str, Transport); 5] = [
    ("/lines", Transport::Sse),
    ("/lines", Transport::SseOverHttp2),
    ("/lines", Transport::WebSocket),
    ("/aging", Transport::Sse),
    ("/aging", Transport::WebSocket),
];

const THE_END: &str = "the end";

/// Between what a proxy should do and that it was seen.
const TOLERANCE: Duration = Duration::from_millis(1500);

/// A page that returns whenever its stream ends, and what it has read.
struct Page {
    path: &'static str,
    transport: Transport,
    lines: Vec<String>,
    last_event_id: String,
    ends: Vec<Instant>,
}

impl Page {
    fn new((path, transport): (&'static str, Transport)) -> Self {
        Self { path, transport, lines: Vec::new(), last_event_id: String::new(), ends: Vec::new() }
    }

    /// Reads to the last line of all.
    async fn read_all(mut self, port: u16) -> Self {
        while self.lines.last().is_none_or(|line| line != THE_END) {
            let path = format!("{}?last_event_id={}", self.path, self.last_event_id);
            let text = match self.transport {
                Transport::Sse => {
                    let mut client = Client::get(port, &path, "").await;
                    client.read_until_gone_or(THE_END).await;
                    client.text()
                }
                Transport::SseOverHttp2 => {
                    let mut client = Http2Client::get(port, &path).await;
                    client.read_until_gone_or(THE_END).await;
                    client.text()
                }
                Transport::WebSocket => {
                    let mut client = Client::get(port, &path, UPGRADE).await;
                    client.read_until_gone_or(THE_END).await;
                    client.text()
                }
            };
            self.ends.push(Instant::now());
            let [id, data] = match self.transport {
                Transport::Sse | Transport::SseOverHttp2 => ["id: ", "data: \""],
                Transport::WebSocket => ["\"id\":\"", "\"data\":\""],
            };
            let values = |name| text.split(name).skip(1).filter_map(|rest| rest.split(['"', '\n']).next());
            self.lines.extend(values(data).map(str::to_owned));
            if let Some(id) = values(id).last() {
                id.clone_into(&mut self.last_event_id);
            }
        }
        // It has left by itself.
        self.ends.pop();
        self
    }
}

/// Reloads the proxy while pages read, with a configuration that leads to another server of the same store.
pub(crate) async fn check_reload(kind: Kind, leaving: Leaving) {
    let name = kind.program;
    let (old, text) = (App::start().await, snippet(kind.language));
    let new = App::start_with(old.store().clone()).await;
    let Some(mut proxy) = Proxy::start(kind, &text, old.port()).await else { return };
    let port = proxy.port();
    old.submit("line 0").await;
    let pages = PAGES.map(|page| tokio::spawn(Page::new(page).read_all(port)));
    old.wait_for_readers(PAGES.len()).await;
    assert!(leads_to(&proxy, &old).await);

    let reloading = async {
        sleep(Duration::from_secs(1)).await;
        let reloaded = Instant::now();
        reload(&mut proxy, &text, &new).await;
        sleep_until(reloaded + HARD_STOP - TOLERANCE).await;
        let before = proxy.old_processes();
        sleep_until(reloaded + HARD_STOP + TOLERANCE).await;
        println!("{name}: {before} old processes, and {} after the hard stop", proxy.old_processes());
        assert_eq!(before > 0, kind.after_reload != AfterReload::SameProcess);
        let is_held = kind.after_reload == AfterReload::OldProcess { has_hard_stop: false };
        assert_eq!(proxy.old_processes() > 0, is_held, "{name}: old processes after the hard stop");
        reloaded
    };
    let submitting = async {
        for number in 1..=250 {
            old.submit(&format!("line {number}")).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (reloaded, ()) = tokio::join!(reloading, submitting);
    old.submit(THE_END).await;
    let expected: Vec<String> = (0..=250).map(|number| format!("line {number}")).chain([THE_END.to_owned()]).collect();
    for page in pages {
        let page = page.await.unwrap();
        assert_eq!(page.lines, expected, "{name}: {}, {:?}", page.path, page.transport);
        check_ends(kind, &page, reloaded);
    }
    old_processes_end(name, leaving, &mut proxy, &text, &old).await;
}

/// Asserts that the streams of a page have ended when they should, and only then.
fn check_ends(kind: Kind, page: &Page, reloaded: Instant) {
    let ends: Vec<Duration> = page.ends.iter().map(|end| *end - reloaded).collect();
    println!("{}: {}, {:?}: ends after {ends:.1?}", kind.program, page.path, page.transport);
    let first = match (kind.after_reload, page.transport) {
        (AfterReload::SameProcess, Transport::WebSocket) => Some(Duration::ZERO),
        _ if page.path == "/aging" => Some(MAX_AGE),
        (AfterReload::OldProcess { has_hard_stop: true }, _) => Some(HARD_STOP),
        _ => None,
    };
    let is_right = match (first, ends.first()) {
        (Some(expected), Some(end)) => expected.abs_diff(*end) < TOLERANCE + MAX_AGE / 10,
        (first, end) => first.is_none() && end.is_none(),
    };
    // A stream at `/lines` that was opened after the reload stays.
    assert!(is_right && (page.path == "/aging" || ends.len() < 2), "{}: {ends:?}, not {first:?}", kind.program);
}

/// Asserts that the processes of before a reload end soon after their last stream.
async fn old_processes_end(name: &str, leaving: Leaving, proxy: &mut Proxy, text: &str, app: &App) {
    let mut page = Client::get(proxy.port(), "/lines", "").await;
    page.read_until(THE_END).await;
    reload(proxy, text, app).await;
    drop(page);
    let start = Instant::now();
    let at_most = match leaving {
        Leaving::AtOnce => TOLERANCE,
        Leaving::AtTheNextKeepAlives => TOLERANCE + KEEP_ALIVE * 3,
    };
    while proxy.old_processes() > 0 {
        assert!(start.elapsed() < at_most, "{name}: {} old processes", proxy.old_processes());
        sleep(Duration::from_millis(10)).await;
    }
    println!("{name}: no old process {} ms after the last stream", start.elapsed().as_millis());
}

async fn reload(proxy: &mut Proxy, snippet: &str, app: &App) {
    let start = Instant::now();
    proxy.reload(snippet, app.port());
    while !leads_to(proxy, app).await {
        assert!(start.elapsed() < Duration::from_secs(5), "new requests reach the old server");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a new request reaches this server.
async fn leads_to(proxy: &Proxy, app: &App) -> bool {
    let mut client = Client::get(proxy.port(), "/port", "connection: close\r\n").await;
    client.read_until("port ").await;
    client.read_to_end().await;
    client.text().contains(&format!("port {}", app.port()))
}

/// Reloads it, each time with one more stream open, until a request gets no response. Returns how many streams are open.
pub(crate) async fn reloads_until_nothing_is_served(kind: Kind, at_most: usize) -> Option<usize> {
    let app = App::start().await;
    app.submit("line").await;
    let text = snippet(kind.language);
    let mut proxy = Proxy::start(kind, &text, app.port()).await?;
    let mut pages = Vec::new();
    while pages.len() < at_most {
        let opening = async {
            let mut page = Client::get(proxy.port(), "/lines", "").await;
            page.read_until("data: \"line\"").await;
            page
        };
        let Ok(page) = timeout(Duration::from_secs(5), opening).await else { break };
        pages.push(page);
        proxy.reload(&text, app.port());
        // It ignores a reload while one is under way.
        sleep(Duration::from_secs(1)).await;
    }
    println!("{}: {} streams, with a reload after each", kind.program, pages.len());
    Some(pages.len())
}
