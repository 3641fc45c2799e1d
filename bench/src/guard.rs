//! The guard: how many instructions a delivery takes in user space, counted by valgrind and held against limits, so that a regression
//! fails without a clock. What a delivery takes in time is `measure`'s affair.

use std::io;
use std::path::{Path, PathBuf};

use crate::measure::Pair;
use crate::report::{median, number};
use crate::scenario::{Shape, Transport};
use crate::servers::Contestant;

/// How far above the recorded figures the limits lie, and never above what is promised. Rounds differ by half a percent, by two on a
/// machine with far too much to do, and their medians by a quarter of one on either. (No run may take 15 s, for then keep-alives come
/// in.) Another version of the compiler or of the C library can make more.
const MARGIN: f64 = 0.03;

/// How often each is counted; the median is held against its limit.
const ROUNDS: usize = 3;

const READERS: u64 = 500;

struct Guarded {
    transport: Transport,
    /// How many messages are submitted at once.
    burst: u64,
    /// How many bursts the short run has and how many the long one: what both take, to start and to open their readers, is no part of
    /// the difference.
    times: (u64, u64),
    /// Instructions per delivery when this was last set, and what they are never to exceed.
    recorded: f64,
    promised: f64,
}

const GUARDED: [Guarded; 4] = [
    Guarded { transport: Transport::Sse, burst: 1, times: (10, 60), recorded: 1086.0, promised: 4000.0 },
    Guarded { transport: Transport::Sse, burst: 100, times: (5, 25), recorded: 71.6, promised: 150.0 },
    Guarded { transport: Transport::Ws, burst: 1, times: (10, 60), recorded: 1142.0, promised: 1500.0 },
    Guarded { transport: Transport::Ws, burst: 100, times: (5, 25), recorded: 71.9, promised: 150.0 },
];

/// Counts, prints, and fails above a limit. `keep` is where the profiles of the long runs stay, for `callgrind_annotate`.
pub(crate) fn run(keep: Option<&Path>) -> io::Result<()> {
    let folder = Folder::open(keep)?;
    println!("instructions in user space per delivery, {READERS} readers, median of {ROUNDS}");
    println!("{:<4} {:>8} {:>10} {:>9} {:>10} {:>10}", "", "at once", "measured", "(spread)", "recorded", "limit");
    let mut above = Vec::new();
    for guarded in &GUARDED {
        let rounds = (0..ROUNDS).map(|_| guarded.count(&folder.path)).collect::<io::Result<Vec<f64>>>()?;
        let measured = median(rounds.iter().copied());
        let (least, most) =
            rounds.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), round| (least.min(*round), most.max(*round)));
        println!(
            "{:<4} {:>8} {measured:>10.1} {:>8.2}% {:>10.1} {:>10.1}  {}",
            guarded.transport.name(),
            guarded.burst,
            (most - least) / least * 100.0,
            guarded.recorded,
            guarded.limit(),
            guarded.judge(measured)
        );
        if measured > guarded.limit() {
            above.push(guarded.name());
        }
    }
    if above.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a delivery takes more instructions than it may: {}. Which functions take them: `tornadose-bench guard --keep FOLDER`, then \
         `callgrind_annotate FOLDER/{}.callgrind`",
        above.join(", "),
        above[0]
    )))
}

impl Guarded {
    fn limit(&self) -> f64 {
        (self.recorded * (1.0 + MARGIN)).min(self.promised)
    }

    fn judge(&self, measured: f64) -> &'static str {
        if measured > self.limit() {
            "TOO MANY"
        } else if measured < self.recorded * (1.0 - MARGIN) {
            "fewer: record it, so that it stays so"
        } else {
            "good"
        }
    }

    fn name(&self) -> String {
        format!("{}-{}", self.transport.name(), self.burst)
    }

    /// Instructions per delivery, by the difference of a short and a long run.
    fn count(&self, folder: &Path) -> io::Result<f64> {
        let profile = folder.join(format!("{}.callgrind", self.name()));
        let short = self.instructions(self.times.0, &profile)?;
        let long = self.instructions(self.times.1, &profile)?;
        let deliveries = (self.times.1 - self.times.0) * self.burst * READERS;
        Ok(number(long.saturating_sub(short)) / number(deliveries))
    }

    /// Instructions of a server, from its start to its end, that has delivered so many bursts.
    fn instructions(&self, times: u64, profile: &Path) -> io::Result<u64> {
        // Of valgrind's tools it counts fastest, a little before cachegrind without its caches.
        let tool = ["valgrind", "--quiet", "--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())];
        let shape = Shape { readers: READERS, stalled: 0, keyed: false, burst: self.burst, times };
        let mut pair = Pair::open_under(&tool, Contestant::Tornadose, self.transport, 1, shape).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{error}; is valgrind there (Debian, Ubuntu: apt-get install valgrind)?"),
            )
        })?;
        for _ in 0..times {
            let lost = pair.submit(shape)?;
            if lost > 0 {
                return Err(io::Error::other(format!("{lost} deliveries were lost")));
            }
        }
        pair.finish()?;
        total(&std::fs::read_to_string(profile)?)
    }
}

/// The number of instructions that a profile of callgrind has in all.
fn total(profile: &str) -> io::Result<u64> {
    let total = profile.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("a profile of callgrind without `totals:`"))
}

/// Where the profiles are written; one that nobody asked to keep is removed.
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    fn open(keep: Option<&Path>) -> io::Result<Self> {
        let own = || std::env::temp_dir().join(format!("tornadose-guard-{}", std::process::id()));
        let folder = Self { path: keep.map_or_else(own, Path::to_owned), kept: keep.is_some() };
        std::fs::create_dir_all(&folder.path)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // It lies among the temporary files: what cannot be removed goes with them.
            let _left = std::fs::remove_dir_all(&self.path);
        }
    }
}
