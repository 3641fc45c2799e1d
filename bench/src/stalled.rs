//! 900 live readers, alone and beside 100 stalled ones: the time that a burst takes, and the server's memory.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::load;
use crate::scenario::{Transport, Workload};
use crate::servers::ServerKind;
use crate::under_load::ServerUnderLoad;

const STALLED: usize = 100;

/// The number of bursts depends on the command line.
const WORKLOAD: Workload = Workload { readers: 900, stalled: 0, keyed: false, burst: 100, bursts: 0 };

pub(crate) fn run(messages: u64) -> io::Result<()> {
    println!(
        "{:<10} {:>8} {:>9} {:>12} {:>12} {:>10} {:>5}",
        "transport", "stalled", "messages", "burst p50", "burst p99", "RSS peak", "lost"
    );
    for transport in Transport::ALL {
        for stalled in [0, STALLED] {
            let mut under_load = ServerUnderLoad::start(ServerKind::Tornadose, transport, 1, WORKLOAD)?;
            let mut stalled_readers = StalledReaders::new(stalled, transport, under_load.port);
            let (mut times, mut peak, mut lost) = (Vec::new(), 0, 0);
            for _ in 0..messages / WORKLOAD.burst {
                stalled_readers.renew()?;
                let start = Instant::now();
                lost += under_load.submit(WORKLOAD)?;
                times.push(start.elapsed());
                peak = peak.max(under_load.server.memory()?);
            }
            times.sort_unstable();
            let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            let transport = transport.name();
            println!("{transport:<10} {stalled:>8} {messages:>9} {p50:>12.2?} {p99:>12.2?} {peak:>6} KiB {lost:>5}");
        }
    }
    Ok(())
}

/// Connections that read nothing. They are replaced before the server would abort them.
struct StalledReaders {
    count: usize,
    transport: Transport,
    port: u16,
    connections: Vec<TcpStream>,
    opened_at: Instant,
}

impl StalledReaders {
    fn new(count: usize, transport: Transport, port: u16) -> Self {
        Self { count, transport, port, connections: Vec::new(), opened_at: Instant::now() }
    }

    /// Opens the connections if there are none yet or they are 25 s old.
    fn renew(&mut self) -> io::Result<()> {
        if self.connections.len() < self.count || self.opened_at.elapsed() > Duration::from_secs(25) {
            self.opened_at = Instant::now();
            self.connections.clear();
            for _ in 0..self.count {
                self.connections.push(load::connect(self.transport, self.port, None)?);
            }
        }
        Ok(())
    }
}
