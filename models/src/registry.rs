//! Models of the registry of open connections: a connection opens, sets its control and closes, while its server
//! stops.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use tokio::time::Instant;

use crate::block_on::block_on;
use crate::check;
use crate::handler::connection::control::Control;
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::registry::{ConnectionPermit, Connections, Permits};
use crate::store::end::EndReason;

/// Counts what a connection was told.
#[derive(Default)]
struct Told {
    ends: AtomicUsize,
    aborts: AtomicUsize,
}

struct CountingControl(Arc<Told>);

impl Control for CountingControl {
    fn end(&self, reason: EndReason) {
        assert_eq!(reason, EndReason::Stopping);
        self.0.ends.fetch_add(1, Ordering::Relaxed);
    }

    fn abort(&self, reason: CloseReason) {
        assert_eq!(reason, CloseReason::Aborted);
        self.0.aborts.fetch_add(1, Ordering::Relaxed);
    }

    fn end_due(&self) -> Option<(Instant, EndReason)> {
        None
    }

    fn unread_since(&self) -> Option<Instant> {
        None
    }
}

/// Sets a new control and returns what it counts.
fn set_control(permits: &Permits) -> Arc<Told> {
    let told = Arc::default();
    permits.registration().set_control(CountingControl(Arc::clone(&told)));
    told
}

fn permits(handler: ConnectionPermit) -> Permits {
    Permits { handler, server: None }
}

/// A connection opens while the server stops: it gets no permit, or it is ended.
pub fn a_connection_that_opens_during_a_stop_is_refused_or_ended() {
    check(|| {
        let connections = Arc::<Connections>::default();
        let stop = {
            let connections = Arc::clone(&connections);
            thread::spawn(move || connections.stop(EndReason::Stopping))
        };
        let opened = connections.open(None).1.map(permits);
        let told = opened.as_ref().map(set_control);
        stop.join().expect("no stop panics");
        if let Some(told) = told {
            assert!(told.ends.load(Ordering::Relaxed) > 0, "the stop did not reach it");
        }
        drop(opened);
        block_on(connections.wait_until_empty());
    });
}

/// A connection replaces its control, as one does that detaches, while the server stops and then aborts: the last
/// control is told both.
pub fn the_last_control_of_a_connection_is_ended_and_aborted() {
    check(|| {
        let connections = Arc::<Connections>::default();
        let opened = connections.open(None).1.map(permits).expect("nothing stops yet");
        let stop = {
            let connections = Arc::clone(&connections);
            thread::spawn(move || {
                connections.stop(EndReason::Stopping);
                connections.abort_all();
            })
        };
        set_control(&opened);
        let told = set_control(&opened);
        stop.join().expect("no stop panics");
        assert!(told.ends.load(Ordering::Relaxed) > 0, "the stop did not reach it");
        assert!(told.aborts.load(Ordering::Relaxed) > 0, "the abort did not reach it");
    });
}

/// A connection belongs to its handler and to its server, which stop at the same time: it is ended once by each.
pub fn a_connection_is_ended_by_its_handler_and_by_its_server() {
    check(|| {
        let [handler, server] = [Arc::<Connections>::default(), Arc::<Connections>::default()];
        let opened = Permits {
            handler: handler.open(None).1.expect("nothing stops yet"),
            server: Some(server.open(None).1.expect("nothing stops yet")),
        };
        let stops = [handler, server].map(|connections| thread::spawn(move || connections.stop(EndReason::Stopping)));
        let told = set_control(&opened);
        for stop in stops {
            stop.join().expect("no stop panics");
        }
        assert!(told.ends.load(Ordering::Relaxed) >= 2, "one of the two stops did not reach it");
    });
}

/// Two connections open where one is allowed: never are both open, and one that is refused counts for nothing.
pub fn the_limit_of_connections_holds() {
    check(|| {
        let connections = Arc::<Connections>::default();
        let open = Arc::new(AtomicUsize::new(0));
        let threads = [(); 2].map(|()| {
            let (connections, open) = (Arc::clone(&connections), Arc::clone(&open));
            thread::spawn(move || {
                let (number, permit) = connections.open(Some(1));
                if permit.is_some() {
                    assert_eq!(open.fetch_add(1, Ordering::AcqRel), 0, "two are open");
                    open.fetch_sub(1, Ordering::AcqRel);
                }
                drop(permit);
                number
            })
        });
        let mut numbers = threads.map(|thread| thread.join().expect("no connection panics"));
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        assert!(connections.open(Some(1)).1.is_some(), "a connection that is closed is still counted");
    });
}

/// A server waits for its connections while they close: it sees the last one close. A lost wake is a deadlock.
pub fn a_stop_sees_the_last_connection_close() {
    check(|| {
        let connections = Arc::<Connections>::default();
        let threads = [(); 2].map(|()| {
            let permit = connections.open(None).1.expect("nothing stops yet");
            thread::spawn(move || drop(permit))
        });
        block_on(connections.wait_until_empty());
        for thread in threads {
            thread.join().expect("no close panics");
        }
    });
}
