//! One measurement: a server and its readers, each in a process of its own, and what that took. What is printed of it is
//! `report`'s affair.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::process::{Process, most_readers};
use crate::scenario::{Scenario, Shape, Transport};
use crate::servers::Contestant;
use crate::{chart, report};

pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) threads: usize,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) chart: Option<PathBuf>,
}

/// What one server showed in one round.
#[derive(Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) round: usize,
    pub(crate) scenario: Scenario,
    pub(crate) transport: Transport,
    pub(crate) contestant: Contestant,
    pub(crate) readers: u64,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    /// The server's CPU time for each delivery, in nanoseconds, and that as a multiple of the floor's in the same round.
    pub(crate) cpu: f64,
    pub(crate) ratio: Option<f64>,
    /// Deliveries in a second of wall time, and in a second of the server's CPU time.
    pub(crate) per_second: f64,
    pub(crate) per_core: f64,
    /// From submit to the reader, in nanoseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// The server's resident memory for each reader, in bytes; of idle readers only.
    pub(crate) memory: Option<u64>,
}

/// A server with its readers, open.
pub(crate) struct Pair {
    /// Ends first, for it would complain that the server is gone.
    readers: Process,
    pub(crate) server: Process,
    pub(crate) port: u16,
    /// What the server had resident before the first reader came, in KiB.
    before: u64,
}

impl Pair {
    pub(crate) fn open(contestant: Contestant, transport: Transport, threads: usize, shape: Shape) -> io::Result<Self> {
        Self::open_under(&[], contestant, transport, threads, shape)
    }

    /// The server under a tool that runs programs, if one is named.
    pub(crate) fn open_under(
        tool: &[&str],
        contestant: Contestant,
        transport: Transport,
        threads: usize,
        shape: Shape,
    ) -> io::Result<Self> {
        let words = |words: &[&dyn ToString]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let contestant = format!("{contestant:?}").to_lowercase();
        let mut server = Process::start_under(tool, &words(&[&"serve", &contestant, &transport.name(), &threads]))?;
        let port = server.answer("ready")?;
        let before = server.memory()?;
        let mut orders = words(&[&"load", &transport.name(), &port, &shape.readers, &shape.stalled]);
        orders.extend(words(&[&"--cores", &threads]));
        if shape.keyed {
            orders.push("--keyed".into());
        }
        let mut readers = Process::start(&orders)?;
        readers.answer("open")?;
        let port = port.parse().map_err(io::Error::other)?;
        Ok(Self { readers, server, port, before })
    }

    /// Submits one burst, and answers how many deliveries were lost once all have come or are given up.
    pub(crate) fn submit(&mut self, shape: Shape) -> io::Result<u64> {
        let expected = shape.deliveries();
        self.readers.order(&expected.to_string())?;
        self.server.order(&if shape.keyed { "each key".to_owned() } else { shape.burst.to_string() })?;
        let got: u64 = self.readers.answer("got")?.parse().map_err(io::Error::other)?;
        Ok(expected.saturating_sub(got))
    }

    /// Lets the server end by itself, before its readers: it does nothing for their leaving.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.readers.order("rest")?;
        self.readers.answer("rests")?;
        self.server.finish()
    }

    /// The median and the 99th percentile since this was last asked.
    fn latency(&mut self) -> io::Result<(u64, u64)> {
        self.readers.order("latency")?;
        let answer = self.readers.answer("latency")?;
        let mut numbers = answer.split(' ').filter_map(|number| number.parse().ok());
        Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
    }
}

pub(crate) fn run(plan: &Plan) -> io::Result<()> {
    let mut contestants = plan.contestants.clone();
    // The others are multiples of it.
    contestants.retain(|contestant| *contestant != Contestant::Floor);
    contestants.insert(0, Contestant::Floor);
    let mut figures: Vec<Figure> = Vec::new();
    let steps = plan.rounds * plan.scenarios.len() * plan.transports.len();
    for round in 0..plan.rounds {
        for (place, scenario) in plan.scenarios.iter().enumerate() {
            for (turn, transport) in plan.transports.iter().enumerate() {
                let done = (round * plan.scenarios.len() + place) * plan.transports.len() + turn;
                eprint!("\r\x1b[K{done} of {steps}: {}, {}", scenario.name(), transport.name());
                let mut floor = None;
                for &contestant in &contestants {
                    let mut figure = measure(plan, round, *scenario, *transport, contestant)?;
                    let floor = *floor.get_or_insert(figure.cpu);
                    figure.ratio = Some(figure.cpu / floor).filter(|ratio| ratio.is_finite());
                    figures.push(figure);
                }
                // At once: a run takes long, and may be ended.
                if let Some(path) = &plan.json {
                    std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
                }
            }
        }
    }
    eprintln!("\r\x1b[K");
    report::print(plan, &contestants, &figures);
    if let Some(path) = &plan.chart {
        chart::draw(path, plan, &contestants, &figures)?;
    }
    Ok(())
}

fn measure(
    plan: &Plan,
    round: usize,
    scenario: Scenario,
    transport: Transport,
    contestant: Contestant,
) -> io::Result<Figure> {
    let mut shape = scenario.shape();
    shape.readers = shape.readers.min(most_readers());
    let mut pair = Pair::open(contestant, transport, plan.threads, shape)?;
    let memory = (scenario == Scenario::Idle)
        .then(|| pair.server.memory())
        .transpose()?
        .map(|after| after.saturating_sub(pair.before) * 1024 / shape.readers);
    let times = if plan.quick { shape.times.div_ceil(10) } else { shape.times };
    let mut lost = 0;
    // A few to warm up.
    for _ in 0..times.div_ceil(10) {
        lost += pair.submit(shape)?;
    }
    pair.latency()?;
    let (cpu, start) = (pair.server.cpu()?, Instant::now());
    for _ in 0..times {
        lost += pair.submit(shape)?;
    }
    let (cpu, wall) = (pair.server.cpu()?.saturating_sub(cpu).as_secs_f64(), start.elapsed().as_secs_f64());
    let (p50, p99) = pair.latency()?;
    let deliveries = shape.deliveries() * times;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    let each = deliveries as f64;
    Ok(Figure {
        round,
        scenario,
        transport,
        contestant,
        readers: shape.readers,
        deliveries,
        lost,
        cpu: cpu * 1e9 / each,
        ratio: None,
        per_second: each / wall,
        per_core: each / cpu,
        p50,
        p99,
        memory,
    })
}
