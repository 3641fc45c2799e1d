//! The guard: fails if a delivery takes more user-space instructions than its limit. Valgrind counts them, so the result does not
//! depend on a clock or on the load of the machine.

use std::io;
use std::path::{Path, PathBuf};

use crate::figure::{median, to_f64};
use crate::scenario::{Transport, Workload};
use crate::servers::ServerKind;
use crate::under_load::ServerUnderLoad;

/// A limit is the recorded figure plus this share of it, but never more than is promised.
///
/// Rounds differ by 0.5 %, by 2 % on an overloaded machine; their medians differ by 0.25 % on both. Another version of the compiler
/// or of the C library can make a greater difference. A run must end within 15 s, because then keep-alives are sent too.
const MARGIN: f64 = 0.03;

/// How often each budget is measured. The median counts.
const ROUNDS: usize = 3;

const READERS: u64 = 500;

/// The instructions that a delivery may take in one workload.
struct Budget {
    transport: Transport,
    /// How many messages are submitted at once.
    burst: u64,
    /// The bursts of a short and of a long run. The difference of the two does not include starting and connecting.
    bursts: (u64, u64),
    /// Instructions per delivery when this was last set.
    recorded: f64,
    /// Instructions per delivery that are never exceeded.
    promised: f64,
}

const BUDGETS: [Budget; 4] = [
    Budget { transport: Transport::Sse, burst: 1, bursts: (10, 60), recorded: 1086.0, promised: 4000.0 },
    Budget { transport: Transport::Sse, burst: 100, bursts: (5, 25), recorded: 69.0, promised: 150.0 },
    Budget { transport: Transport::Ws, burst: 1, bursts: (10, 60), recorded: 1107.0, promised: 1500.0 },
    Budget { transport: Transport::Ws, burst: 100, bursts: (5, 25), recorded: 69.2, promised: 150.0 },
];

/// Measures each budget, prints a table, and returns an error if a limit is exceeded. The profiles of the long runs are kept in the
/// folder `keep`, for `callgrind_annotate`.
pub(crate) fn run(keep: Option<&Path>) -> io::Result<()> {
    let folder = ProfileFolder::create(keep)?;
    println!("instructions in user space per delivery, {READERS} readers, median of {ROUNDS}");
    println!("{:<4} {:>8} {:>10} {:>9} {:>10} {:>10}", "", "at once", "measured", "(spread)", "recorded", "limit");
    let mut exceeded = Vec::new();
    for budget in &BUDGETS {
        let rounds = (0..ROUNDS).map(|_| budget.measure(&folder.path)).collect::<io::Result<Vec<f64>>>()?;
        let measured = median(rounds.iter().copied());
        let (min, max) =
            rounds.iter().fold((f64::INFINITY, 0.0_f64), |(min, max), round| (min.min(*round), max.max(*round)));
        println!(
            "{:<4} {:>8} {measured:>10.1} {:>8.2}% {:>10.1} {:>10.1}  {}",
            budget.transport.name(),
            budget.burst,
            (max - min) / min * 100.0,
            budget.recorded,
            budget.limit(),
            budget.verdict(measured)
        );
        if measured > budget.limit() {
            exceeded.push(budget.name());
        }
    }
    if exceeded.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a delivery exceeds its instruction budget: {}. To see which functions take the instructions, run `tornadose-bench guard \
         --keep FOLDER`, then `callgrind_annotate FOLDER/{}.callgrind`",
        exceeded.join(", "),
        exceeded[0]
    )))
}

impl Budget {
    fn limit(&self) -> f64 {
        (self.recorded * (1.0 + MARGIN)).min(self.promised)
    }

    fn verdict(&self, measured: f64) -> &'static str {
        if measured > self.limit() {
            "TOO MANY"
        } else if measured < self.recorded * (1.0 - MARGIN) {
            "fewer: record the new figure"
        } else {
            "good"
        }
    }

    fn name(&self) -> String {
        format!("{}-{}", self.transport.name(), self.burst)
    }

    /// Instructions per delivery, from the difference of a short and a long run.
    fn measure(&self, folder: &Path) -> io::Result<f64> {
        let profile = folder.join(format!("{}.callgrind", self.name()));
        let short = self.count_instructions(self.bursts.0, &profile)?;
        let long = self.count_instructions(self.bursts.1, &profile)?;
        let deliveries = (self.bursts.1 - self.bursts.0) * self.burst * READERS;
        Ok(to_f64(long.saturating_sub(short)) / to_f64(deliveries))
    }

    /// Instructions of a server that delivers so many bursts, from its start to its end.
    fn count_instructions(&self, bursts: u64, profile: &Path) -> io::Result<u64> {
        // The fastest of valgrind's tools that count, a little ahead of cachegrind without its caches.
        let tool = ["valgrind", "--quiet", "--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())];
        let workload = Workload { readers: READERS, stalled: 0, keyed: false, burst: self.burst, bursts };
        let under_load = ServerUnderLoad::start_under(&tool, ServerKind::Tornadose, self.transport, 1, workload);
        let mut under_load = under_load.map_err(|error| {
            let hint = "is valgrind installed (Debian, Ubuntu: apt-get install valgrind)?";
            io::Error::new(error.kind(), format!("{error}; {hint}"))
        })?;
        for _ in 0..bursts {
            let lost = under_load.submit(workload)?;
            if lost > 0 {
                return Err(io::Error::other(format!("{lost} deliveries were lost")));
            }
        }
        under_load.finish()?;
        parse_total(&std::fs::read_to_string(profile)?)
    }
}

/// The total number of instructions in a callgrind profile.
pub(crate) fn parse_total(profile: &str) -> io::Result<u64> {
    let total = profile.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("the callgrind profile has no `totals:`"))
}

/// The folder of the profiles. It is removed when this is dropped, unless it is to be kept.
struct ProfileFolder {
    path: PathBuf,
    keep: bool,
}

impl ProfileFolder {
    fn create(keep: Option<&Path>) -> io::Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("tornadose-guard-{}", std::process::id()));
        let folder = Self { path: keep.map_or_else(temporary, Path::to_owned), keep: keep.is_some() };
        std::fs::create_dir_all(&folder.path)?;
        Ok(folder)
    }
}

impl Drop for ProfileFolder {
    fn drop(&mut self) {
        if !self.keep {
            // It is a temporary folder: whatever cannot be removed is left to the system.
            let _left = std::fs::remove_dir_all(&self.path);
        }
    }
}
