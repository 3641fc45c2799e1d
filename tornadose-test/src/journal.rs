//! What happened at one harness: its clients, each in its seat, and a line for everything they did and saw.
//! How a line reads, and in which order, is the business of `transcript`.

pub(crate) mod client_state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::entry::{Line, What};
use crate::journal::client_state::{Conduct, Ending, Seat};
use crate::runtime::test_run::{Clock, Run};
use crate::transcript::Recording;
use crate::transcript::mask::Mask;

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
    /// For everything that is printed.
    masks: Vec<Mask>,
    /// The server's ends of the clients' connections, as long as it holds them.
    held: Vec<(usize, Weak<()>)>,
}

impl Record {
    pub(crate) fn new(run: Arc<Run>) -> Arc<Self> {
        let record = Arc::new(Self { run, state: Mutex::default() });
        record.run.add(&record);
        record
    }

    /// A record that its run does not look at: whoever makes it does.
    pub(crate) fn apart(run: Arc<Run>) -> Arc<Self> {
        Arc::new(Self { run, state: Mutex::default() })
    }

    /// What a client has seen and done, in its own order.
    pub(crate) fn seen(&self, client: usize) -> Vec<What> {
        let state = self.lock();
        state.lines.iter().filter(|line| line.client == Some(client)).map(|line| line.what.clone()).collect()
    }

    /// A client's connection: the server has the other end of this.
    pub(crate) fn hold(&self, client: usize, held: Weak<()>) {
        let held_still = |(_, held): &(usize, Weak<()>)| held.strong_count() > 0;
        let mut state = self.lock();
        state.held.retain(held_still);
        state.held.push((client, held));
    }

    /// Seats a stream's client; a name that another stream's client has gets a number.
    pub(crate) fn seat(&self, name: &str, lenient: bool) -> usize {
        let mut state = self.lock();
        let taken = |wanted: &str| state.seats.iter().any(|seat| seat.streams && seat.name == wanted);
        let mut unique = name.to_owned();
        let mut nth = 1;
        while taken(&unique) {
            nth += 1;
            unique = format!("{name}-{nth}");
        }
        state.seats.push(Seat::of_stream(unique, lenient));
        state.seats.len() - 1
    }

    /// Seats a plain request, which may go out beside a stream of the same name.
    pub(crate) fn seat_beside(&self, name: &str) -> usize {
        let mut state = self.lock();
        state.seats.push(Seat::new(name.to_owned()));
        state.seats.len() - 1
    }

    /// Adds what a client did as the test told it, or saw.
    pub(crate) fn note(&self, client: usize, what: What) {
        let own = what.is_own();
        self.add(client, own, what);
    }

    /// Adds what a client did by itself.
    pub(crate) fn note_unasked(&self, client: usize, what: What) {
        self.add(client, false, what);
    }

    /// How a client's connection conducts its bytes.
    pub(crate) fn watch(&self, client: usize, conduct: Arc<dyn Conduct>) {
        self.with_seat(client, |seat| seat.conduct = Some(conduct));
    }

    /// Masks these values in everything that is printed.
    pub(crate) fn mask(&self, masks: Vec<Mask>) {
        self.lock().masks.extend(masks);
    }

    /// Adds what the test did to the server.
    pub(crate) fn note_server(&self, deed: String) {
        let line = self.run.line(None, true, What::Deed(deed));
        self.lock().lines.push(line);
    }

    fn add(&self, client: usize, own: bool, what: What) {
        let mut state = self.lock();
        let mut line = self.run.line(Some(client), own, what);
        let State { seats, lines, .. } = &mut *state;
        let opening = seats[client].opening(&line, lines);
        match (&mut line.what, opening) {
            // Said in the first frame, it is a part of the opening and has no line of its own.
            (What::Retry(said), Some(open)) => {
                seats[client].retry = Duration::from_millis(*said);
                if let What::Open { retry, .. } = &mut lines[open].what {
                    *retry = Some(*said);
                    return;
                }
            }
            (What::Comment { opening, .. }, Some(_)) => *opening = true,
            _ => {}
        }
        seats[client].see(&line, lines);
        if line.is_message() {
            seats[client].messages.push_back(lines.len());
        }
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
        let State { seats, lines, .. } = &mut *state;
        let line = &mut lines[seats[client].messages.pop_front()?];
        line.read = true;
        Some(line.what.clone())
    }

