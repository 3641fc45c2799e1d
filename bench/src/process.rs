//! Processes that measure or are measured: their pipes, their core, their time and memory. What they do is their own affair.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// A child that is told what to do by lines and answers by lines. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// None once there are no more.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(arguments: &[String]) -> io::Result<Self> {
        Self::start_under(&[], arguments)
    }

    /// Under a tool that runs programs, if one is named.
    pub(crate) fn start_under(tool: &[&str], arguments: &[String]) -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let mut command = match tool {
            [] => Command::new(own),
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(own);
                command
            }
        };
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without input or output"));
        };
        Ok(Self { child, orders: Some(orders), answers: BufReader::new(answers) })
    }

    pub(crate) fn order(&mut self, line: &str) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or_else(|| io::Error::other("a child that was told its last"))?;
        writeln!(orders, "{line}")?;
        orders.flush()
    }

    /// Lets it end by itself, as it does when no more orders come.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.orders = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("a child ended with {status}"))) }
    }

    /// The next line, which begins with this word; what follows it.
    pub(crate) fn answer(&mut self, word: &str) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end().strip_prefix(word) {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(io::Error::other(format!("expected `{word}`, a child said {line:?}"))),
        }
    }

    /// The time that it has spent on a core, in user and in kernel space, all its threads together (Linux).
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let of_task: Option<u64> = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
            nanos += of_task.ok_or_else(|| io::Error::other("no time in schedstat"))?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The memory that it has resident, in KiB.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        memory_of(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        if self.child.kill().is_ok() {
            let _reaped = self.child.wait();
        }
    }
}

/// The memory that a process has resident, in KiB (Linux).
pub(crate) fn memory_of(process: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| io::Error::other("no VmRSS in /proc/<process>/status"))
}

/// Lets this process open as many files as it may.
pub(crate) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Without it there are fewer readers, which the table says.
    let _unchanged = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many readers this process can have.
pub(crate) fn most_readers() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, |files| files.saturating_sub(64))
}

/// Keeps this process on some of the cores that it may use: the first ones, or those behind them. Where there are not enough it
/// stays where it is.
pub(crate) fn pin(first: bool, count: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    if cores.len() <= count {
        return;
    }
    let mut own = CpuSet::new();
    let chosen = if first { &cores[..count] } else { &cores[count..] };
    for core in chosen {
        own.set(*core);
    }
    // A wish: the figures are ratios within one round either way.
    let _unpinned = sched_setaffinity(None, &own);
}

/// Nanoseconds of a clock that all processes of this machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Hands each line of the standard input on, until it ends; then this process ends.
pub(crate) fn on_orders(mut take: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            take(&line);
        }
        std::process::exit(0);
    });
}
