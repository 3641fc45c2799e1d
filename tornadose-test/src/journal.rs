//! The journal of one harness: the state of its clients, and an entry for everything that they did and observed.
//! The module `transcript` decides how an entry is printed, and in which order.

pub(crate) mod client_state;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::entry::{Entry, Event, Happening};
use crate::journal::client_state::{ClientState, Ending, PipeStatus};
use crate::runtime::config::ClockMode;
use crate::runtime::test_run::{Shutdown, TestRun};
use crate::transcript::Recording;
use crate::transcript::mask::Mask;

pub(crate) struct Journal {
    pub(crate) run: Arc<TestRun>,
    /// Whether its run reports on it and checks it.
    is_checked: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: Vec<ClientState>,
    entries: Vec<Entry>,
    /// The masks of everything that is printed.
    masks: Vec<Mask>,
    /// Whether the test has stopped the server, and has not started it again.
    server_stopped: bool,
    /// The clients' connections that the server still holds: each dies with the server's end.
    connections: Vec<(usize, Weak<()>)>,
    /// The actions that end the clients and the server.
    shutdown: Vec<Shutdown>,
}

impl Journal {
    /// Makes a journal that is reported on and checked at the end of its run.
    pub(crate) fn new(run: Arc<TestRun>) -> Arc<Self> {
        let journal = Arc::new(Self { run, is_checked: true, state: Mutex::default() });
        journal.run.add_check(journal.clone());
        journal
    }

    /// Makes a journal that its run neither reports on nor checks.
    pub(crate) fn unchecked(run: Arc<TestRun>) -> Arc<Self> {
        Arc::new(Self { run, is_checked: false, state: Mutex::default() })
    }

    /// Adds an action that ends a client or the server. Only a run that checks the journal takes it.
    pub(crate) fn add_shutdown(&self, action: impl FnOnce() + Send + 'static) {
        if self.is_checked {
            self.lock().shutdown.push(Box::new(action));
        }
    }

    fn take_shutdown(&self) -> Vec<Shutdown> {
        std::mem::take(&mut self.lock().shutdown)
    }

    /// Returns everything that a client has done and observed, in its own order.
    pub(crate) fn happenings(&self, client: usize) -> Vec<Happening> {
        let state = self.lock();
        let entries = state.entries.iter().filter(|entry| entry.client == Some(client));
        entries.map(|entry| entry.happening.clone()).collect()
    }

    /// Tracks a client's connection until the server drops its end, which `server_end` observes.
    pub(crate) fn track_connection(&self, client: usize, server_end: Weak<()>) {
        let is_held = |(_, server_end): &(usize, Weak<()>)| server_end.strong_count() > 0;
        let mut state = self.lock();
        state.connections.retain(is_held);
        state.connections.push((client, server_end));
    }

    /// Adds the client of a stream. It gets a number if another stream's client has its name.
    pub(crate) fn add_stream_client(&self, name: &str, lenient: bool) -> usize {
        let mut state = self.lock();
        let is_taken = |name: &str| state.clients.iter().any(|client| client.is_stream && client.name == name);
        let mut unique = name.to_owned();
        let mut nth = 1;
        while is_taken(&unique) {
            nth += 1;
            unique = format!("{name}-{nth}");
        }
        state.clients.push(ClientState::for_stream(unique, lenient));
        state.clients.len() - 1
    }

    /// Adds the client of a plain request, which may share its name with a stream's client.
    pub(crate) fn add_request_client(&self, name: &str, lenient: bool) -> usize {
        let mut state = self.lock();
        state.clients.push(ClientState::for_request(name.to_owned(), lenient));
        state.clients.len() - 1
    }

    /// Records an action of the test on a client, or an observation of the client.
    pub(crate) fn record(&self, client: usize, happening: Happening) {
        let by_test = happening.is_by_test();
        self.push(client, by_test, happening);
    }

    /// Records an action that a client took automatically.
    pub(crate) fn record_automatic(&self, client: usize, happening: Happening) {
        self.push(client, false, happening);
    }

    /// Records an action of the test on the server, after which the server is stopped or not.
    pub(crate) fn record_server_action(&self, action: String, server_stopped: bool) {
        let entry = self.run.entry(None, true, Happening::Action(action));
        let mut state = self.lock();
        state.entries.push(entry);
        state.server_stopped = server_stopped;
    }

    /// Records the end of a client's connection; without an entry if the end has one already.
    pub(crate) fn record_end(&self, client: usize, happening: Option<Happening>, ending: Ending) {
        if let Some(happening) = happening {
            self.record(client, happening);
        }
        self.with_client(client, |client| {
            client.ending.get_or_insert(ending);
            client.changed.notify_waiters();
        });
    }

    /// Sets the source of the status of a client's connection, and of its unused faults.
    pub(crate) fn set_pipe_status(&self, client: usize, pipe_status: Arc<dyn PipeStatus>) {
        self.with_client(client, |client| client.pipe_status = Some(pipe_status));
    }

    /// Adds masks to everything that is printed.
    pub(crate) fn add_masks(&self, masks: Vec<Mask>) {
        self.lock().masks.extend(masks);
    }

