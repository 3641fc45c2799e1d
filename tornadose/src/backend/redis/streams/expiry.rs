//! The end of entries by their age. Redis' clock decides, which also gives entries their ids. A connection of its own
//! trims the stream, so that neither reading nor appending waits for it. Values are expired by the connection that appends,
//! on the store's request; here their ages are known.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep};

use crate::backend::link::BackendLink;
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::master::MasterConnection;
use crate::backend::redis::server::Server;
use crate::backend::redis::streams::protocol::{Keys, parse_list, parse_number};
use crate::backend::redis::streams::shared::HISTORY_FACTOR_MAX;
use crate::id::Offset;

const EXPIRE_LUA: &str = include_str!("lua/expire.lua");
const TIME_LUA: &str = include_str!("lua/time.lua");

/// The shortest time between two rounds.
const ROUND_MIN: Duration = Duration::from_millis(10);

/// The longest time between two rounds, in which another process may have begun to declare a shorter one.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// The longest time until a round that failed is tried again.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// For how many tenths of it the ttl of a process holds for others, after its last round.
const TENTHS_HELD: u32 = 5;

/// The clock of the server, as it was read last and has gone on since. It is never ahead of the server's.
#[derive(Debug, Default)]
pub(super) struct EngineClock(Mutex<Option<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    milliseconds: u64,
    received_at: Instant,
}

impl EngineClock {
    /// Sets the clock by a reply that has just arrived.
    pub(super) fn set(&self, milliseconds: u64) {
        let reading = Reading { milliseconds, received_at: Instant::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    /// Returns how long ago an entry was appended; zero for one of the future, and while the time is not known.
    pub(super) fn age_of(&self, offset: Offset) -> Duration {
        let Some(reading) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) else { return Duration::ZERO };
        let now = Duration::from_millis(reading.milliseconds) + reading.received_at.elapsed();
        now.saturating_sub(Duration::from_millis(offset.major()))
    }
}

/// Trims expired entries for ever, of a type whose messages expire. Of one whose values alone do it keeps the clock.
pub(super) async fn run(server: &Server, keys: &Keys, clock: &EngineClock, link: &BackendLink) {
    let Some(ttl) = link.queue_ttl() else {
        if link.expires_latest() {
            keep_clock(server, keys, clock).await;
        }
        return;
    };
    let mut connection = MasterConnection::new(server, "tornadose-expiry");
    let mut refusal = None;
    loop {
        let pause = match trim(&mut connection, keys, ttl, link).await {
            Ok(Round { milliseconds, shortest }) => {
                clock.set(milliseconds);
                link.set_queue_ttl(shortest);
                refusal = None;
                shortest / 10
            }
            Err(fault) => {
                connection.close();
                // That Redis cannot be reached is reported by the reader.
                let reason = fault.is_reply().then(|| fault.to_string());
                if let Some(error) = reason.as_ref().filter(|_| reason != refusal) {
                    tracing::warn!(target: "tornadose", channel = link.channel(), error, "expired messages not trimmed");
                }
                refusal = reason.or(refusal);
                (ttl / 10).min(RETRY_MAX)
            }
        };
        sleep(pause.clamp(ROUND_MIN, ROUND_MAX)).await;
    }
}

/// Reads the clock of the server now and then, which may have been set meanwhile.
async fn keep_clock(server: &Server, keys: &Keys, clock: &EngineClock) {
    let mut connection = MasterConnection::new(server, "tornadose-expiry");
    loop {
        sleep(ROUND_MAX).await;
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL_RO").arg(TIME_LUA).arg(1).arg(&keys.stream);
        let reply = match connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await {
            Ok(mut replies) => replies.next_reply().ok(),
            // That Redis cannot be reached is reported by the reader.
            Err(_) => None,
        };
        match reply.as_ref().and_then(parse_number) {
            Some(milliseconds) => clock.set(milliseconds),
            None => connection.close(),
        }
    }
}

struct Round {
    milliseconds: u64,
    shortest: Duration,
}

async fn trim(
    connection: &mut MasterConnection<'_>,
    keys: &Keys,
    ttl: Duration,
    link: &BackendLink,
) -> Result<Round, Fault> {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
    let held = (ttl / 10).max(ROUND_MIN) * TENTHS_HELD;
    let mut pipeline = redis::pipe();
    let factor = if link.snapshot_version().is_some() { HISTORY_FACTOR_MAX } else { 1 };
    let command = pipeline.cmd("EVAL").arg(EXPIRE_LUA).arg(2).arg(&keys.stream).arg(&keys.ttl);
    command.arg(milliseconds(ttl)).arg(milliseconds(held)).arg(factor);
    let reply = connection.query(&pipeline, REPLY_TIMEOUT, usize::MAX).await?.next_reply()?;
    let parse = |reply: &Value| {
        let [now, shortest] = parse_list(reply)? else { return None };
        Some(Round { milliseconds: parse_number(now)?, shortest: Duration::from_millis(parse_number(shortest)?) })
    };
    parse(&reply).ok_or_else(|| Fault::Protocol("unexpected reply to a script".into()))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_age_counts_from_the_time_in_the_id() {
        let clock = EngineClock::default();
        let at = |milliseconds| Offset::new(milliseconds, 0);
        assert_eq!(clock.age_of(at(1)), Duration::ZERO);
        clock.set(10_000);
        advance(Duration::from_millis(500)).await;
        assert_eq!(clock.age_of(at(9_000)), Duration::from_millis(1_500));
        assert_eq!(clock.age_of(at(10_501)), Duration::ZERO, "an id of the future");
        clock.set(20_000);
        assert_eq!(clock.age_of(at(9_000)), Duration::from_secs(11));
    }
}
