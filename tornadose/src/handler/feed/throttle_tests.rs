//! A throttled feed whose store is submitted to between any two reads.

use std::time::Duration;

use salvo::http::StatusError;
use salvo::{Depot, Request};
use tokio::time::advance;

use crate::event::Event;
use crate::event::error::EncodeError;
use crate::handler::connection::record::{ConnectionRecord, Transport};
use crate::handler::feed::format::Sse;
use crate::handler::feed::{Feed, FeedItem};
use crate::message::{Keys, Message, NoKey, Retention};
use crate::store::Store;
use crate::store::reader::mailbox::NOOP_WAKER;
use crate::store::reader::resume::Resume;
use crate::store::reader::{Reader, ReaderOptions};
use crate::store::registry::kind::ReaderKind;
use crate::subscriber::Subscriber;
use crate::subscriber::options::Lag;

struct Tick(u32);

impl Message for Tick {
    type Key = NoKey;
    const CHANNEL: &'static str = "ticks";
    fn key(&self) -> NoKey {
        NoKey
    }
    fn retention(&self) -> Retention {
        Retention::Queue
    }
    fn event(&self) -> Result<Event, EncodeError> {
        Ok(Event::text(self.0.to_string()))
    }
}

struct Ticks;

impl Subscriber for Ticks {
    type Message = Tick;
    fn from_request(_: &Request, _: &Depot) -> Result<Self, StatusError> {
        Ok(Self)
    }
    fn keys(&self) -> Keys<NoKey> {
        Keys::One(NoKey)
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_piece_is_written_waits_for_the_next_period() {
    let store = Store::<Tick>::new();
    let options = ReaderOptions { replay: 0, kind: ReaderKind::Sse, gets_snapshots: true };
    let reader = Reader::open(store.shared(), Keys::One(NoKey), Resume::New, options);
    let record = ConnectionRecord::open(Transport::Sse, 1, &reader);
    let mut feed = Feed::new(reader, record, Lag::Skip).with_throttle(Duration::from_secs(1));
    // The position of a new connection.
    assert!(matches!(feed.next::<Sse>(&mut Ticks, &NOOP_WAKER), FeedItem::Bytes(_)));
    let mut written = 0;
    for number in 0..1000 {
        store.try_submit(Tick(number)).unwrap();
        written += u32::from(matches!(feed.next::<Sse>(&mut Ticks, &NOOP_WAKER), FeedItem::Bytes(_)));
        advance(Duration::from_millis(10)).await;
    }
    // Ten seconds, and the first at once.
    assert!((10..=11).contains(&written), "{written} pieces");
}
