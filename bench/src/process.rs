//! The benchmark's child processes: their pipes, cores, CPU time and memory. A child takes commands as lines on its standard input
//! and replies with lines on its standard output.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// A child that runs this program. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// `None` after [`Self::finish`], which closes the child's input.
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(arguments: &[String]) -> io::Result<Self> {
        Self::start_under(&[], arguments)
    }

    /// Starts the child under `tool`, a program with its options, unless it is empty.
    pub(crate) fn start_under(tool: &[&str], arguments: &[String]) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match tool {
            [] => Command::new(program),
            [tool, options @ ..] => {
                let mut command = Command::new(tool);
                command.args(options).arg(program);
                command
            }
        };
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(commands), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no standard input or output"));
        };
        Ok(Self { child, commands: Some(commands), replies: BufReader::new(replies) })
    }

    /// Sends one line to the child.
    pub(crate) fn command(&mut self, line: &str) -> io::Result<()> {
        let commands = self.commands.as_mut().ok_or_else(|| io::Error::other("the child's input is closed"))?;
        writeln!(commands, "{line}")?;
        commands.flush()
    }

    /// Closes the child's input, which ends it, and waits for its end.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.commands = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("the child ended with {status}"))) }
    }

    /// Reads the next line, which must begin with `word`, and returns the rest of it.
    pub(crate) fn reply(&mut self, word: &str) -> io::Result<String> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        match line.trim_end().strip_prefix(word) {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(io::Error::other(format!("expected `{word}`, the child sent {line:?}"))),
        }
    }

    /// The CPU time of all the child's threads so far, user and kernel (Linux).
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut total = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanos: Option<u64> = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
            total += nanos.ok_or_else(|| io::Error::other("no time in schedstat"))?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// The child's resident memory, in KiB.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        resident_memory(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have ended by itself.
        if self.child.kill().is_ok() {
            let _reaped = self.child.wait();
        }
    }
}

/// The resident memory of a process, in KiB (Linux).
pub(crate) fn resident_memory(process: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| io::Error::other("no VmRSS in /proc/<process>/status"))
}

/// Raises this process's limit of open files to the maximum that it is allowed.
pub(crate) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With the old limit there are fewer readers, and the table shows their number.
    let _unchanged = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many readers the limit of open files leaves room for.
pub(crate) fn readers_max() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, |files| files.saturating_sub(64))
}

/// Pins this process to the first `server_cores` cores that it may use.
pub(crate) fn pin_server(server_cores: usize) {
    pin(server_cores, |cores| &cores[..server_cores]);
}

/// Pins a child that is another program to the first core that this process may use.
pub(crate) fn pin_child(child: &Child) {
    let mut set = CpuSet::new();
    let Some(core) =
        sched_getaffinity(None).ok().and_then(|allowed| (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)))
    else {
        return;
    };
    set.set(core);
    // Measuring works without it.
    let _unpinned = sched_setaffinity(Some(Pid::from_child(child)), &set);
}

/// Pins this process to the cores after the server's.
pub(crate) fn pin_readers(server_cores: usize) {
    pin(server_cores, |cores| &cores[server_cores..]);
}

/// Pins this process, unless the server needs all cores there are.
fn pin(server_cores: usize, select: impl FnOnce(&[usize]) -> &[usize]) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    if cores.len() <= server_cores {
        return;
    }
    let mut set = CpuSet::new();
    for core in select(&cores) {
        set.set(*core);
    }
    // Measuring works without it: the figures are ratios within one round.
    let _unpinned = sched_setaffinity(None, &set);
}

/// Nanoseconds of the monotonic clock, which all processes of this machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Calls `handle` with each line of the standard input, on a thread of its own. This process exits when the input ends.
pub(crate) fn spawn_command_reader(mut handle: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            handle(&line);
        }
        std::process::exit(0);
    });
}