    /// How many messages a client has received that nobody has read.
    pub(crate) fn unread(&self, client: usize) -> usize {
        self.with_seat(client, |seat| seat.messages.len())
    }

    /// The lines of the first few of them.
    pub(crate) fn show_unread(&self, client: usize) -> String {
        let unread = self.recording(Some(client)).unread();
        unread.into_iter().take(SHOWN).fold(String::new(), |text, line| text + "\n    " + &line)
    }

    /// What is there to print, of all clients or of one.
    pub(crate) fn recording(&self, client: Option<usize>) -> Recording {
        let state = self.lock();
        let names = state.seats.iter().map(|seat| seat.name.clone()).collect();
        let (mut lines, masks) = (state.lines.clone(), state.masks.clone());
        drop(state);
        lines.extend(self.run.panics());
        if self.run.clock == Clock::Real {
            // How long something took is never the same.
            for line in &mut lines {
                line.at = Duration::ZERO;
            }
        }
        Recording::new(names, lines, client.map(|client| vec![client])).masked(masks)
    }

    /// The first `count` lines of this harness were printed in a transcript that was found right: they are read.
    pub(crate) fn mark_read(&self, clients: Option<&[usize]>, count: usize) {
        let mut state = self.lock();
        let State { seats, lines, .. } = &mut *state;
        for (number, seat) in seats.iter_mut().enumerate() {
            if clients.is_none_or(|clients| clients.contains(&number)) {
                let printed = seat.messages.partition_point(|message| *message < count);
                seat.messages.drain(..printed).for_each(|message| lines[message].read = true);
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
        let mut report = vec!["\nthe transcript so far:".to_owned()];
        if skipped > 0 {
            report.push(format!("    … {skipped} lines before"));
        }
        report.extend(lines[skipped..].iter().map(|line| format!("    {line}")));
        report.push("the clients:".to_owned());
        let clients = self.lock().seats.len();
        for client in 0..clients {
            let told = |seat: &mut Seat| (seat.name.clone(), seat.standing(), seat.messages.len());
            let (name, standing, unread) = self.with_seat(client, told);
            report.push(format!("    {name}: {standing}, {unread} unread"));
        }
        report.join("\n") + "\n"
    }

    /// What of this harness fails a test at its end.
    pub(crate) fn wrong_at_end(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.recording(None).unused().into_iter().collect();
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
            drop(state);
            let unused = self.with_seat(client, |seat| seat.conduct.as_ref().map(|conduct| conduct.unused()));
            for fault in unused.unwrap_or_default() {
                wrong.push(format!(
                    "`{name}`: the fault `{fault}` was never felt: its place did not come; remove it, or let more happen"
                ));
            }
            if self.is_held_alone(client) {
                wrong.push(format!(
                    "`{name}` has gone, and a task of the server still holds the connection: it has not noticed, or it \
                     does not end\n    give it the time that it needs, `app.advance(duration).await`, or open the client with \
                     `.lenient()`"
                ));
            }
            let count = self.unread(client);
            if count > 0 {
                let shown = self.show_unread(client);
                let messages = if count == 1 { "message that nobody has" } else { "messages that nobody has" };
                wrong.push(format!(
                    "`{name}` has received {count} {messages} read:{shown}\n    read them with `{name}.next().await`, \
                     compare them with `assert_transcript!`, or open the client with `.lenient()`"
                ));
            }
        }
        wrong
    }

    /// Whether a client is gone, and the server still holds a connection of it.
    fn is_held_alone(&self, client: usize) -> bool {
        let state = self.lock();
        let held = state.held.iter().any(|(of, held)| *of == client && held.strong_count() > 0);
        held && state.seats[client].gone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that has failed is still to be reported on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
