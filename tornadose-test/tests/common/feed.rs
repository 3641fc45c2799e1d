//! A hand-written SSE endpoint: bytes that are pushed into a feed reach every client of its handler.

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::stream::unfold;
use salvo::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Chunk = Result<String, io::Error>;

#[derive(Clone, Default)]
pub(crate) struct Feed {
    readers: Arc<Mutex<Vec<UnboundedSender<Chunk>>>>,
}

#[derive(Clone)]
pub(crate) struct Serve {
    feed: Feed,
    greeting: &'static str,
}

/// Returns a feed and its handler, which begins each stream with these bytes.
pub(crate) fn feed(greeting: &'static str) -> (Feed, Serve) {
    let feed = Feed::default();
    (feed.clone(), Serve { feed, greeting })
}

#[allow(dead_code, reason = "not every test file uses every method")]
impl Feed {
    pub(crate) fn push(&self, bytes: &str) {
        for reader in &*self.readers.lock().unwrap() {
            // A failed send means that the reader has disconnected.
            let _ = reader.send(Ok(bytes.to_owned()));
        }
    }

    /// Ends every stream.
    pub(crate) fn end(&self) {
        self.readers.lock().unwrap().clear();
    }

    /// Breaks off every stream.
    pub(crate) fn abort(&self) {
        for reader in self.readers.lock().unwrap().drain(..) {
            // A failed send means that the reader has disconnected.
            let _ = reader.send(Err(io::Error::other("broken")));
        }
    }

    /// Returns the number of connected readers.
    pub(crate) fn readers(&self) -> usize {
        self.readers.lock().unwrap().iter().filter(|reader| !reader.is_closed()).count()
    }
}

#[async_trait]
impl Handler for Serve {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let (reader, chunks): (_, UnboundedReceiver<Chunk>) = unbounded_channel();
        if !self.greeting.is_empty() {
            reader.send(Ok(self.greeting.to_owned())).unwrap();
        }
        self.feed.readers.lock().unwrap().push(reader);
        res.headers_mut().insert("content-type", "text/event-stream; charset=utf-8".parse().unwrap());
        res.stream(unfold(chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks))));
    }
}
