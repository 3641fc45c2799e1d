//! Finds the next timer, for the last line of a failure. The line is cosmetic and may be wrong.
//!
//! The runtime does not report its timers, so the clock is released and the instants at which it stops are observed.
//! Which stops are timers follows from how tokio's timer wheel is built, which is private and may change. No test
//! outcome depends on the result.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::runtime::idle::wait_until_idle;

/// The span that is searched.
pub(crate) const HORIZON: Duration = Duration::from_hours(1);

thread_local! {
    static STOPS: RefCell<Option<(Instant, UnboundedSender<Instant>)>> = const { RefCell::new(None) };
}

/// Reports a stop of the clock. The runtime calls this after it has waited, when the clock may have moved.
pub(crate) fn on_unpark() {
    STOPS.with_borrow_mut(|stops| {
        if let Some((last, stops)) = stops {
            let now = Instant::now();
            // Waking a task while the clock is unchanged would keep it from moving.
            if now > *last {
                *last = now;
                // A failed send means that the search has ended.
                let _ = stops.send(now);
            }
        }
    });
}

/// Returns the time until the next timer, or `None` if there is none within the hour. `own_timer` is the driver's own.
///
/// The wheel keeps distant timers in slots of 64, 4096 … ms. The clock also stops where a slot begins, and moves on
/// within it. Such a stop counts as a timer only if no other stop follows within its slot.
pub(crate) async fn find_next(origin: Instant, own_timer: Instant) -> Option<Duration> {
    wait_until_idle().await;
    let start = Instant::now();
    let (send, mut stops) = unbounded_channel();
    STOPS.set(Some((start, send)));
    let end = start + HORIZON;
    let mut last: Option<Instant> = None;
    // A stop is no evidence of a timer if one of our own lies in the slot that begins there.
    let leads_to = |stop: Instant, own: Instant| own > stop && own - stop < slot_length(stop - origin);
    loop {
        let stop = tokio::select! {
            biased;
            Some(stop) = stops.recv() => stop,
            () = sleep_until(end) => end,
        };
        if stop == own_timer || stop == end {
            last = last.filter(|last| !leads_to(*last, stop));
            if stop == end || last.is_some() {
                break;
            }
        } else if stop > start && last != Some(stop) {
            if last.is_some_and(|last| stop - last >= slot_length(last - origin)) {
                break;
            }
            last = Some(stop);
            if slot_length(stop - origin).is_zero() {
                break;
            }
        }
    }
    STOPS.set(None);
    last.map(|stop| stop - start)
}

/// The length of the slot that may begin at this instant; zero unless the instant is a multiple of 64 ms.
fn slot_length(at: Duration) -> Duration {
    let slots: [u64; 5] = [1 << 30, 1 << 24, 1 << 18, 1 << 12, 1 << 6];
    let slot = slots.into_iter().find(|slot| at.as_millis().is_multiple_of(u128::from(*slot)));
    slot.map_or(Duration::ZERO, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use crate::runtime::current::current;
    use crate::runtime::run;

    #[test]
    fn the_next_timer_is_found_at_any_distance() {
        let check = |after: u64, ahead: Option<u64>| {
            run(async move {
                sleep(Duration::from_millis(after)).await;
                let timer = ahead.map(|ms| tokio::spawn(sleep(Duration::from_millis(ms))));
                let start = Instant::now();
                let run = current();
                run.allow_time(super::HORIZON * 2);
                let next = super::find_next(start - Duration::from_millis(after), run.armed_limit()).await;
                assert_eq!(next, ahead.map(Duration::from_millis), "{after} {ahead:?}");
                drop(timer);
            });
        };
        for after in [0, 1, 63, 64, 4095, 15_000] {
            for ahead in [1, 63, 64, 65, 1000, 4096, 15_000, 16_000, 60_000, 262_144, 599_000] {
                check(after, Some(ahead));
            }
            check(after, None);
        }
    }
}
