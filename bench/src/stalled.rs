//! 100 stalled readers beside 900 live ones: whether the live ones are slower for it, and what memory the server takes.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::load;
use crate::measure::Pair;
use crate::scenario::{Shape, Transport};
use crate::servers::Contestant;

const STALLED: usize = 100;

const SHAPE: Shape = Shape { readers: 900, stalled: 0, keyed: false, burst: 100, times: 0 };

pub(crate) fn run(messages: u64) -> io::Result<()> {
    println!(
        "{:<10} {:>8} {:>9} {:>12} {:>12} {:>10} {:>5}",
        "transport", "stalled", "messages", "burst p50", "burst p99", "RSS peak", "lost"
    );
    for transport in Transport::ALL {
        for stalled in [0, STALLED] {
            let mut pair = Pair::open(Contestant::Tornadose, transport, 1, SHAPE)?;
            let mut stalling = Stalling::new(stalled, transport, pair.port);
            let (mut bursts, mut peak, mut lost) = (Vec::new(), 0, 0);
            for _ in 0..messages / SHAPE.burst {
                stalling.stay()?;
                let start = Instant::now();
                lost += pair.submit(SHAPE)?;
                bursts.push(start.elapsed());
                peak = peak.max(pair.server.memory()?);
            }
            bursts.sort_unstable();
            let (half, most) = (bursts[bursts.len() / 2], bursts[bursts.len() * 99 / 100]);
            let transport = transport.name();
            println!("{transport:<10} {stalled:>8} {messages:>9} {half:>12.2?} {most:>12.2?} {peak:>6} KiB {lost:>5}");
        }
    }
    Ok(())
}

/// Readers that take nothing, and new ones in their place before they would be aborted.
struct Stalling {
    many: usize,
    transport: Transport,
    port: u16,
    lines: Vec<TcpStream>,
    since: Instant,
}

impl Stalling {
    fn new(many: usize, transport: Transport, port: u16) -> Self {
        Self { many, transport, port, lines: Vec::new(), since: Instant::now() }
    }

    fn stay(&mut self) -> io::Result<()> {
        if self.lines.len() < self.many || self.since.elapsed() > Duration::from_secs(25) {
            self.since = Instant::now();
            self.lines.clear();
            for _ in 0..self.many {
                self.lines.push(load::open(self.transport, self.port, None)?);
            }
        }
        Ok(())
    }
}