    fn push(&self, client: usize, by_test: bool, happening: Happening) {
        let mut state = self.lock();
        let mut entry = self.run.entry(Some(client), by_test, happening);
        let State { clients, entries, server_stopped, .. } = &mut *state;
        let client = &mut clients[client];
        let open_entry = client.open_entry(&entry, entries);
        match (&mut entry.happening, open_entry) {
            // A `retry` in the first frame belongs to the stream's opening and has no entry of its own.
            (Happening::Retry(received), Some(open)) => {
                client.retry = Duration::from_millis(*received);
                if let Happening::Open { retry, .. } = &mut entries[open].happening {
                    *retry = Some(*received);
                    return;
                }
            }
            (Happening::Comment { opening, .. }, Some(_)) => *opening = true,
            _ => {}
        }
        client.apply(&entry, entries.len());
        if entry.is_message() {
            client.unread.push_back(entries.len());
        }
        // A stopped server ends every stream, and refuses those that reconnect: that is the test's own doing.
        let is_refused_anew = matches!(entry.happening, Happening::Refused) && client.is_first_connection();
        if entry.is_outcome() {
            entry.read = *server_stopped && !is_refused_anew;
            client.unseen.extend((!entry.read).then_some(entries.len()));
        }
        entries.push(entry);
        client.changed.notify_waiters();
    }

    /// Appends to the body of a client's plain response.
    pub(crate) fn append_body(&self, client: usize, bytes: &[u8]) {
        let mut state = self.lock();
        state.clients[client].body.extend_from_slice(bytes);
        let entries = state.entries.iter_mut().rev().filter(|entry| entry.client == Some(client));
        for entry in entries {
            if let Happening::Response { body, .. } = &mut entry.happening {
                body.extend_from_slice(bytes);
                return;
            }
        }
    }

    pub(crate) fn with_client<T>(&self, client: usize, f: impl FnOnce(&mut ClientState) -> T) -> T {
        f(&mut self.lock().clients[client])
    }

    pub(crate) fn name(&self, client: usize) -> String {
        self.with_client(client, |client| client.name.clone())
    }

    /// Takes the first unread message of a client. Answers that an [`Ask`](crate::Ask) waits for are not messages here.
    pub(crate) fn take_message(&self, client: usize) -> Option<Happening> {
        let mut state = self.lock();
        let State { clients, entries, .. } = &mut *state;
        let client = &mut clients[client];
        let is_awaited = |message: &usize| client.awaits_answer(&entries[*message]);
        let nth = client.unread.iter().position(|message| !is_awaited(message))?;
        let message = client.unread.remove(nth)?;
        // Who reads a message of a later connection has noticed that the earlier one ended.
        client.see_outcomes(entries, message);
        let entry = &mut entries[message];
        entry.read = true;
        Some(entry.happening.clone())
    }

    /// Takes the answer to a client's ask, also one that a transcript has shown.
    pub(crate) fn take_answer(&self, client: usize, number: u64) -> Option<Event> {
        let mut state = self.lock();
        let State { clients, entries, .. } = &mut *state;
        let own = entries.iter_mut().enumerate().filter(|(_, entry)| entry.client == Some(client));
        let since_asked = own.skip_while(
            |(_, entry)| !matches!(&entry.happening, Happening::SentAsk { number: sent, .. } if *sent == number),
        );
        for (nth, entry) in since_asked {
            if let Happening::Event(event) = &entry.happening
                && event.ask == Some(number)
            {
                entry.read = true;
                let answer = event.clone();
                clients[client].unread.retain(|unread| *unread != nth);
                clients[client].awaited_answers.remove(&number);
                return Some(answer);
            }
        }
        None
    }

    /// Marks the answers and ends of a client so far as seen by the test.
    pub(crate) fn mark_seen(&self, client: usize) {
        let mut state = self.lock();
        let State { clients, entries, .. } = &mut *state;
        let count = entries.len();
        clients[client].see_outcomes(entries, count);
    }

    /// Returns the number of a client's unread messages.
    pub(crate) fn unread_count(&self, client: usize) -> usize {
        self.with_client(client, |client| client.unread.len())
    }

    /// Returns the recording of all clients, or of one.
    pub(crate) fn recording(&self, client: Option<usize>) -> Recording {
        let state = self.lock();
        let names = state.clients.iter().map(|client| client.name.clone()).collect();
        let (mut entries, masks) = (state.entries.clone(), state.masks.clone());
        drop(state);
        entries.extend(self.run.panics());
        if self.run.clock == ClockMode::Real {
            // Real durations differ in every run.
            for entry in &mut entries {
                entry.at = Duration::ZERO;
            }
        }
        Recording::new(names, entries, client.map(|client| vec![client])).with_masks(masks)
    }

    /// Marks messages as read, and answers and ends as seen: those of these clients, or of all, among the first `count` entries.
    pub(crate) fn mark_read(&self, clients: Option<&[usize]>, count: usize) {
        let mut state = self.lock();
        let State { clients: states, entries, .. } = &mut *state;
        for (number, client) in states.iter_mut().enumerate() {
            if clients.is_none_or(|clients| clients.contains(&number)) {
                let printed = client.unread.partition_point(|message| *message < count);
                client.unread.drain(..printed).for_each(|message| entries[message].read = true);
                client.see_outcomes(entries, count);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A failed test is still reported on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
