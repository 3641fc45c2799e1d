//! Redis Streams: one connection tails the stream, another appends to it. What an entry says is in `protocol`.

mod protocol;
mod tail;
mod reader;
mod writer;

use crate::backend::redis::connect::Server;
use crate::backend::redis::streams::reader::Reading;
use crate::backend::redis::streams::protocol::Keys;
use crate::backend::{Link, OpenError};

/// Reads and writes until the store is closed. An error is one of the start.
pub(super) async fn run(server: &Server, history: usize, link: &Link) -> Result<(), OpenError> {
    let keys = Keys::of(link.channel());
    let mut reading = Reading::new(server, &keys, history, link);
    reading.start().await.map_err(|fault| server.unusable(&fault))?;
    tokio::join!(reading.run(), writer::run(server, &keys, history, link));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::backend::outbox::Outbox;
    use crate::backend::redis::Redis;
    use crate::backend::{Heard, Inlet, Taken};
    use crate::id::{Epoch, Offset};

    /// Remembers when Redis was said to be lost.
    #[derive(Default)]
    struct Losses(Mutex<Vec<Instant>>);

    impl Inlet for Losses {
        fn channel(&self) -> &'static str {
            "lines"
        }
        fn type_name(&self) -> &'static str {
            "Line"
        }
        fn memory(&self) -> usize {
            0
        }
        fn begin(&self, _: Epoch, _: Offset) {}
        fn entry(&self, offset: Option<Offset>, _: Heard<'_>) -> (Offset, Taken) {
            (offset.unwrap_or_default(), Taken::Unfit)
        }
        fn unfit(&self, _: Offset, _: &str) {}
        fn forget(&self, _: Option<Offset>, _: &str) -> Vec<String> {
            Vec::new()
        }
        fn reach(&self, _: Offset) {}
        fn hole(&self, _: Option<u64>) {}
        fn outage(&self) {}
        fn lost(&self, _: &str) {
            self.0.lock().unwrap().push(Instant::now());
        }
        fn caught_up(&self) {}
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test(start_paused = true)]
    async fn a_day_without_redis_it_still_tries_never_longer_apart_than_its_bound_nor_in_step() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let server = Redis::streams(format!("redis://127.0.0.1:{port}/")).options.server().unwrap();
        let (losses, keys) = (Arc::new(Losses::default()), Keys::of("lines"));
        let link = Link::new(Arc::clone(&losses) as Arc<dyn Inlet>, Arc::new(Outbox::new(1)), Duration::from_secs(3));
        let returned = async {
            sleep(DAY).await;
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            // The one that reads and the one that writes.
            for _ in 0..2 {
                listener.accept().await.unwrap();
            }
        };
        tokio::select! {
            biased;
            back = timeout(DAY + Duration::from_secs(10), returned) => back.expect("it tries no more"),
            () = Reading::new(&server, &keys, 10, &link).run() => unreachable!(),
            () = writer::run(&server, &keys, 10, &link) => unreachable!(),
        }
        let losses = losses.0.lock().unwrap();
        let waits: Vec<Duration> = losses.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(2001)), "{:?}", waits.iter().max());
        assert!(waits[5..].iter().all(|wait| *wait >= Duration::from_secs(1)), "{:?}", waits[5..].iter().min());
        let different: std::collections::BTreeSet<_> = waits.iter().collect();
        assert!(different.len() > 500, "{} different waits", different.len());
    }
}
