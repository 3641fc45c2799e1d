//! A stream that is cut at every one of its bytes, and resumed: the proof that nothing is lost and nothing comes twice.

use std::panic::Location;
use std::pin::Pin;

use salvo::Service;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::client::faults::Cut;
use crate::entry::{Event, Severed, What};
use crate::harness::Harness;
use crate::runtime::{current, settle};
use crate::text::{message, one_line};
use crate::transport::Transport;

/// How long is waited, in virtual time, until the client that was cut has what it is owed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream longer than this has more bytes than are cut in reasonable time.
const LONGEST: usize = 64 << 10;

/// Cuts a stream at every one of its bytes, lets the client come back, and fails unless it has then got what a client
/// without a cut has got: everything once, in order.
///
/// `make` is called for every cut: it makes a fresh service, and what the scenario needs to make something happen on it,
/// a store for example. Two clients open the path; one of them is cut. Then the scenario runs, and when it is over and the
/// client has come back, with its last id, the two are compared. A few hundred cuts take about a second.
///
/// What has come behind the last id before the cut may come again, as the page knows nothing of it. A client that is cut
/// before it has any id comes back as a newcomer; then nothing that it gets may be doubled or out of order. An answer
/// that names a gap counts as a loss, so keep scenarios within what the service keeps. Of values of which only the newest
/// matters, those of a `latest` store for example, some are meant to be lost while the client is away: let the scenario
/// sleep between them, for longer than the client takes to come back.
///
/// Before the `.await` it can be told [`over`](ResumeAtEveryByte::over) what to go, and [`with`](ResumeAtEveryByte::with)
/// what kind of client. It returns how many cuts there were.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use salvo::prelude::*;
/// # use tokio::sync::watch;
/// # /// Numbers from 1 up, each its own id.
/// # #[derive(Clone)]
/// # struct Numbers(Arc<watch::Sender<u32>>);
/// # impl Numbers {
/// #     fn new() -> Self { Self(Arc::new(watch::channel(0).0)) }
/// #     fn count_to(&self, number: u32) { self.0.send_replace(number); }
/// # }
/// # struct Serve(Numbers);
/// # #[async_trait]
/// # impl Handler for Serve {
/// #     async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
/// #         let mut sent: u32 = req.header("last-event-id").unwrap_or(0);
/// #         let mut newest = self.0.0.subscribe();
/// #         res.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
/// #         let mut stream = res.channel();
/// #         tokio::spawn(async move {
/// #             loop {
/// #                 let number = *newest.borrow_and_update();
/// #                 while sent < number {
/// #                     sent += 1;
/// #                     if stream.send_data(format!("id: {sent}\ndata: {sent}\n\n")).await.is_err() { return }
/// #                 }
/// #                 if newest.changed().await.is_err() { return }
/// #             }
/// #         });
/// #     }
/// # }
/// use tornadose_test::resume_at_every_byte;
/// # tornadose_test::run(async {
/// let counting = || {
///     let numbers = Numbers::new();
///     (Router::with_path("count").get(Serve(numbers.clone())), numbers)
/// };
/// let cuts = resume_at_every_byte(counting, "/count", async |numbers| numbers.count_to(5)).await;
/// assert_eq!(cuts, 5 * "id: 1\ndata: 1\n\n".len() + 1);
/// # });
/// ```
///
/// # Panics
///
/// When a cut loses, doubles or reorders something, with the number of such cuts and the transcript of the first; when
/// nothing carries an id; when the client does not come back; when the stream is longer than 64 KiB.
#[track_caller]
pub fn resume_at_every_byte<S, C, M, F>(make: M, path: impl Into<String>, scenario: F) -> ResumeAtEveryByte<M, F>
where
    S: Into<Service>,
    M: Fn() -> (S, C) + 'static,
    F: AsyncFn(C) + 'static,
{
    let (path, at) = (path.into(), Location::caller());
    ResumeAtEveryByte { make, path, scenario, over: Transport::Sse, dress: Box::new(|client| client), at }
}

