//! Random programs over several processes on one engine, checked after each: processes start and stop, submit,
//! forget, finish and remove; clients come, lag, leave and resume elsewhere; connections and the engine have faults. A
//! program that fails is shortened as far as it still fails.

mod step;
mod sums;
mod world;

use std::fmt::Write;
use std::ops::RangeInclusive;

use tokio::runtime::Builder;

use crate::simulation::mistakes::Mistake;
use crate::simulation::program::step::{Program, generate};
use crate::simulation::program::world::World;

/// A promise that was not kept, and the transcript.
struct Failure {
    promise: String,
    transcript: String,
}

/// Runs a program in a runtime of its own, and checks what was recorded.
fn run(seed: u64, program: &Program, mistake: Option<Mistake>) -> Option<Failure> {
    // Queue messages that expire hide what is lost otherwise, so they do in some programs alone.
    if seed.is_multiple_of(4) { run_in::<2000>(seed, program, mistake) } else { run_in::<0>(seed, program, mistake) }
}

fn run_in<const QUEUE_TTL_MS: u64>(seed: u64, program: &Program, mistake: Option<Mistake>) -> Option<Failure> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::<QUEUE_TTL_MS>::new(seed, mistake);
        for (step, pause) in program {
            world.take(*step).await;
            pause.wait().await;
        }
        world.finish().await
    })
}

/// Runs a program in a runtime of its own.
type Run = fn(u64, &Program, Option<Mistake>) -> Option<Failure>;

/// Shortens a program that fails: removes steps as long as the same promise is not kept.
fn shorten(run: Run, seed: u64, program: Program, mistake: Option<Mistake>, failure: Failure) -> (Program, Failure) {
    let (mut program, mut failure) = (program, failure);
    let mut removed = program.len() / 2;
    while removed > 0 {
        let mut start = 0;
        let mut is_shorter = false;
        while start < program.len() {
            let mut shorter = program.clone();
            shorter.drain(start..(start + removed).min(program.len()));
            match run(seed, &shorter, mistake) {
                Some(found) if found.promise == failure.promise => {
                    (program, failure, is_shorter) = (shorter, found, true);
                }
                _ => start += removed,
            }
        }
        if !is_shorter || removed > 1 {
            removed /= 2;
        }
    }
    (program, failure)
}

/// Runs the programs of these seeds. Returns the first that fails, shortened, as text.
fn find_failure(seeds: impl Iterator<Item = u64>, mistake: Option<Mistake>) -> Option<String> {
    find_failure_in(run, generate, seeds, mistake)
}

fn find_failure_in(
    run: Run,
    generate: fn(u64) -> Program,
    seeds: impl Iterator<Item = u64>,
    mistake: Option<Mistake>,
) -> Option<String> {
    for seed in seeds {
        let program = generate(seed);
        let Some(failure) = run(seed, &program, mistake) else { continue };
        let (program, Failure { promise, transcript }) = shorten(run, seed, program, mistake, failure);
        let mut text = format!("seed {seed}: {promise}\n");
        for (step, pause) in &program {
            writeln!(text, "    {step:?}, then {pause:?}").unwrap();
        }
        text.push_str(&transcript);
        return Some(text);
    }
    None
}

/// Returns the seeds of the programs that run, or the one that is asked for.
fn seeds() -> RangeInclusive<u64> {
    match std::env::var("TORNADOSE_SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        // `./test --long` runs more of them.
        Err(_) if std::env::var_os("TORNADOSE_LONG").is_some() => 1..=10_000,
        Err(_) => 1..=SEEDS,
    }
}

#[test]
fn what_is_taken_is_delivered_once_and_in_order_or_reported_whatever_fails() {
    if let Some(failure) = find_failure(seeds(), None) {
        panic!("{failure}");
    }
}

/// How many programs run in a test that is not long.
const SEEDS: u64 = 300;

#[test]
fn each_planted_mistake_is_found() {
    for mistake in [
        Mistake::LosesTheSender,
        Mistake::AcknowledgesEarly,
        Mistake::ForgetsTheGap,
        Mistake::OverlooksTheRollback,
        Mistake::DropsTheRefused,
        Mistake::MixesUpKeys,
        Mistake::ForgetsFinishes,
        Mistake::SwallowsFinishes,
        Mistake::SwallowsExpiries,
        Mistake::ExpiresTheRenewed,
        Mistake::OverlooksWhatIsFollowed,
        Mistake::RepeatsEphemerals,
    ] {
        let failure = find_failure(1..=SEEDS, Some(mistake)).unwrap_or_else(|| panic!("{mistake:?} is not found"));
        let lines = failure.lines().count();
        assert!(lines <= 75, "{mistake:?}: {lines} lines\n{failure}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 1..20 {
        let transcript = || run(seed, &generate(seed), Some(Mistake::LosesTheSender)).map(|failure| failure.transcript);
        assert_eq!(transcript(), transcript(), "seed {seed}");
    }
}
