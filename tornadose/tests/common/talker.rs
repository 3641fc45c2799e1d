//! A subscriber that receives texts, and the frames that a client sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tornadose::prelude::*;
use tornadose_test::Harness;

use super::harness::{harness, secs};

#[store(queue)]
#[derive(Serialize)]
pub(crate) struct Line(pub(crate) String);

/// Returns a frame of a client, with a mask of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0xFE);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

pub(crate) const PING: u8 = 0x89;

pub(crate) const TEXT: u8 = 0x81;

pub(crate) const FIRST_FRAGMENT: u8 = 0x01;

pub(crate) const NEXT_FRAGMENT: u8 = 0x00;

pub(crate) const LAST_FRAGMENT: u8 = 0x80;

/// A subscriber that reports the number and the length of each text. A text `wait 5` takes 5 seconds.
#[subscriber(ws, store = Line, receive = Self::receive_text, max_message = "1KiB", keep_alive = "15s")]
pub(crate) struct Talker {
    #[depot]
    received: Arc<AtomicUsize>,
}

impl Talker {
    async fn receive_text(&mut self, text: String, _: &Store<Line>) -> Result<(), String> {
        if let Some(seconds) = text.strip_prefix("wait ") {
            tokio::time::sleep(secs(seconds.parse().unwrap())).await;
        }
        let number = self.received.fetch_add(1, SeqCst);
        Err(format!("{number}: {} bytes", text.len()))
    }
}

/// A middleware that gives its counter to each [`Talker`].
#[derive(Clone, Default)]
pub(crate) struct ReceivedCount(Arc<AtomicUsize>);

#[handler]
impl ReceivedCount {
    async fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(Arc::clone(&self.0));
    }
}

impl ReceivedCount {
    pub(crate) fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

pub(crate) fn talk() -> (Store<Line>, ReceivedCount, Harness) {
    let (store, count) = (Store::new(), ReceivedCount::default());
    let router = Router::with_path("talk").hoop(count.clone()).get(Talker::handler(&store));
    (store, count, harness(router))
}
