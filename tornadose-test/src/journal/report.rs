//! The report that follows a failure, and the failures that a harness finds at the end of its test.

use crate::entry::{Entry, Happening};
use crate::journal::Journal;
use crate::journal::client_state::ClientState;
use crate::runtime::test_run::{EndCheck, Shutdown};

/// The number of transcript lines that a failure shows.
const LINES_SHOWN: usize = 20;

impl EndCheck for Journal {
    /// The last lines of the transcript, and the status of each client.
    fn report(&self) -> String {
        let text = self.recording(None).to_string();
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return String::new();
        }
        let skipped = lines.len().saturating_sub(LINES_SHOWN);
        let mut report = vec!["\nthe transcript so far:".to_owned()];
        if skipped > 0 {
            report.push(format!("    … {skipped} lines before"));
        }
        report.extend(lines[skipped..].iter().map(|line| format!("    {line}")));
        report.push("the clients:".to_owned());
        for client in 0..self.client_count() {
            let summary = |client: &mut ClientState| (client.name.clone(), client.status(), client.unread.len());
            let (name, status, unread) = self.with_client(client, summary);
            report.push(format!("    {name}: {status}, {unread} unread"));
        }
        report.join("\n") + "\n"
    }

    fn failures_at_end(&self) -> Vec<String> {
        let mut failures: Vec<String> = self.recording(None).unused_mask().into_iter().collect();
        for client in 0..self.client_count() {
            if !self.with_client(client, |client| client.lenient) {
                failures.extend(self.client_failures(client));
            }
        }
        failures
    }

    fn take_shutdown(&self) -> Vec<Shutdown> {
        Self::take_shutdown(self)
    }
}

impl Journal {
    /// Returns the first unread messages of a client as lines of its transcript.
    pub(crate) fn show_unread(&self, client: usize) -> String {
        self.show_lines(client, Entry::is_unread)
    }

    fn show_lines(&self, client: usize, wanted: fn(&Entry) -> bool) -> String {
        let lines = self.recording(Some(client)).lines_of(wanted);
        lines.into_iter().take(LINES_SHOWN).fold(String::new(), |text, line| text + "\n    " + &line)
    }

    fn client_failures(&self, client: usize) -> Vec<String> {
        let name = self.name(client);
        let mut failures = Vec::new();
        for happening in self.happenings(client) {
            if let Happening::Violation(violation) = happening {
                failures.push(format!("the server violated the protocol towards `{name}`: {violation}"));
            }
        }
        let pipe_status = self.with_client(client, |client| client.pipe_status.clone());
        for fault in pipe_status.map(|status| status.unused_faults()).unwrap_or_default() {
            failures.push(format!(
                "`{name}`: the fault `{fault}` had no effect, because the stream did not reach its place: remove it, or let \
                 the stream go on"
            ));
        }
        if self.is_abandoned(client) {
            failures.push(format!(
                "`{name}` has disconnected, and a task of the server still holds the connection: the task has not noticed, \
                 or it does not end\n    give it the time that it needs, `app.advance(duration).await`, or open the client \
                 with `.lenient()`"
            ));
        }
        failures.extend(self.outcome_failure(client, &name));
        let count = self.unread_count(client);
        if count > 0 {
            let unread = self.show_unread(client);
            let messages = if count == 1 { "message" } else { "messages" };
            failures.push(format!(
                "`{name}` has received {count} {messages} that the test has not read:{unread}\n    read with \
                 `{name}.next().await`, compare with `assert_transcript!`, or open the client with `.lenient()`"
            ));
        }
        failures
    }

    /// The failure of a client without an answer, or whose answer or end the test has not looked at.
    fn outcome_failure(&self, client: usize, name: &str) -> Option<String> {
        // A client that neither reads nor writes cannot have an answer.
        let is_unanswered = |client: &mut ClientState| {
            client.is_unanswered() && client.pipe_status.as_ref().is_none_or(|pipe| pipe.status().is_none())
        };
        if self.with_client(client, is_unanswered) {
            return Some(format!(
                "`{name}` has sent a request and has no answer\n    give the handler the time that it needs, \
                 `app.advance(duration).await`, or open the client with `.lenient()`"
            ));
        }
        if self.with_client(client, |client| client.unseen.is_empty()) {
            return None;
        }
        let lines = self.show_lines(client, Entry::is_unseen);
        let (outcome, look) = match self.with_client(client, |client| (client.is_stream, client.is_answered())) {
            (false, _) => ("an answer", "`.status()`".into()),
            (true, true) => ("an answer", format!("`{name}.status()`")),
            (true, false) => ("an end", format!("`{name}.closed().await`")),
        };
        Some(format!(
            "`{name}` has {outcome} that the test has not looked at:{lines}\n    look at it with {look} or \
             `assert_transcript!`, or open the client with `.lenient()`"
        ))
    }

    /// Whether a client has disconnected and the server still holds one of its connections.
    fn is_abandoned(&self, client: usize) -> bool {
        let state = self.lock();
        let mut connections = state.connections.iter();
        let is_held = connections.any(|(of, server_end)| *of == client && server_end.strong_count() > 0);
        is_held && state.clients[client].disconnected
    }

    fn client_count(&self) -> usize {
        self.lock().clients.len()
    }
}
