//! A server and the readers that load it, each in a process of its own.

use std::io;

use crate::process::Process;
use crate::scenario::{Transport, Workload};
use crate::servers::ServerKind;

/// A running server whose readers are all connected.
pub(crate) struct ServerUnderLoad {
    // Dropped first, because the readers report an error when their server closes a connection.
    readers: Process,
    pub(crate) server: Process,
    pub(crate) port: u16,
    /// The server's resident memory before the first reader connected, in KiB.
    pub(crate) memory_before: u64,
}

impl ServerUnderLoad {
    pub(crate) fn start(
        server: ServerKind,
        transport: Transport,
        threads: usize,
        workload: Workload,
    ) -> io::Result<Self> {
        Self::start_under(&[], server, transport, threads, workload)
    }

    /// Starts the server under `tool`, a program with its options, unless it is empty.
    pub(crate) fn start_under(
        tool: &[&str],
        server: ServerKind,
        transport: Transport,
        threads: usize,
        workload: Workload,
    ) -> io::Result<Self> {
        let words = |words: &[&dyn ToString]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let server = format!("{server:?}").to_lowercase();
        let mut server = Process::start_under(tool, &words(&[&"serve", &server, &transport.name(), &threads]))?;
        let port = server.reply("ready")?;
        let memory_before = server.memory()?;
        let mut arguments = words(&[&"load", &transport.name(), &port, &workload.readers, &workload.stalled]);
        arguments.extend(words(&[&"--cores", &threads]));
        if workload.keyed {
            arguments.push("--keyed".into());
        }
        let mut readers = Process::start(&arguments)?;
        readers.reply("open")?;
        let port = port.parse().map_err(io::Error::other)?;
        Ok(Self { readers, server, port, memory_before })
    }

    /// Submits one burst and waits until all deliveries have arrived or are given up. Returns how many were lost.
    pub(crate) fn submit(&mut self, workload: Workload) -> io::Result<u64> {
        let expected = workload.deliveries();
        self.readers.command(&expected.to_string())?;
        self.server.command(&if workload.keyed { "each key".to_owned() } else { workload.burst.to_string() })?;
        let received: u64 = self.readers.reply("received")?.parse().map_err(io::Error::other)?;
        Ok(expected.saturating_sub(received))
    }

    /// Returns the median and the 99th percentile since the last call, in nanoseconds.
    pub(crate) fn take_latency(&mut self) -> io::Result<(u64, u64)> {
        self.readers.command("latency")?;
        let reply = self.readers.reply("latency")?;
        let mut quantiles = reply.split(' ').filter_map(|number| number.parse().ok());
        Ok((quantiles.next().unwrap_or(0), quantiles.next().unwrap_or(0)))
    }

    /// Lets the server end by itself while its readers are still connected, so that it does no work for their leaving.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.readers.command("pause")?;
        self.readers.reply("paused")?;
        self.server.finish()
    }
}
