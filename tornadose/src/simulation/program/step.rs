//! The steps of a random program.

use std::time::Duration;

use crate::simulation::random::Random;

pub(super) const PROCESSES: usize = 3;
pub(super) const CLIENTS: usize = 5;
pub(super) const KEYS: u64 = 3;
/// The keys that are finished and removed follow the others.
pub(super) const FINISHED_KEYS: u64 = 3;

const STEPS: usize = 60;

/// One step. A step that is not possible, because its process is not running for example, does nothing, so that any
/// step can be left out of a program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Start { process: usize },
    Stop { process: usize },
    Kill { process: usize },
    Submit { process: usize, key: u64, is_latest: bool },
    TrySubmit { process: usize, key: u64, is_latest: bool },
    Whisper { process: usize, key: u64 },
    TryWhisper { process: usize, key: u64 },
    Forget { process: usize, key: u64 },
    Bury { process: usize, key: u64 },
    SubmitLast { process: usize, key: u64 },
    Finish { process: usize, key: u64 },
    Remove { process: usize, key: u64 },
    Connect { client: usize, process: usize, key: Option<u64>, replay: usize },
    Detach { client: usize },
    Read { client: usize, items: usize },
    Disconnect { process: usize },
    Delay { process: usize, milliseconds: u64 },
    Refuse { process: usize },
    Heal { process: usize },
    LoseRequest { process: usize },
    LoseReply { process: usize },
    Interrupt { process: usize },
    Duplicate { process: usize },
    DeliverAgain { process: usize },
    Trim { kept: usize },
    Snapshot,
    Restore,
    Foreign { key: u64, is_latest: bool },
    Unreadable,
    OtherVersion { key: u64, is_readable: bool },
}

/// How long the program waits after a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pause {
    Turns(u64),
    Milliseconds(u64),
}

pub(super) type Program = Vec<(Step, Pause)>;

impl Pause {
    pub(super) async fn wait(self) {
        match self {
            Self::Turns(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            Self::Milliseconds(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        }
    }
}

/// Returns the program of a seed.
pub(super) fn generate(seed: u64) -> Program {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut program = vec![
        (Step::Start { process: 0 }, Pause::Milliseconds(1)),
        (Step::Start { process: 1 }, Pause::Milliseconds(1)),
        (Step::Connect { client: 0, process: 0, key: None, replay: 0 }, Pause::Turns(0)),
        (Step::Connect { client: 1, process: 1, key: None, replay: 0 }, Pause::Turns(0)),
    ];
    while program.len() < STEPS {
        if random.below(30) == 0 {
            program.extend(loss(&mut random));
        } else {
            program.push((step(&mut random), pause(&mut random)));
        }
    }
    program
}

/// A message that is appended, and lost by a rollback before long.
fn loss(random: &mut Random) -> [(Step, Pause); 3] {
    let (process, key) = (random.index(PROCESSES), random.below(KEYS));
    [
        (Step::Snapshot, Pause::Turns(0)),
        (Step::Submit { process, key, is_latest: false }, Pause::Turns(1 + random.below(8))),
        (Step::Restore, pause(random)),
    ]
}

fn pause(random: &mut Random) -> Pause {
    match random.below(10) {
        0 => Pause::Milliseconds(random.below(1000)),
        1 | 2 => Pause::Milliseconds(random.below(4)),
        3 => Pause::Turns(20),
        _ => Pause::Turns(random.below(6)),
    }
}

fn step(random: &mut Random) -> Step {
    let process = random.index(PROCESSES);
    let client = random.index(CLIENTS);
    let key = random.below(KEYS);
    let is_latest = random.below(3) == 0;
    let finished_key = KEYS + random.below(FINISHED_KEYS);
    match random.below(124) {
        0..4 => Step::Start { process },
        4 => Step::Stop { process },
        5 => Step::Kill { process },
        6..28 => Step::Submit { process, key, is_latest },
        28..38 => Step::TrySubmit { process, key, is_latest },
        38 => Step::Forget { process, key },
        39 => Step::Bury { process, key },
        40..46 => Step::Connect { client, process, key: Some(key).filter(|_| is_latest), replay: random.index(4) },
        46..49 => Step::Detach { client },
        49..64 => Step::Read { client, items: 1 + random.index(6) },
        64..68 => Step::Disconnect { process },
        68 | 69 => Step::Delay { process, milliseconds: random.below(1500) },
        70..73 => Step::Refuse { process },
        73..81 => Step::Heal { process },
        81 | 82 => Step::LoseRequest { process },
        83 | 84 => Step::LoseReply { process },
        85 => Step::Interrupt { process },
        86 | 87 => Step::Duplicate { process },
        88 => Step::DeliverAgain { process },
        89..92 => Step::Trim { kept: random.index(4) },
        92..94 => Step::Snapshot,
        94 => Step::Restore,
        95..98 => Step::Foreign { key, is_latest },
        98 => Step::Unreadable,
        99..105 => Step::Submit { process, key: finished_key, is_latest },
        105 => Step::SubmitLast { process, key: finished_key },
        106 => Step::Finish { process, key: finished_key },
        107 => Step::Remove { process, key: finished_key },
        108 | 109 => Step::Connect { client, process, key: Some(finished_key), replay: random.index(4) },
        110 => Step::Foreign { key: finished_key, is_latest },
        111..118 => Step::Whisper { process, key },
        118..121 => Step::TryWhisper { process, key },
        121 | 122 => Step::Whisper { process, key: finished_key },
        _ => Step::OtherVersion { key, is_readable: random.below(3) > 0 },
    }
}
