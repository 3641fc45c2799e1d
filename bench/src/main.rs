//! The cost of a delivery: Tornadose beside a floor, and beside servers written by hand with Salvo and with axum.

mod process;
mod servers;
mod load;
mod scenario;
mod under_load;
mod figure;
mod measure;
mod report;
mod chart;
mod keys;
mod redis;
mod redis_readers;
mod foreign;
mod stalled;
mod guard;
mod inspector;

use std::io;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::figure::Plan;
use crate::scenario::{Scenario, Transport};
use crate::servers::ServerKind;

/// Measures servers by turns, each in a process of its own with one runtime thread, under the same load.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How often each server is measured. The table shows medians and the spread.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Only these servers, and the floor.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<ServerKind>,
    /// Only this transport.
    #[arg(long)]
    transport: Option<Transport>,
    /// How many runtime threads a server has.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// A tenth of the messages, to check that everything runs.
    #[arg(long)]
    quick: bool,
    /// Write all measurements to this file as JSON, again after each one.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the table into this file as SVG.
    #[arg(long)]
    chart: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Whether 100 stalled readers slow the others down, and how much memory they take.
    Stalled {
        /// How many messages are submitted.
        #[arg(default_value_t = 100_000)]
        messages: u64,
    },
    /// Whether readers of other keys slow a submit down, and how much memory a key without readers takes.
    Keys,
    /// Fails if a delivery takes more instructions than its limit. Valgrind counts them.
    Guard {
        /// Keep the profiles in this folder, for `callgrind_annotate`.
        #[arg(long, value_name = "FOLDER")]
        keep: Option<PathBuf>,
    },
    /// Counts the instructions that an open page of the inspector costs a server with 1,000 readers. Valgrind counts them.
    Inspector,
    /// Stores on a Redis server of its own: submits beside `redis-benchmark`, latency between stores, loading.
    Redis,
    /// The cost of one entry to a Redis server of its own, with 1, 4 and 16 processes that read it.
    RedisReaders,
    #[command(hide = true)]
    RedisReader { url: String },
    /// The CPU time of a process for each message of other processes, by the readers that it has.
    Foreign,
    #[command(hide = true)]
    ForeignReader { url: String, readers: String },
    #[command(hide = true)]
    Key { kind: String },
    #[command(hide = true)]
    Serve { server: ServerKind, transport: Transport, threads: usize },
    #[command(hide = true)]
    Load(load::LoadArguments),
}

fn main() -> io::Result<()> {
    process::raise_file_limit();
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Serve { server, transport, threads }) => servers::serve(server, transport, threads),
        Some(Command::Load(arguments)) => load::run(&arguments),
        Some(Command::Stalled { messages }) => stalled::run(messages),
        Some(Command::Keys) => keys::run(),
        Some(Command::Guard { keep }) => guard::run(keep.as_deref()),
        Some(Command::Inspector) => inspector::run(),
        Some(Command::Redis) => redis::run(),
        Some(Command::RedisReaders) => redis_readers::run(),
        Some(Command::RedisReader { url }) => redis_readers::read(&url),
        Some(Command::Foreign) => foreign::run(),
        Some(Command::ForeignReader { url, readers }) => foreign::read(&url, &readers),
        Some(Command::Key { kind }) => keys::print_memory(&kind),
        None => measure::run(&Plan {
            rounds: arguments.rounds.max(1),
            scenarios: named_or_all(arguments.only, &Scenario::ALL),
            servers: floor_first(named_or_all(arguments.servers, &ServerKind::ALL)),
            transports: arguments.transport.map_or_else(|| Transport::ALL.to_vec(), |one| vec![one]),
            threads: arguments.threads.max(1),
            quick: arguments.quick,
            json: arguments.json,
            chart: arguments.chart,
        }),
    }
}

fn named_or_all<T: Clone>(named: Vec<T>, all: &[T]) -> Vec<T> {
    if named.is_empty() { all.to_vec() } else { named }
}

fn floor_first(mut servers: Vec<ServerKind>) -> Vec<ServerKind> {
    servers.retain(|server| *server != ServerKind::Floor);
    servers.insert(0, ServerKind::Floor);
    servers
}