/// A proof that is about to be made, from [`resume_at_every_byte`]: `.await` makes it.
#[must_use = "nothing is proved before the `.await`"]
pub struct ResumeAtEveryByte<M, F> {
    make: M,
    path: String,
    scenario: F,
    over: Transport,
    dress: Box<dyn Fn(ClientBuilder) -> ClientBuilder>,
    at: &'static Location<'static>,
}

/// What came of one cut.
enum Outcome {
    /// The stream was over before the place of the cut.
    Uncut,
    Right {
        with_id: bool,
    },
    Wrong(String),
}

impl<M, F> ResumeAtEveryByte<M, F> {
    /// Over this transport; over a WebSocket the client comes back with the query parameter `last_event_id`. See
    /// [`resume_at_every_byte`].
    pub fn over(mut self, over: Transport) -> Self {
        self.over = over;
        self
    }

    /// With clients that are told more before they connect: `.with(|client| client.cookie("session", 7))`. See
    /// [`resume_at_every_byte`].
    pub fn with(mut self, dress: impl Fn(ClientBuilder) -> ClientBuilder + 'static) -> Self {
        self.dress = Box::new(dress);
        self
    }

    async fn prove<S, C>(self) -> usize
    where
        S: Into<Service>,
        M: Fn() -> (S, C),
        F: AsyncFn(C),
    {
        let (mut first, mut wrong, mut with_id, mut cuts) = (None, 0, 0, 0);
        loop {
            match self.cut_at(cuts).await {
                Outcome::Uncut => break,
                Outcome::Right { with_id: true } => with_id += 1,
                Outcome::Right { with_id: false } => {}
                Outcome::Wrong(what) => {
                    wrong += 1;
                    first.get_or_insert((cuts, what));
                }
            }
            cuts += 1;
            if cuts > LONGEST {
                self.fail("is longer than 64 KiB: choose a shorter scenario");
            }
        }
        if let Some((byte, what)) = first {
            self.fail(&format!("does not resume: {wrong} of {cuts} cuts are felt. The first, at byte {byte}:{what}"));
        }
        if with_id == 0 {
            self.fail("cannot be resumed: nothing in it carries an id");
        }
        cuts
    }

    async fn cut_at<S, C>(&self, byte: usize) -> Outcome
    where
        S: Into<Service>,
        M: Fn() -> (S, C),
        F: AsyncFn(C),
    {
        let (service, context) = (self.make)();
        let app = Harness::apart(service);
        let uncut = (self.dress)(app.client("uncut")).once().open(self.over, &self.path).await;
        let cut =
            (self.dress)(app.client("cut")).reconnects().fault(Cut::at_byte(byte)).open(self.over, &self.path).await;
        for client in [&uncut, &cut] {
            if !matches!(client.look(|seat| seat.head.as_ref().map(|(status, _)| *status)), Some(200 | 101)) {
                self.fail(&format!("does not open:\n{}", app.recording()));
            }
        }
        (self.scenario)(context).await;
        settle().await;
        let outcome = if seen(&cut).iter().any(|what| matches!(what, What::Cut(Severed::Byte(_)))) {
            compare(&uncut, &cut, &app).await
        } else {
            Outcome::Uncut
        };
        cut.close().await;
        uncut.close().await;
        app.server().stop().await;
        outcome
    }

    fn fail(&self, wrong: &str) -> ! {
        current().fail(Some(self.at), &format!("the stream at `{}` over {} {wrong}", self.path, self.over))
    }
}

impl<S, C, M, F> IntoFuture for ResumeAtEveryByte<M, F>
where
    S: Into<Service> + 'static,
    C: 'static,
    M: Fn() -> (S, C) + 'static,
    F: AsyncFn(C) + 'static,
{
    type Output = usize;
    type IntoFuture = Pin<Box<dyn Future<Output = usize>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.prove())
    }
}

