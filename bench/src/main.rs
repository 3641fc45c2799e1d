//! What a delivery costs: Tornadose beside a floor, and beside what people would write by hand with Salvo and with axum.

mod process;
mod servers;
mod load;
mod scenario;
mod measure;
mod report;
mod chart;
mod keys;
mod redis;
mod stalled;
mod guard;

use std::io;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::scenario::{Scenario, Transport};
use crate::servers::Contestant;

/// Measures servers by turns, each in a process of its own with one runtime thread, under the same readers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How often each server is measured; medians are printed, and the spread.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Only these servers; the floor is always among them.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Contestant>,
    /// Only this transport.
    #[arg(long)]
    transport: Option<Transport>,
    /// How many runtime threads a server has.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// A tenth of the messages: to see that it runs.
    #[arg(long)]
    quick: bool,
    /// Where to write every round as JSON, as it goes.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to draw the table as SVG.
    #[arg(long)]
    chart: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Whether live readers pay for 100 stalled ones, and what memory those take.
    Stalled {
        /// How many messages pass.
        #[arg(default_value_t = 100_000)]
        messages: u64,
    },
    /// Whether a submit pays for the readers of other keys, and what a key takes that nobody reads.
    Keys,
    /// Whether a delivery takes more instructions than it may, counted by valgrind; no clock is asked.
    Guard {
        /// Where to leave the profiles, for `callgrind_annotate`.
        #[arg(long, value_name = "FOLDER")]
        keep: Option<PathBuf>,
    },
    /// Submits through a Redis of its own beside `redis-benchmark`, latency between two stores, catch-up.
    Redis,
    #[command(hide = true)]
    Key { kind: String },
    #[command(hide = true)]
    Serve { contestant: Contestant, transport: Transport, threads: usize },
    #[command(hide = true)]
    Load(load::Orders),
}

fn main() -> io::Result<()> {
    process::raise_file_limit();
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Serve { contestant, transport, threads }) => servers::serve(contestant, transport, threads),
        Some(Command::Load(orders)) => load::run(&orders),
        Some(Command::Stalled { messages }) => stalled::run(messages),
        Some(Command::Keys) => keys::run(),
        Some(Command::Guard { keep }) => guard::run(keep.as_deref()),
        Some(Command::Redis) => redis::run(),
        Some(Command::Key { kind }) => keys::memory(&kind),
        None => measure::run(&measure::Plan {
            rounds: arguments.rounds.max(1),
            scenarios: all_unless(arguments.only, &Scenario::ALL),
            contestants: all_unless(arguments.servers, &Contestant::ALL),
            transports: arguments.transport.map_or_else(|| Transport::ALL.to_vec(), |one| vec![one]),
            threads: arguments.threads.max(1),
            quick: arguments.quick,
            json: arguments.json,
            chart: arguments.chart,
        }),
    }
}

fn all_unless<T: Clone>(named: Vec<T>, all: &[T]) -> Vec<T> {
    if named.is_empty() { all.to_vec() } else { named }
}
