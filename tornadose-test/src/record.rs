//! What happened at one harness: its clients, each in its seat, and a line for everything they did and saw.
//! How a line reads, and in which order, is the business of `transcript`.

pub(crate) mod line;
pub(crate) mod seat;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::line::{Line, What};
use crate::record::seat::{Ending, Seat};
use crate::runtime::run::Run;
use crate::transcript::Recording;

/// So many lines of the transcript stand beneath a failure.
const SHOWN: usize = 20;

pub(crate) struct Record {
    pub(crate) run: Arc<Run>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seats: Vec<Seat>,
    lines: Vec<Line>,
}

impl Record {
    pub(crate) fn new(run: Arc<Run>) -> Arc<Self> {
        let record = Arc::new(Self { run, state: Mutex::default() });
        record.run.add(&record);
        record
    }

    /// Seats a stream's client; a name that is taken gets a number.
    pub(crate) fn seat(&self, name: &str, lenient: bool) -> usize {
        let mut state = self.lock();
        let taken = |wanted: &str| state.seats.iter().any(|seat| seat.name == wanted);
        let name = if taken(name) {
            let numbered = (2..).map(|n| format!("{name}-{n}")).find(|numbered| !taken(numbered));
            numbered.expect("there are more numbers than clients")
        } else {
            name.to_owned()
        };
        state.seats.push(Seat::new(name, lenient));
        state.seats.len() - 1
    }

    /// Seats a plain request, which may go out beside a stream of the same name.
    pub(crate) fn seat_beside(&self, name: &str) -> usize {
        let mut state = self.lock();
        state.seats.push(Seat::new(name.to_owned(), false));
        state.seats.len() - 1
    }

    /// Adds what a client did, or saw.
    pub(crate) fn note(&self, client: usize, what: What) {
        let mut state = self.lock();
        let own = what.is_own();
        let mut line = self.run.line(Some(client), own, what);
        let State { seats, lines } = &mut *state;
        let opening = seats[client].opening(&line, lines);
        match (&mut line.what, opening) {
            // Said in the first frame, it is a part of the opening and has no line of its own.
            (What::Retry(said), Some(open)) => {
                if let What::Open { retry, .. } = &mut lines[open].what {
                    *retry = Some(*said);
                    return;
                }
            }
            (What::Comment { opening, .. }, Some(_)) => *opening = true,
            _ => {}
        }
        seats[client].see(&line, lines);
        lines.push(line);
        seats[client].changed.notify_waiters();
    }

    /// Adds to the body of a client's plain answer.
    pub(crate) fn answer_more(&self, client: usize, bytes: &[u8]) {
        let mut state = self.lock();
        state.seats[client].body.extend_from_slice(bytes);
        let answer = state.lines.iter_mut().rev().filter(|line| line.client == Some(client));
        for line in answer {
            if let What::Answer { body, .. } = &mut line.what {
                body.extend_from_slice(bytes);
                return;
            }
        }
    }

    /// Adds how a client's connection has ended: with a line, when there is anything to say that has not been said.
    pub(crate) fn ended(&self, client: usize, what: Option<What>, ending: Ending) {
        if let Some(what) = what {
            self.note(client, what);
        }
        self.with_seat(client, |seat| {
            seat.ending.get_or_insert(ending);
            seat.changed.notify_waiters();
        });
    }

    pub(crate) fn with_seat<T>(&self, client: usize, look: impl FnOnce(&mut Seat) -> T) -> T {
        look(&mut self.lock().seats[client])
    }

    pub(crate) fn name(&self, client: usize) -> String {
        self.with_seat(client, |seat| seat.name.clone())
    }

    /// Takes the first message that this client has received and nobody has read.
    pub(crate) fn take(&self, client: usize) -> Option<What> {
        let mut state = self.lock();
        let line = state.lines.iter_mut().find(|line| line.client == Some(client) && line.is_unread())?;
        line.read = true;
        Some(line.what.clone())
    }

    /// How many messages a client has received that nobody has read, and the lines of the first few.
    pub(crate) fn unread(&self, client: usize) -> (usize, String) {
        let recording = self.recording(Some(client));
        let unread = recording.unread();
        let count = unread.len();
        (count, unread.into_iter().take(SHOWN).fold(String::new(), |text, line| text + "\n    " + &line))
    }

    /// What is there to print, of all clients or of one.
    pub(crate) fn recording(&self, client: Option<usize>) -> Recording {
        let state = self.lock();
        let names = state.seats.iter().map(|seat| seat.name.clone()).collect();
        let mut lines: Vec<Line> = state.lines.clone();
        drop(state);
        lines.extend(self.run.panics());
        Recording::new(names, lines, client)
    }

    /// The first `count` lines of this harness were printed in a transcript that was found right: they are read.
    pub(crate) fn mark_read(&self, client: Option<usize>, count: usize) {
        let mut state = self.lock();
        for line in state.lines.iter_mut().take(count) {
            if client.is_none() || line.client == client {
                line.read = true;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// The last of the transcript, and where each client stands.
    pub(crate) fn report(&self) -> String {
        let text = self.recording(None).to_string();
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return String::new();
        }
        let skipped = lines.len().saturating_sub(SHOWN);
        let mut report = String::from("\nthe transcript so far:\n");
        if skipped > 0 {
            report += &format!("    … {skipped} lines before\n");
        }
        for line in &lines[skipped..] {
            report += &format!("    {line}\n");
        }
        report += "the clients:\n";
        let clients = self.lock().seats.len();
        for client in 0..clients {
            let (unread, _) = self.unread(client);
            let (name, standing) = self.with_seat(client, |seat| (seat.name.clone(), seat.standing()));
            report += &format!("    {name}: {standing}, {unread} unread\n");
        }
        report
    }

    /// What of this harness fails a test at its end.
    pub(crate) fn wrong_at_end(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let clients = self.lock().seats.len();
        for client in 0..clients {
            let (name, lenient) = self.with_seat(client, |seat| (seat.name.clone(), seat.lenient));
            if lenient {
                continue;
            }
            let state = self.lock();
            for line in state.lines.iter().filter(|line| line.client == Some(client)) {
                if let What::Violation(violation) = &line.what {
                    wrong.push(format!("the server broke the protocol towards `{name}`: {violation}"));
                }
            }
            let overlooked = state.lines.iter().any(|line| line.client == Some(client) && line.is_unread());
            drop(state);
            if overlooked {
                let (count, shown) = self.unread(client);
                let messages = if count == 1 { "message that nobody has" } else { "messages that nobody has" };
                wrong.push(format!(
                    "`{name}` has received {count} {messages} read:{shown}\n    read them with `{name}.next().await`, \
                     compare them with `assert_transcript!`, or open the client with `.lenient()`"
                ));
            }
        }
        wrong
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that has failed is still to be reported on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
