//! The Streams backend: one connection tails the stream, another appends to it.
//!
//! `protocol` defines what is stored in Redis.

mod tail;
mod acknowledged;
mod protocol;
mod script;
mod entry;
mod page;
mod connection;
mod latest;
mod finishes;
mod load;
mod refusal;
mod place;
mod shared;
mod trimming;
mod snapshots;
mod snapshot_search;
mod entry_reader;
mod expiry;
mod reader;
mod writer;

use crate::backend::engine::OpenError;
use crate::backend::link::BackendLink;
use crate::backend::redis::advice::{Target, open_error};
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::expiry::EngineClock;
use crate::backend::redis::streams::protocol::Keys;
use crate::backend::redis::streams::reader::StreamReader;
use crate::backend::redis::streams::script::Scripts;
use crate::backend::redis::streams::shared::StreamShared;

/// Reads and writes until the store is closed. An error means that the start has failed. The keys are named after
/// `name`.
pub(super) async fn run(server: &Server, name: &str, history: usize, link: &BackendLink) -> Result<(), OpenError> {
    let keys = Keys::named(name);
    let (scripts, shared, clock) = (Scripts::new(), StreamShared::new(history, link), EngineClock::default());
    let mut reader = StreamReader::new(server, &keys, &scripts, &shared, &clock, link);
    let started = tokio::select! {
        biased;
        started = reader.start() => started,
        never = server.watch() => never,
    };
    if let Err(fault) = started {
        return Err(open_error(server, Target::Streams(&keys.stream), &fault).await);
    }
    tokio::select! {
        biased;
        ((), (), ()) = async {
            let writing = Box::pin(writer::run(server, &keys, &scripts, &shared, link));
            tokio::join!(reader.run(), writing, Box::pin(expiry::run(server, &keys, &clock, link)))
        } => Ok(()),
        never = server.watch() => never,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::backend::incoming::{IncomingEntry, Ingested, LogSink};
    use crate::backend::outbox::Outbox;
    use crate::backend::redis::Redis;
    use crate::backend::snapshots::{KeptSnapshot, LoadedSnapshot, SnapshotPlace, SnapshotStamp, SnapshotsDue};
    use crate::id::{Epoch, Offset};

    /// Records the times at which Redis was reported as disconnected.
    #[derive(Default)]
    struct Disconnections(Mutex<Vec<Instant>>);

    impl LogSink for Disconnections {
        fn channel(&self) -> &'static str {
            "lines"
        }
        fn type_name(&self) -> &'static str {
            "Line"
        }
        fn crate_name(&self) -> &'static str {
            "tornadose"
        }
        fn memory(&self) -> usize {
            0
        }
        fn has_ephemeral(&self) -> bool {
            false
        }
        fn ingest_ephemeral(&self, _: IncomingEntry<'_>) -> Ingested {
            Ingested::Ignored
        }
        fn queue_ttl(&self) -> Option<Duration> {
            None
        }
        fn set_queue_ttl(&self, _: Duration) {}
        fn reset(&self, _: Epoch, _: Offset) {}
        fn ingest(&self, offset: Option<Offset>, _: IncomingEntry<'_>) -> (Offset, Ingested) {
            (offset.unwrap_or_default(), Ingested::Unreadable)
        }
        fn skip_unreadable(&self, _: Offset, _: &str) {}
        fn record_request(&self, _: (&str, u64)) -> bool {
            true
        }
        fn forget(&self, _: Option<Offset>, _: &str) -> Vec<String> {
            Vec::new()
        }
        fn retain_latest(&self, _: &dyn Fn(&str) -> bool) {}
        fn can_finish(&self) -> bool {
            false
        }
        fn finish(&self, _: Offset, _: &str) {}
        fn reopen(&self, _: Offset, _: &str) {}
        fn retain_finishes(&self, _: &dyn Fn(Offset, &str) -> bool) {}
        fn remove(&self, _: Offset, _: &str) -> Vec<String> {
            Vec::new()
        }
        fn expires_latest(&self) -> bool {
            false
        }
        fn expire(&self, _: Offset, _: Offset, _: &[u8]) {}
        fn advance_to(&self, _: Offset) {}
        fn report_trimmed(&self, _: Option<u64>) {}
        fn mark_trimmed_through(&self, _: Offset) {}
        fn report_outage(&self) {}
        fn report_disconnected(&self, _: &str) {
            self.0.lock().unwrap().push(Instant::now());
        }
        fn caught_up(&self) {}
        fn snapshot_version(&self) -> Option<u32> {
            None
        }
        fn snapshots_changed(&self) -> Option<&Notify> {
            None
        }
        fn take_due_snapshots(&self, _: usize) -> SnapshotsDue {
            SnapshotsDue::Never
        }
        fn make_snapshot(&self, _: &str) -> Option<KeptSnapshot> {
            None
        }
        fn record_kept_snapshot(&self, _: &str, _: SnapshotStamp) -> bool {
            false
        }
        fn retry_snapshot(&self, _: &str) {}
        fn recheck_snapshots(&self) {}
        fn snapshots_kept_through(&self) -> Option<SnapshotPlace> {
            None
        }
        fn record_all_loaded(&self, _: Offset) {}
        fn trusts_snapshot(&self, _: SnapshotStamp, _: Option<Offset>) -> bool {
            false
        }
        fn load_snapshot(&self, _: &KeptSnapshot) -> LoadedSnapshot {
            LoadedSnapshot::Unknown
        }
        fn messages_lost_through(&self) -> Option<Offset> {
            None
        }
        fn lacks_snapshot(&self, _: &str) -> bool {
            false
        }
        fn take_lost_snapshots(&self, _: usize) -> Vec<String> {
            Vec::new()
        }
        fn recover_snapshot(&self, _: &KeptSnapshot) -> LoadedSnapshot {
            LoadedSnapshot::Unknown
        }
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test(start_paused = true)]
    async fn after_a_day_without_redis_it_still_reconnects_within_its_bound_and_at_varying_intervals() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let server = Redis::streams(format!("redis://127.0.0.1:{port}/")).connection.server("lines", "lines").unwrap();
        let (disconnections, keys) = (Arc::new(Disconnections::default()), Keys::named("tornadose:lines"));
        let link = BackendLink::new(
            Arc::clone(&disconnections) as Arc<dyn LogSink>,
            Arc::new(Outbox::new(1, "lines", None)),
            Duration::from_secs(3),
        );
        let (scripts, shared, clock) = (Scripts::new(), StreamShared::new(10, &link), EngineClock::default());
        let reconnected = async {
            sleep(DAY).await;
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            // The reader and the writer.
            for _ in 0..2 {
                listener.accept().await.unwrap();
            }
        };
        tokio::select! {
            biased;
            accepted = timeout(DAY + Duration::from_secs(10), reconnected) => accepted.expect("it no longer reconnects"),
            () = StreamReader::new(&server, &keys, &scripts, &shared, &clock, &link).run() => unreachable!(),
            () = writer::run(&server, &keys, &scripts, &shared, &link) => unreachable!(),
        }
        let times = disconnections.0.lock().unwrap();
        let intervals: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            intervals.iter().all(|interval| *interval <= Duration::from_millis(2001)),
            "{:?}",
            intervals.iter().max()
        );
        assert!(
            intervals[5..].iter().all(|interval| *interval >= Duration::from_secs(1)),
            "{:?}",
            intervals[5..].iter().min()
        );
        let different: std::collections::BTreeSet<_> = intervals.iter().collect();
        assert!(different.len() > 500, "{} different intervals", different.len());
    }
}
