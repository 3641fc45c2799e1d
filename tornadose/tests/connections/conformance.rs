//! Every row of `tests/cases/ws.json` over the whole stack, against a subscriber that submits the texts
//! it receives: the texts that come back, the pongs, and the close code. The rows are from RFC 6455.

use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose::subscriber::{KeyOf, ReceiveError, Reply};
use tornadose::{EncodeError, Event, NoKey, Retention};
use tornadose_test::{Client, Ending, WsClient};

use super::harness::harness;

/// A text that is sent back unchanged.
struct Echo(String);

impl Message for Echo {
    type Key = NoKey;
    const CHANNEL: &'static str = "echo";

    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(&self.0))
    }
}

struct Echoes;

impl Subscriber for Echoes {
    type Message = Echo;

    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<KeyOf<Self>> {
        Keys::All
    }
    async fn receive(&mut self, text: &str, store: &Store<Echo>) -> Result<Option<Reply>, ReceiveError> {
        if let Some((code, reason)) = text.strip_prefix("close ").and_then(|close| close.split_once(' ')) {
            let code = CloseCode::try_from(code.parse::<u16>().unwrap()).unwrap();
            return Err(ReceiveError::Close(Close::new(code, reason.to_owned())));
        }
        store.submit(Echo(text.into())).await.map_err(|error| ReceiveError::Report(error.to_string()))?;
        Ok(None)
    }
}

struct Row {
    name: String,
    bytes: Vec<u8>,
    expect: Value,
    note: String,
    max_message: Option<usize>,
}

fn rows() -> Vec<Row> {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/ws.json")).unwrap();
    let table: Vec<Value> = serde_json::from_str(&table).unwrap();
    let row = |case: &Value| Row {
        name: case["name"].as_str().unwrap().to_owned(),
        bytes: unhex(case["send_hex"].as_str().unwrap()),
        expect: case["expect"].clone(),
        note: case["note"].as_str().unwrap_or_default().to_owned(),
        max_message: case["server"]["max_message_size"].as_u64().map(|max| usize::try_from(max).unwrap()),
    };
    table.iter().map(row).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect()
}

impl Row {
    /// Returns the close code that a page sees, 1005 for a close without one. `None` if the connection
    /// stays open.
    fn close(&self) -> Option<u64> {
        match &self.expect["close"] {
            // Only text is received. A binary message is refused at its first header, before its length
            // is read.
            _ if self.bytes[0] == 0x82 => Some(1003),
            Value::String(_) => Some(1005),
            code => code.as_u64(),
        }
    }

    /// Returns whether the server may refuse the row, with a protocol error.
    fn may_be_refused(&self) -> bool {
        self.note.contains("or 1002") || self.note.contains("1002 is also seen")
    }

    /// Checks the row with pieces of `pipe` bytes. 1 splits it at every byte.
    async fn check(&self, pipe: usize) {
        let store = Store::new();
        let handler = StreamHandler::<Echoes>::new(&store);
        let handler = match self.max_message {
            Some(max) => handler.max_message(max),
            None => handler,
        };
        let app = harness(Router::with_path("echo").get(handler));
        let echo = app.client(&self.name).buffer_size(pipe).lenient().ws("/echo").await;
        echo.send_raw(self.bytes.clone()).await;
        let transcript = format!("{} by {pipe}:\n{}", self.name, echo.recording().wire());

        let Some(expected) = self.close() else {
            self.check_received(&echo, &transcript).await;
            assert_eq!(store.subscribers(), 1, "{transcript}");
            Client::close(&echo).await;
            assert_eq!(store.subscribers(), 0, "released at once; {transcript}");
            return;
        };
        let Ending::Close { code, .. } = echo.closed().await else { panic!("no close; {transcript}") };
        assert_eq!(store.subscribers(), 0, "{transcript}");
        if code == 1002 && self.may_be_refused() {
            return;
        }
        assert_eq!(u64::from(code), expected, "{transcript}");
        self.check_received(&echo, &transcript).await;
    }

    /// Checks the texts that came back and the pongs, and that nothing else came.
    async fn check_received(&self, echo: &WsClient, transcript: &str) {
        let wire = echo.recording().wire();
        let received = |prefix: &str| {
            let prefix = format!("{} < {prefix}", self.name);
            wire.lines().filter_map(|line| Some(line.strip_prefix(&prefix)?.trim().to_owned())).collect::<Vec<_>>()
        };
        let pongs: Vec<Vec<u8>> = received("pong").iter().map(|payload| payload.clone().into_bytes()).collect();
        let texts = received("text").iter().filter(|text| text.contains(r#""data":"#)).count();
        let last = |pongs: &[Vec<u8>]| pongs.last().cloned().unwrap_or_default();
        if let Some(pong) = self.expect["recv_last_pong_hex"].as_str() {
            assert_eq!((texts, last(&pongs)), (0, unhex(pong)), "{transcript}");
            return;
        }
        let expected = self.expect["recv"].as_array().unwrap();
        assert_eq!(texts + pongs.len(), expected.len(), "{transcript}");
        for expected in expected {
            if let Some(pong) = expected["pong_hex"].as_str() {
                assert_eq!(last(&pongs), unhex(pong), "{transcript}");
                continue;
            }
            let text: String = serde_json::from_str(&echo.next_event().await.data).unwrap();
            let fits = expected["text"] == json!(text) || expected["text_len"] == json!(text.len());
            assert!(fits, "{text} instead of {expected}; {transcript}");
        }
    }
}

async fn check(pipe: usize) {
    let rows = rows();
    assert_eq!(rows.len(), 58);
    for row in rows {
        row.check(pipe).await;
    }
}

#[tornadose_test::test]
async fn every_row_holds_in_one_piece() {
    check(1 << 20).await;
}

#[tornadose_test::test]
async fn every_row_holds_byte_by_byte() {
    check(1).await;
}

#[tornadose_test::test]
async fn every_row_holds_in_chunks() {
    check(7).await;
    check(1460).await;
}

#[tornadose_test::test]
async fn the_server_sends_only_valid_close_codes() {
    let store = Store::new();
    let app = harness(Router::with_path("echo").get(StreamHandler::<Echoes>::new(&store)));
    let long = "ü".repeat(100);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        assert!(CloseCode::try_from(code).is_err(), "{code}");
    }
    for code in [1000, 1001, 1008, 1014, 3000, 4999] {
        for (reason, kept) in [("", ""), ("enough", "enough"), (&long, &long[..122])] {
            let echo = app.client("echo").ws("/echo").await;
            echo.send_text(format!("close {code} {reason}")).await;
            assert_eq!(echo.closed().await, Ending::Close { code, reason: kept.to_owned() }, "{code}");
            assert_eq!(store.subscribers(), 0);
        }
    }
}