async fn compare(uncut: &Client, cut: &Client, app: &Harness) -> Outcome {
    if let Some(due) = cut.look(|seat| seat.due) {
        current().allow(due.saturating_duration_since(Instant::now()));
        sleep_until(due).await;
        settle().await;
    }
    current().allow(PATIENCE);
    for _ in 0..PATIENCE.as_secs() {
        if cut.look(|seat| seat.returns > 0) && difference(&seen(uncut), &seen(cut)).is_none() {
            break;
        }
        // A service may take its time before it goes on.
        sleep(Duration::from_secs(1)).await;
        settle().await;
    }
    let (whole, cut) = (seen(uncut), seen(cut));
    match difference(&whole, &cut) {
        None => Outcome::Right { with_id: before_the_cut(&cut).1 },
        Some(difference) => {
            let transcript = app.recording().to_string();
            let transcript: Vec<&str> = transcript.lines().collect();
            Outcome::Wrong(format!("{difference}\nits transcript:\n    {}\n", transcript.join("\n    ")))
        }
    }
}

/// What a client has seen so far.
fn seen(client: &Client) -> Vec<What> {
    client.seat().record.seen(client.seat().number)
}

/// The messages before the cut that the client's id stands for, and whether it has one; those behind it may come again.
fn before_the_cut(seen: &[What]) -> (Vec<String>, bool) {
    let (mut settled, mut loose, mut with_id) = (Vec::new(), Vec::new(), false);
    for what in seen.iter().take_while(|what| !matches!(what, What::Cut(_))) {
        loose.extend(shown(what));
        if matches!(what, What::Position(_) | What::Event(Event { id: Some(_), .. })) {
            settled.append(&mut loose);
            with_id = true;
        }
    }
    (settled, with_id)
}

/// What is wrong with what the client that was cut has seen, if anything is.
fn difference(whole: &[What], cut: &[What]) -> Option<String> {
    let expected: Vec<String> = whole.iter().filter_map(shown).collect();
    let (mut got, with_id) = before_the_cut(cut);
    got.extend(cut.iter().skip_while(|what| !matches!(what, What::Cut(_))).filter_map(shown));
    if let Some(What::Violation(violation)) = cut.iter().find(|what| matches!(what, What::Violation(_))) {
        return Some(format!("\n    {violation}"));
    }
    let right = if with_id { got == expected } else { is_within(&got, &expected) };
    if right {
        return None;
    }
    let missing =
        without(&expected, &got).into_iter().filter(|_| with_id).map(|message| format!("\n    lost: {message}"));
    let more = without(&got, &expected);
    let known = |message: &String| if expected.contains(message) { "doubled" } else { "not for it" };
    let more = more.iter().map(|message| format!("\n    {}: {message}", known(message)));
    let difference: String = missing.chain(more).collect();
    Some(if difference.is_empty() { "\n    everything came, and in another order".into() } else { difference })
}

/// What there is of the first that there is not of the second.
fn without(first: &[String], second: &[String]) -> Vec<String> {
    let mut second = second.to_vec();
    let mut left = Vec::new();
    for message in first {
        match second.iter().position(|other| other == message) {
            Some(found) => drop(second.remove(found)),
            None => left.push(message.clone()),
        }
    }
    left
}

/// Whether a few are among all, in their order.
fn is_within(few: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    few.iter().all(|message| all.any(|other| other == message))
}

/// A message without its id, which a resumed event need not have.
fn shown(what: &What) -> Option<String> {
    match what {
        What::Event(Event { name, data, .. }) => Some(format!("{name} {}", one_line(data))),
        What::Text(text) => Some(message(text)),
        What::Binary(bytes) => Some(format!("{} binary bytes, {bytes:?}", bytes.len())),
        _ => None,
    }
}
